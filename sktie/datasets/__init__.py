"""Small real data sets that come with the package."""

from sktie.datasets._heart_sites import load_heart_sites

__all__ = ["load_heart_sites"]
