"""Seeing what is shared, and what a tie does; testing whether domains may share."""

from sktie.inspection._compatibility import compatibility_test
from sktie.inspection._displays import (
    FeatureMapDisplay,
    KernelDisplay,
    ReceptiveFieldDisplay,
)
from sktie.inspection._equality import CompatibilityReport, EqualityTest
from sktie.inspection._invariance import shift_invariance
from sktie.inspection._receptive import influence, receptive_field
from sktie.inspection._relatedness import RelatednessDisplay
from sktie.inspection._sharing import SharingReport, sharing_report
from sktie.inspection._summary import CoefSummary, coef_summary
from sktie.inspection._tying_display import TyingPathDisplay
from sktie.inspection._tying_path import TyingPath, tying_path
from sktie.inspection._tying_report import TyingReport, tying_report

__all__ = [
    "CoefSummary",
    "CompatibilityReport",
    "EqualityTest",
    "FeatureMapDisplay",
    "KernelDisplay",
    "ReceptiveFieldDisplay",
    "RelatednessDisplay",
    "SharingReport",
    "TyingPath",
    "TyingPathDisplay",
    "TyingReport",
    "coef_summary",
    "compatibility_test",
    "influence",
    "receptive_field",
    "sharing_report",
    "shift_invariance",
    "tying_path",
    "tying_report",
]
