"""Splitters for rows of which only some have labels."""

from sktie.model_selection._split import LabeledSplit

__all__ = ["LabeledSplit"]
