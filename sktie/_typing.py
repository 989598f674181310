"""Names for the types that the signatures of sktie use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
Array: TypeAlias = npt.NDArray[Any]
#: Dense array or CSR container; scipy's own types differ too much between versions.
Matrix: TypeAlias = Any
#: Called at every iterate with the steps made, the objective and the relative gap.
IterationHook: TypeAlias = Callable[[int, float, float], None]
