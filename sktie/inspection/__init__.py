"""Seeing what is shared, and testing whether it may be."""

from sktie.inspection._compatibility import compatibility_test
from sktie.inspection._displays import (
    FeatureMapDisplay,
    KernelDisplay,
    ReceptiveFieldDisplay,
)
from sktie.inspection._equality import CompatibilityReport, EqualityTest
from sktie.inspection._invariance import shift_invariance
from sktie.inspection._receptive import influence, receptive_field
from sktie.inspection._sharing import SharingReport, sharing_report

__all__ = [
    "CompatibilityReport",
    "EqualityTest",
    "FeatureMapDisplay",
    "KernelDisplay",
    "ReceptiveFieldDisplay",
    "SharingReport",
    "compatibility_test",
    "influence",
    "receptive_field",
    "sharing_report",
    "shift_invariance",
]
