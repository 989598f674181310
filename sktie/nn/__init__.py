"""Parts of neural networks: functions with their derivatives, layers, and training."""

from sktie.nn._activation import ACTIVATIONS, Backprop
from sktie.nn._arena import Arena
from sktie.nn._checkpoint import Checkpoint, check_checkpoint, checkpoint_for
from sktie.nn._convolution import Axis, Convolution
from sktie.nn._heads import DomainHeads
from sktie.nn._layers import (
    ConnectedLayer,
    ConvolutionLayer,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Parameters,
    Scratch,
)
from sktie.nn._network import Network, Passes
from sktie.nn._training import (
    OPTIMIZERS,
    AfterStep,
    EarlyStopping,
    Plateau,
    Trained,
    glorot_uniform,
    one_cycle,
    progress,
)

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "AfterStep",
    "Arena",
    "Axis",
    "Backprop",
    "Checkpoint",
    "ConnectedLayer",
    "Convolution",
    "ConvolutionLayer",
    "DomainHeads",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalPool",
    "Layer",
    "Network",
    "Parameters",
    "Passes",
    "Plateau",
    "Scratch",
    "Trained",
    "check_checkpoint",
    "checkpoint_for",
    "glorot_uniform",
    "one_cycle",
    "progress",
]
