"""The version of this package, at the bottom, where all that is saved can see it."""

__version__ = "0.1.0"
