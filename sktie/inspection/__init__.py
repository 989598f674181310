"""Seeing what is shared: counts, receptive fields, kernels, feature maps, shifts."""

from sktie.inspection._displays import (
    FeatureMapDisplay,
    KernelDisplay,
    ReceptiveFieldDisplay,
)
from sktie.inspection._invariance import shift_invariance
from sktie.inspection._receptive import influence, receptive_field
from sktie.inspection._sharing import SharingReport, sharing_report

__all__ = [
    "FeatureMapDisplay",
    "KernelDisplay",
    "ReceptiveFieldDisplay",
    "SharingReport",
    "influence",
    "receptive_field",
    "sharing_report",
    "shift_invariance",
]
