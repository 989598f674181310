"""What the parameters of `SharedConvClassifier` may be, and what to do otherwise.

Those with one value for each layer are checked where there are layers.
"""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

from sktie._compat import HasMethods, Interval, StrOptions

REMEDIES = {
    "augment": "Use None, a dict such as {'shift': 2, 'flip': 'horizontal'}, or a "
    "callable that takes pixels (n, height, width, channels) and a generator.",
    "image_shape": "Leave it None for square images.",
    "learning_rate_init": "The default suits most images.",
}

CONSTRAINTS: dict[str, list[Any]] = {
    "filters": ["array-like", Integral],
    "kernel_size": ["array-like", Integral],
    "stride": ["array-like", Integral],
    "pool_size": ["array-like", Integral],
    "padding": ["array-like", str],
    "tie": ["array-like", Real],
    "bias": ["array-like", str],
    "hidden_layer_sizes": ["array-like", Integral],
    "global_pool": ["boolean", StrOptions({"mean", "max"})],
    "activation": ["array-like", str],
    "pair": [None, str, Integral, HasMethods("fit")],
    "tie_pair": ["array-like", Interval(Real, 0, None, closed="both")],
    "handle_unknown": [StrOptions({"error", "shared"})],
    "image_shape": ["array-like", Integral, None],
    "signals": ["boolean", None],
    "solver": [StrOptions({"adam", "lbfgs", "sgd"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
    ],
    "learning_rate": [StrOptions({"one-cycle", "constant"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "shuffle": ["boolean"],
    "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
    "augment": [None, dict, callable],
    "class_weight": [None, dict, StrOptions({"balanced"})],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "warm_start": ["boolean"],
    "checkpoint": [None, str, os.PathLike],
    "n_jobs": [None, Integral],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
