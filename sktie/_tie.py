"""The tie: one quadratic penalty for parameters that we believe should agree.

The penalty of members ``W`` (n_members, ..., n_coefs) is::

    tie/2 * Omega(W) = 1/2 sum_j strength_j |deviation(W)_j|^2

with one strength in [0, inf] per coefficient. What the deviation is belongs to a
structure: to a fixed model (`ToFixed`), to the members' own mean (`ToMean`), or along
the edges of a graph (`Graph`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from math import prod
from typing import Any, final

import numpy as np
import scipy.sparse as sp

from sktie._linalg import Rule
from sktie._typing import Array, FloatArray, Matrix
from sktie._validation import as_array, in_range


def tying_penalty(w_a: Any, w_b: Any) -> float:
    """Squared distance between two sets of parameters.

    The penalty of parameter tying, ``Omega(w_a, w_b) = |w_a - w_b|^2``: two models that
    solve the same task on somewhat different inputs should have close parameters. It
    is what `TiedLogisticRegression` adds, times ``tie / 2``, for two domains.

    Parameters
    ----------
    w_a, w_b : array-like of the same shape
        Parameters of the two models, of any shape; dense, finite, real numbers.

    Returns
    -------
    float
        Sum over all entries of the squared difference.

    Raises
    ------
    ValueError
        If the shapes differ, or an entry is NaN or infinite.
    TypeError
        If an argument is sparse or not numeric.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.

    Examples
    --------
    >>> from sktie import tying_penalty
    >>> tying_penalty([1.0, 2.0], [1.0, 4.0])
    4.0
    """
    a, b = _parameters("w_a", w_a), _parameters("w_b", w_b)
    if a.shape != b.shape:
        raise ValueError(
            f"w_a has shape {a.shape} and w_b has shape {b.shape}; the parameters of "
            "tied models must have equal shapes. Select or reorder the coefficients "
            "so that entry i of both means the same."
        )
    return float(in_range(lambda: np.sum(np.square(a - b))))


def _parameters(name: str, value: Any) -> FloatArray:
    if sp.issparse(value):
        raise TypeError(
            f"{name} is a sparse {type(value).__name__}; expected a dense array. "
            f"Convert it with {name}.toarray()."
        )
    array = as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} has dtype {array.dtype}; expected real numbers in a regular "
            "array. Convert it with numpy.asarray(..., dtype=float)."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity; expected finite numbers.")
    return array


class Structure(ABC):
    """What the members deviate from: a linear (or affine) map and its adjoint."""

    @abstractmethod
    def deviation(self, members: FloatArray) -> FloatArray:
        """Return the deviations; Omega is the sum of their squares."""

    @abstractmethod
    def adjoint(self, deviations: FloatArray) -> FloatArray:
        """Return the adjoint of the linear part of `deviation`."""

    @abstractmethod
    def project(self, members: FloatArray) -> FloatArray:
        """Return the nearest members without deviation."""


@final
class ToMean(Structure):
    """Every member is tied to the mean of all.

    Notes
    -----
    With T members, Omega is ``(2/T) sum_{s<t} |w_s - w_t|^2``, which for T = 2 is
    ``|w_1 - w_2|^2`` and for any T is ``2 sum_t |w_t - mean|^2``. As a map,
    ``D = sqrt(2) (I - P)`` with P the projector on equal members; D is self-adjoint.
    """

    def deviation(self, members: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(2.0) * (members - members.mean(axis=0)))

    def adjoint(self, deviations: FloatArray) -> FloatArray:
        return self.deviation(deviations)

    def project(self, members: FloatArray) -> FloatArray:
        return np.broadcast_to(members.mean(axis=0), members.shape).copy()


@final
class ToFixed(Structure):
    """Every member is tied to the same fixed parameters: ``D(W) = W - target``."""

    def __init__(self, target: FloatArray) -> None:
        self.target = target

    def deviation(self, members: FloatArray) -> FloatArray:
        return np.asarray(members - self.target)

    def adjoint(self, deviations: FloatArray) -> FloatArray:
        return deviations

    def project(self, members: FloatArray) -> FloatArray:
        return np.broadcast_to(self.target, members.shape).copy()


@final
class Graph(Structure):
    """Members are tied along the edges of a graph: ``D(W) = B W``.

    Parameters
    ----------
    incidence : sparse matrix of shape (n_edges, n_members)
        Each row holds ``sqrt(a)`` and ``-sqrt(a)`` at the two ends of an edge of
        weight a, so that Omega is the sum of ``a |w_s - w_t|^2`` over the edges and
        ``B'B`` the Laplacian. Components of the graph are tied each on their own.
    """

    def __init__(self, incidence: Matrix) -> None:
        self.incidence = incidence

    def _apply(self, matrix: Matrix, members: FloatArray) -> FloatArray:
        flat = members.reshape(members.shape[0], int(np.prod(members.shape[1:])))
        return np.asarray(matrix @ flat).reshape(matrix.shape[0], *members.shape[1:])

    def deviation(self, members: FloatArray) -> FloatArray:
        return self._apply(self.incidence, members)

    def adjoint(self, deviations: FloatArray) -> FloatArray:
        return self._apply(self.incidence.T, deviations)

    def project(self, members: FloatArray) -> FloatArray:
        n_components, label = sp.csgraph.connected_components(
            self.incidence.T @ self.incidence, directed=False
        )
        ones = np.ones(len(label))
        indicator = sp.csr_array(
            (ones, (label, np.arange(len(label)))), shape=(n_components, len(label))
        )
        sums = self._apply(indicator, members)
        sizes = np.bincount(label).reshape(-1, *[1] * (members.ndim - 1))
        return np.asarray((sums / sizes)[label])


def scaled_tie(strength: Any) -> tuple[Any, Any]:
    """Return the unit of deviations under a tie, and its strength in that unit.

    ``(1 + tie)^(-1/2)`` and ``tie / (1 + tie)``: both are in [0, 1] for any strength, 0
    and infinity included.
    """
    return 1.0 / np.sqrt(1.0 + strength), -np.expm1(-np.log1p(strength))


class Tie:
    """A structure with its strengths: the penalty and its derivatives.

    Parameters
    ----------
    structure : Structure
        What the members deviate from.
    strength : float or array of shape (n_coefs,)
        One strength in [0, inf] for all coefficients (the last axis of the members),
        or one for each.
    metric : array of shape (n_coefs, n_coefs), optional
        Positive semidefinite M; the squared deviation is then measured as
        ``d' S^(1/2) M S^(1/2) d`` with S the diagonal of strengths. Identity by
        default.

    Notes
    -----
    A coefficient of infinite strength is *shared*: its value is 0 where the members
    agree and inf elsewhere, and `project` is what keeps it there. It contributes
    nothing to gradient and Hessian, which live on the members that agree.

    For the solvers, `scale` and `weight` turn every strength into numbers in [0, 1]:
    with ``W = project + scale * U`` the penalty is ``1/2 weight |D(U)|^2``, where
    ``scale = (1 + strength)^(-1/2)`` and ``weight = strength / (1 + strength)``. Both
    are exact at 0 and at inf, and nothing in between is large.
    """

    def __init__(
        self,
        structure: Structure,
        strength: float | FloatArray,
        metric: FloatArray | None = None,
    ) -> None:
        self.structure = structure
        self.strength = np.asarray(strength, dtype=np.float64)
        self.metric = metric

    @cached_property
    def shared(self) -> Array:
        """Which coefficients are shared, bool in the shape of `strength`."""
        return np.asarray(np.isinf(self.strength))

    @cached_property
    def _scaled(self) -> tuple[Any, Any]:
        return scaled_tie(self.strength)

    @property
    def scale(self) -> Any:
        """Unit of the deviations."""
        return self._scaled[0]

    @property
    def weight(self) -> Any:
        """Strength in that unit."""
        return self._scaled[1]

    @cached_property
    def _finite(self) -> FloatArray:
        return np.where(self.shared, 0.0, self.strength)

    def project(self, members: FloatArray) -> FloatArray:
        """Return the nearest members that agree in every coefficient."""
        return self.structure.project(members)

    def deviation(self, members: FloatArray) -> FloatArray:
        """Return the deviations of the members."""
        return self.structure.deviation(members)

    def adjoint(self, deviations: FloatArray) -> FloatArray:
        """Return the adjoint of the linear part of `deviation`."""
        return self.structure.adjoint(deviations)

    def _weighted(self, deviations: FloatArray) -> FloatArray:
        if self.metric is None:
            return np.asarray(self._finite * deviations)
        root = np.sqrt(self._finite)
        return np.asarray(root * ((root * deviations) @ self.metric))

    def value(self, members: FloatArray) -> float:
        """Return the penalty of the members."""
        deviations = self.deviation(members)
        if self.shared.any():
            # A mean of n equal members may be off by n roundings.
            rounding = max(8, len(members)) * np.finfo(members.dtype).eps
            rounding *= np.max(np.abs(members))
            apart = np.abs(deviations) > rounding
            if np.any(apart & self.shared):
                return float("inf")
        return 0.5 * float(np.sum(deviations * self._weighted(deviations)))

    def gradient(self, members: FloatArray) -> FloatArray:
        """Return the gradient of the penalty, with the shape of the members."""
        return self.adjoint(self._weighted(self.deviation(members)))

    def hessp(self, direction: FloatArray) -> FloatArray:
        """Return the Hessian of the penalty times a direction of members' shape."""
        origin = self.deviation(np.zeros_like(direction))
        return self.adjoint(self._weighted(self.deviation(direction) - origin))


class HubCoordinates(ABC):
    """Members as a shared hub and scaled deviations: ``W_t = hub + scale * U_t``.

    The hub is the members' mean, a free parameter, or a fixed model. The flat vector
    of a solver is ``(hub, U)``, or ``U`` where the hub is fixed. Deviations from a
    mean sum to zero, and those of a shared coefficient are zero: `split` projects, so
    a solver may move in any direction. What deviations cost is for subclasses to say.

    Parameters
    ----------
    tie : Tie
        With the structure `ToMean` or `ToFixed`, and without a metric.
    shape : tuple of int
        Shape of the members: (n_members, n_outputs, n_coefs).
    """

    #: A diagonal below the Hessian of the tie, in U.
    weight: Array

    def __init__(self, tie: Tie, shape: tuple[int, int, int]) -> None:
        self.tie = tie
        self.shape = shape
        self.scale: Array = np.broadcast_to(tie.scale, shape[1:])
        structure = tie.structure
        self.free_hub = isinstance(structure, ToMean)
        # Omega is twice the squared deviation from the mean: see ToMean.
        self.multiple = 2.0 if self.free_hub else 1.0
        #: The diagonal of that Hessian, or what is like it.
        self.stiffness: Array = np.broadcast_to(self.multiple * tie.weight, shape[1:])
        self._any_shared = bool(tie.shared.any())
        self._target = structure.target if isinstance(structure, ToFixed) else None
        self._n_hub = prod(shape[1:]) if self.free_hub else 0
        self.size = self._n_hub + prod(shape)

    @abstractmethod
    def retied(self, strengths: FloatArray) -> HubCoordinates:
        """Return the same coordinates with other strengths."""

    @abstractmethod
    def omega(self, deviations: FloatArray, chosen: Array) -> float:
        """Return Omega of some of the coefficients, from the scaled deviations."""

    @abstractmethod
    def penalty(self, deviations: FloatArray) -> float:
        """Return ``tie/2 * Omega`` from the scaled deviations."""

    @abstractmethod
    def tie_gradient(self, deviations: FloatArray) -> FloatArray:
        """Return the gradient of `penalty` in (hub, U)."""

    @abstractmethod
    def tie_hessian(self, deviations: FloatArray) -> Rule:
        """Return the Hessian of `penalty` there: a map of directions of U."""

    def centre(self, members: FloatArray) -> FloatArray:
        """Return the part of the members that the deviations can hold."""
        if not self.free_hub:
            return members
        return np.asarray(members - members.sum(axis=0) / len(members))

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the hub (n_outputs, n_coefs) and the deviations U."""
        deviations = self.centre(theta[self._n_hub :].reshape(self.shape))
        if self._any_shared:
            deviations = np.where(self.scale > 0, deviations, 0.0)
        if self._target is not None:
            return self._target, deviations
        return theta[: self._n_hub].reshape(self.shape[1:]), deviations

    def split_direction(self, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what a step changes: a fixed hub does not move."""
        hub, deviations = self.split(direction)
        return (hub if self.free_hub else np.zeros_like(hub)), deviations

    def join(self, hub: FloatArray, deviations: FloatArray) -> FloatArray:
        """Return the flat vector of a hub and deviations."""
        if not self.free_hub:
            return deviations.ravel()
        return np.concatenate([hub.ravel(), deviations.ravel()])

    def members(self, hub: FloatArray, deviations: FloatArray) -> FloatArray:
        """Return ``W = hub + scale * U``."""
        return np.asarray(hub + self.scale * deviations)

    def differences(self, deviations: FloatArray) -> FloatArray:
        """Return how far the members are from what they are tied to."""
        return np.asarray(self.scale * deviations)

    def locate(self, members: FloatArray) -> FloatArray:
        """Return the flat vector of the nearest members that the tie allows."""
        hub = members.mean(axis=0) if self._target is None else self._target
        inverse = np.divide(
            1.0, self.scale, out=np.zeros(self.shape[1:]), where=self.scale > 0
        )
        return self.join(hub, inverse * (members - hub))

    def pull_back(self, gradient: FloatArray) -> FloatArray:
        """Return the gradient in (hub, U) of a function with this gradient in W."""
        if not self.free_hub:
            return np.asarray(self.scale * gradient).ravel()
        return self.join(gradient.sum(axis=0), self.centre(self.scale * gradient))

    def diagonal(self, own: FloatArray, mean_decay: FloatArray) -> FloatArray:
        """Return the diagonal of a Hessian from that of the objective without tie."""
        deviations = np.square(self.scale) * own + self.stiffness
        return self.join(own.sum(axis=0) + mean_decay, deviations)


@final
class TiedCoordinates(HubCoordinates):
    """A hub and scaled deviations, each of which costs its square."""

    def __init__(self, tie: Tie, shape: tuple[int, int, int]) -> None:
        super().__init__(tie, shape)
        self.weight = self.stiffness

    def retied(self, strengths: FloatArray) -> TiedCoordinates:
        return TiedCoordinates(Tie(self.tie.structure, strengths), self.shape)

    @property
    def is_plain(self) -> bool:
        """Whether the flat vector is that of one member, which nothing ties."""
        if self._target is None or self.shape[0] > 1:
            return False
        return not (self.tie.strength.any() or self._target.any())

    def omega(self, deviations: FloatArray, chosen: Array) -> float:
        apart = self.differences(deviations)[..., chosen]
        return self.multiple * float(np.square(apart).sum())

    def penalty(self, deviations: FloatArray) -> float:
        return 0.5 * float((self.weight * np.square(deviations)).sum())

    def tie_gradient(self, deviations: FloatArray) -> FloatArray:
        if not self.free_hub:
            return np.asarray(self.weight * deviations).ravel()
        return self.join(np.zeros(self.shape[1:]), self.weight * deviations)

    def tie_hessian(self, deviations: FloatArray) -> Rule:
        return self.tie_gradient
