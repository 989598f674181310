"""Names for the types that the signatures of sktie use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
Array: TypeAlias = npt.NDArray[Any]
#: Dense array or CSR container; scipy's own types differ too much between versions.
Matrix: TypeAlias = Any
#: Called at every iterate with the steps made, the objective and the relative gap.
IterationHook: TypeAlias = Callable[[int, float, float], None]

# What parameters take; tests/test_typing.py holds constructors to what is validated.
Auto: TypeAlias = Literal["auto"]
ClassWeight: TypeAlias = dict[Any, float] | Literal["balanced"] | None
CovarianceKind: TypeAlias = Literal["laplace", "sandwich"]
Decay: TypeAlias = Literal["each", "shared"]
HandleUnknown: TypeAlias = Literal["error", "shared"]
MetricName: TypeAlias = Literal["identity", "fisher"]
RandomState: TypeAlias = int | np.random.RandomState | None
Solver: TypeAlias = Literal["auto", "newton-cholesky", "lbfgs", "newton-cg"]
