"""Members whose relatedness is learned: the covariance of their deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sktie._linalg import EPS, BlockArrow, Rule, rough_step
from sktie._tie import HubCoordinates, Tie
from sktie._typing import Array, FloatArray

#: No eigenvalue of the covariance is below this share of their mean: directions in
#: which nothing was seen to vary are tied so many times as firmly as by default.
FLOOR = 0.01
#: Share of S that stands still in Newton's model. The penalty is flat where two
#: directions trade places: with strong ties the exact Hessian is singular to rounding,
#: and its steps and certificates are wild. So no step is longer than 1e4 times that of
#: a fixed S.
FIRM = 1e-4
#: Relative residual, in the metric of the model, to which a system is solved.
RESIDUAL = 0.1


@final
@dataclass(frozen=True)
class Relatedness:
    r"""The covariance of members that suits their deviations best.

    Of all S on the space of deviations with trace 1 and eigenvalues of at least
    ``floor``, the minimiser of ``tr(Z' S^-1 Z)``.

    Attributes
    ----------
    left : ndarray of shape (n_members, rank)
        Directions in which members deviate, orthonormal: left singular vectors of Z.
    size : ndarray of shape (rank,)
        Singular values of Z, descending.
    right : ndarray of shape (rank, n)
        Right singular vectors.
    variance : ndarray of shape (rank,)
        Eigenvalues of S that belong to ``left``. All others are ``floor``.
    floor : float
        The smallest eigenvalue.

    Notes
    -----
    S has the eigenvectors of ``ZZ'``, and eigenvalues ``max(floor, z / m)``, where z
    are singular values and m makes their sum 1. Without a floor this is Zhang and
    Yeung's ``(ZZ')^(1/2) / tr (ZZ')^(1/2)``.
    """

    left: FloatArray
    size: FloatArray
    right: FloatArray
    variance: FloatArray
    floor: float

    @property
    def least(self) -> float:
        """``tr(Z' S^-1 Z)`` at the minimum."""
        return float(np.sum(np.square(self.size) / self.variance))

    def solved(self) -> FloatArray:
        """Return ``S^-1 Z``."""
        return np.asarray((self.left * (self.size / self.variance)) @ self.right)

    def hessian(self, direction: FloatArray, firm: float = 0.0) -> FloatArray:
        r"""Return half the Hessian of the minimum, as a function of Z, times D.

        ``S^-1 D + (1 - firm) (dS^-1) Z``, of which the second is what S gives way. In
        the basis of singular vectors it is a product with divided differences of 1/s
        in z^2.
        """
        left, size, right = self.left, self.size, self.right
        inverse, beyond = 1.0 / self.variance, 1.0 / self.floor
        inside = left.T @ direction
        along = inside @ right.T
        other = direction - left @ inside
        gives = 1.0 - firm
        image = beyond * other
        image += ((other @ right.T) * (gives * (inverse - beyond))) @ right
        # In units of the largest singular value, whose powers may underflow.
        z = size / size[0]
        along = along / size[0]
        turned = self._gives_way(z, z[:, np.newaxis] * along.T + along * z)
        core = inverse[:, np.newaxis] * inside + (turned * (gives * size)) @ right
        return np.asarray(image + left @ core)

    def _gives_way(self, z: FloatArray, change: FloatArray) -> FloatArray:
        """Return the change of S^-1, in its eigenvectors, with that of ``ZZ'``."""
        inverse = 1.0 / self.variance
        free = self.variance > self.floor
        gaps = np.square(z)[:, np.newaxis] - np.square(z)
        steps = inverse[:, np.newaxis] - inverse
        slopes = np.divide(steps, gaps, out=np.zeros_like(gaps), where=gaps != 0)
        both = np.outer(free, free)
        # For two free ones, 1/s = m/z: nothing cancels.
        sums = z[:, np.newaxis] + z
        product = np.outer(z, z) * sums
        m = float(z[free][0] * inverse[free][0]) if free.any() else 0.0
        slopes[both] = -m / product[both]
        turned = np.asarray(slopes * change)
        own = np.zeros_like(z)
        if free.any():
            moved = np.diagonal(change)[free] / (2.0 * z[free])
            total = m / z[free].sum()  # dm = total * sum(dz)
            own[free] = total * moved.sum() / z[free] - m * moved / np.square(z[free])
        np.fill_diagonal(turned, own)
        return turned


def relate(deviations: FloatArray) -> Relatedness | None:
    """Return the covariance that suits deviations Z, (n_members, n), from their mean.

    None where there are none: then every covariance does.
    """
    n_free = len(deviations) - 1
    left, size, right = np.linalg.svd(deviations, full_matrices=False)
    seen = size > 4 * EPS * max(deviations.shape) * size.max(initial=0.0)
    rank = min(int(seen.sum()), n_free)
    if rank == 0:
        return None
    left, size, right = left[:, :rank], size[:rank], right[:rank]
    floor = FLOOR / n_free
    # The free eigenvalues are the largest: as many as stay above the floor.
    count = np.arange(1, rank + 1)
    rest = 1.0 - (n_free - count) * floor
    smallest = size * rest / np.cumsum(size)
    n_above = max(1, int(np.sum(smallest > floor)))
    variance = np.full(rank, floor)
    above = size[:n_above]
    variance[:n_above] = above * (rest[n_above - 1] / above.sum())
    return Relatedness(left, size, right, variance, floor)


@final
class LearnedCoordinates(HubCoordinates):
    r"""A hub and scaled deviations, whose cost is in the metric that suits them best.

    With U the deviations from the mean and S their covariance, on the space of
    deviations, of trace 1 and bounded below::

        Omega(W) = min_S  2/(T-1) tr(U' S^-1 U)

    It is convex in W, since jointly convex in both; for S = 1/(T-1), and so for T = 2,
    it is ``2 |U|^2``, the tie to the mean.
    """

    def __init__(self, tie: Tie, shape: tuple[int, int, int]) -> None:
        super().__init__(tie, shape)
        self.weight = np.zeros(shape[1:])
        self._root = np.sqrt(self.stiffness)
        self._n_free = shape[0] - 1

    def retied(self, strengths: FloatArray) -> LearnedCoordinates:
        return LearnedCoordinates(Tie(self.tie.structure, strengths), self.shape)

    def omega(self, deviations: FloatArray, chosen: Array) -> float:
        apart = self.differences(deviations)[..., chosen]
        found = relate(apart.reshape(len(apart), -1))
        return 0.0 if found is None else self.multiple * found.least / self._n_free

    def _weighted(self, deviations: FloatArray) -> FloatArray:
        """Return Z: half its squares are ``tie/2 Omega`` where all are alike."""
        return np.asarray((self._root * deviations).reshape(self.shape[0], -1))

    def _placed(self, image: FloatArray) -> FloatArray:
        """Return a flat vector of what Z feels."""
        felt = self._root * image.reshape(self.shape) / self._n_free
        return self.join(np.zeros(self.shape[1:]), felt)

    def relatedness(self, deviations: FloatArray) -> Relatedness | None:
        """Return the covariance that suits scaled deviations; None where all do."""
        return relate(self._weighted(deviations))

    def penalty(self, deviations: FloatArray) -> float:
        found = self.relatedness(deviations)
        return 0.0 if found is None else 0.5 * found.least / self._n_free

    def tie_gradient(self, deviations: FloatArray) -> FloatArray:
        found = self.relatedness(deviations)
        if found is None:
            return np.zeros(self.size)
        return self._placed(found.solved())

    def tie_hessian(self, deviations: FloatArray, firm: float = 0.0) -> Rule:
        found = self.relatedness(deviations)

        def product(direction: FloatArray) -> FloatArray:
            if found is None:  # without deviations all are alike
                return self.join(np.zeros(self.shape[1:]), self.stiffness * direction)
            return self._placed(found.hessian(self._weighted(direction), firm))

        return product

    def metric(self, deviations: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what most members feel of the tie: a basis, and the weights in it.

        Columns of the basis (n, n) are directions of one member's flat deviation. To
        deviate as others do already costs less than to deviate as none does.
        """
        stiffness = self.stiffness.ravel()
        basis: FloatArray = np.eye(len(stiffness))
        found = self.relatedness(deviations)
        if found is None:
            return basis, stiffness
        full = len(found.size) == self._n_free
        beyond = 1.0 / (found.variance.min() if full else found.floor)
        cost = np.full(len(stiffness), beyond)
        tied = np.flatnonzero((stiffness > 0) & (self.scale.ravel() > 0))
        if np.ptp(stiffness[tied]) == 0:
            # Others mix coefficients that are scaled alike.
            own = found.right[:, tied].T
            rotated = np.linalg.qr(own, mode="complete")[0]
            rotated[:, : own.shape[1]] = own
            basis[np.ix_(tied, tied)] = rotated
            cost[tied[: own.shape[1]]] = 1.0 / found.variance
        return basis, stiffness * cost / self._n_free


class LearnedCurvature:
    """The Hessian of a problem whose relatedness is learned.

    A system is solved by conjugate gradients, preconditioned by that of members which
    are all tied to their mean as firmly as any of them is.

    Parameters
    ----------
    problem : TiedProblem
        With `LearnedCoordinates`.
    hessians : array of shape (n_members, n, n)
        Hessians of the losses of the members.
    theta : array of shape (size,)
        Where they were taken.
    """

    def __init__(self, problem: Any, hessians: FloatArray, theta: FloatArray) -> None:
        self._problem, self._hessians = problem, hessians
        self._coordinates = coordinates = problem.coordinates
        _, deviations = coordinates.split(theta)
        self._tie = coordinates.tie_hessian(deviations, FIRM)
        self._basis, weight = coordinates.metric(deviations)
        full, scale, _, *rest = problem.system(hessians)
        full = self._basis.T @ full @ self._basis
        free_hub, mean_decay, apply = rest
        mean_decay = mean_decay @ np.square(self._basis)
        self._firm = BlockArrow(full, scale, weight, free_hub, mean_decay, apply)

    def solve(self, gradient: FloatArray) -> FloatArray:
        return -rough_step(self._product, gradient, self._model, RESIDUAL)

    def _model(self, residual: FloatArray) -> FloatArray:
        hub, deviations = self._coordinates.split_direction(residual)
        flat = deviations.reshape(len(deviations), -1)
        basis = self._basis
        hub_step, steps = self._firm.solve(hub.ravel() @ basis, flat @ basis)
        back = self._coordinates.join(hub_step @ basis.T, steps @ basis.T)
        return np.asarray(back)

    def _product(self, direction: FloatArray) -> FloatArray:
        problem, coordinates = self._problem, self._coordinates
        hub, deviations = coordinates.split_direction(direction)
        members = coordinates.members(hub, deviations)
        flat = members.reshape(len(members), -1, 1)
        image = np.matmul(self._hessians, flat).reshape(members.shape)
        if problem.quadratic is not None:
            image += problem.quadratic.product(members)
        return np.asarray(
            problem.with_penalties(image, members, hub, deviations, self._tie)
        )
