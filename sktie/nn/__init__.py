"""Parts of neural networks: functions with their derivatives, and training."""

from sktie.nn._activation import ACTIVATIONS, Backprop
from sktie.nn._training import (
    OPTIMIZERS,
    AfterStep,
    EarlyStopping,
    Plateau,
    Trained,
    glorot_uniform,
    progress,
)

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "AfterStep",
    "Backprop",
    "EarlyStopping",
    "Plateau",
    "Trained",
    "glorot_uniform",
    "progress",
]
