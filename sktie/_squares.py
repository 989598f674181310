"""Least squares of tied members: a quadratic, so that one linear system solves it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sktie._linalg import EPS, BlockArrow, cholesky, lower_inverse
from sktie._moments import Moments
from sktie._parallel import Workers
from sktie._posterior import Posterior
from sktie._tie import Tie, TiedCoordinates, ToFixed
from sktie._typing import Array, FloatArray
from sktie._validation import OUT_OF_RANGE

#: Solutions are refined while the error falls, this often at most; where nothing holds
#: some direction of the coefficients, more often.
REFINEMENTS, PROXIMAL_STEPS = 5, 60
#: Decay of such directions in the system that is solved, relative to its largest
#: eigenvalue; steps with the true gradient take its effect back.
LIFT = 1e-8


@dataclass(frozen=True)
class SquaresMinimum:
    """The minimum of `TiedSquares`.

    Attributes
    ----------
    members : ndarray of shape (n_members, n_outputs, n_coefs)
        The parameters, intercepts last.
    hub : ndarray of shape (n_outputs, n_coefs)
        What they are tied to.
    deviations : ndarray of shape (n_members, n_outputs, n_coefs)
        Their differences from it.
    values : ndarray of shape (n_outputs,)
        The objective of each target: ``sum s r^2 + alpha |w|^2 + tie Omega``.
    """

    members: FloatArray
    hub: FloatArray
    deviations: FloatArray
    values: FloatArray


def n_open(penalty: FloatArray | None, free: Array) -> int:
    """Return how many directions of one member's coefficients no penalty holds.

    Parameters
    ----------
    penalty : array of shape (n_features, n_features) or None
        A quadratic penalty of the slopes.
    free : array of bool of shape (n_coefs,)
        Coefficients that nothing else holds.
    """
    held = 0
    if penalty is not None:
        chosen = penalty[:, free[: len(penalty)]]
        held = int(np.linalg.matrix_rank(chosen)) if chosen.size else 0
    return int(free.sum()) - held


@dataclass(frozen=True)
class TiedSquares:
    r"""Half the squared residuals of tied members, half their decay and half their tie.

    Parameters
    ----------
    moments : Moments
        What there is to know of the rows.
    tie : Tie
        With the structure `ToMean` or `ToFixed`; a strength for each coefficient, that
        of the intercept last.
    decay : array of shape (n_coefs,)
        Weight decay of each coefficient, 0 for the intercept.
    shared_decay : bool
        Decay the mean of the members once instead of every member.
    fit_intercept : bool
        Whether the last coefficient is an intercept.
    workers : Workers
        What maps over the members.
    relative : float
        Relative rounding of the moments.
    penalty : array of shape (n_features, n_features), optional
        A quadratic penalty of every member's slopes, which the Gram matrices of
        ``moments`` hold already.

    Notes
    -----
    The Hessian is the same for all targets, of n_coefs for each member: the targets
    share its factors. It is set up for the intercept ``c_t = b_t + m_t'w_t`` at a point
    m_t among the rows, which costs no digits where means are large, wherever that
    leaves the tie diagonal: at the mean of the domain where the intercept is not tied
    (it drops out then), otherwise at the mean of all rows for features that are shared
    and at 0 for others. What digits are lost there steps with the gradient bring back.
    """

    moments: Moments
    tie: Tie
    decay: FloatArray
    shared_decay: bool
    fit_intercept: bool
    workers: Workers
    relative: float
    penalty: FloatArray | None = None

    def retied(self, strengths: FloatArray, decay: FloatArray) -> TiedSquares:
        """Return the problem of the same rows with another tie and another decay."""
        return replace(self, tie=Tie(self.tie.structure, strengths), decay=decay)

    @cached_property
    def free_intercept(self) -> bool:
        """Whether each member has an intercept that nothing holds."""
        return self.fit_intercept and float(self._strengths[-1]) == 0

    @cached_property
    def _strengths(self) -> FloatArray:
        n_coefs = self.moments.mean.shape[1] + self.fit_intercept
        return np.broadcast_to(self.tie.strength, (n_coefs,))

    @property
    def free_hub(self) -> bool:
        return not isinstance(self.tie.structure, ToFixed)

    @cached_property
    def points(self) -> FloatArray:
        """Where the intercepts are taken, ``m_t``: (n_members, n_features)."""
        moments = self.moments
        if self.free_intercept:
            return moments.mean
        if not self.fit_intercept or not self.free_hub:
            return np.zeros_like(moments.mean)
        middle = moments.mass @ moments.mean / moments.mass.sum()
        middle = np.where(self.tie.shared[..., :-1], middle, 0.0)
        return np.broadcast_to(middle, moments.mean.shape)

    @cached_property
    def levels(self) -> FloatArray:
        """What is taken off the targets, (n_members, n_outputs)."""
        moments = self.moments
        if self.free_intercept or not self.fit_intercept:
            return moments.level
        middle = moments.mass @ moments.level / moments.mass.sum()
        return np.broadcast_to(middle, moments.level.shape)

    @cached_property
    def coordinates(self) -> TiedCoordinates:
        """Members of slopes and, where it is tied, of the intercept at the points."""
        structure: Any = self.tie.structure
        n_members, n_outputs = self.moments.level.shape
        n_coefs = self.moments.mean.shape[1] + self._n_offsets
        if isinstance(structure, ToFixed):
            target = structure.target[:, :n_coefs].copy()
            if self._n_offsets:
                target[:, -1] -= self.levels[0]
            structure = ToFixed(target)
        tie = Tie(structure, self._strengths[:n_coefs])
        return TiedCoordinates(tie, (n_members, n_outputs, n_coefs))

    @property
    def _n_offsets(self) -> int:
        return int(self.fit_intercept and not self.free_intercept)

    @cached_property
    def _offsets(self) -> FloatArray:
        """Rows ``(mean - point, 1)`` of each member, (n_members, n_coefs)."""
        found = self.moments.mean - self.points
        if self._n_offsets:
            found = np.hstack([found, np.ones((len(found), 1))])
        return np.asarray(found)

    @cached_property
    def hessians(self) -> FloatArray:
        """Hessians of half the squared residuals, (n_members, n, n)."""
        n_features = self.moments.mean.shape[1]
        if not self._n_offsets:
            return self.moments.gram
        offsets = self._offsets
        found = np.einsum("t,ti,tj->tij", self.moments.mass, offsets, offsets)
        found[:, :n_features, :n_features] += self.moments.gram
        return np.asarray(found)

    def _own_decays(self) -> tuple[FloatArray, FloatArray]:
        """Return the decay of every member, and that of their mean."""
        decay = self.decay[: self.moments.mean.shape[1] + self._n_offsets]
        none = np.zeros_like(decay)
        return (none, decay) if self.shared_decay else (decay, none)

    def system(self, lift: float = 0.0) -> tuple[Any, ...]:
        """Return what the linear system consists of, besides a right-hand side."""
        coordinates = self.coordinates
        member_decay, mean_decay = self._own_decays()
        hessians = self.hessians.copy()
        np.einsum("tii->ti", hessians)[:] += member_decay
        n_features = self.moments.mean.shape[1]
        np.einsum("tii->ti", hessians)[:, :n_features] += lift
        return (
            hessians,
            coordinates.scale[0],
            coordinates.weight[0],
            coordinates.free_hub,
            mean_decay,
            self.workers.map,
        )

    def posterior(self) -> Posterior:
        """Return the inverse Hessian, in the coordinates of `points`."""
        return Posterior(*self.system())

    def log_det_of_prior(self, posterior: Posterior) -> float:
        """Return the log-determinant of the penalties alone, what is flat left out."""
        return posterior.log_det_of_prior(self._own_decays()[0])

    @property
    def n_flat(self) -> int:
        """Directions of the parameters of a target that no penalty holds."""
        n_members = len(self.moments.mass)
        member_decay, mean_decay = self._own_decays()
        untied = self._strengths[: len(member_decay)] == 0
        alone = n_open(self.penalty, untied & (member_decay == 0))
        if not self.free_hub:
            flat = n_members * alone
        else:
            flat = n_open(self.penalty, (member_decay == 0) & (mean_decay == 0))
            flat += (n_members - 1) * alone
        return flat + n_members * int(self.free_intercept)

    def solve(self) -> SquaresMinimum:
        """Return the minimum; of several the one of least norm."""
        lift = self._lift()
        if not lift and self.apart:
            return self._each_alone()
        coordinates = self.coordinates
        system = BlockArrow(*self.system(lift))
        n_steps = PROXIMAL_STEPS if lift else REFINEMENTS
        theta = np.zeros(coordinates.size)
        last = np.inf
        for _ in range(n_steps):
            gradient = self._gradient(theta)
            step = self._solved(system, gradient)
            progress = float(np.abs(gradient @ step))
            if not progress < 0.25 * last:
                break
            theta -= step
            if progress <= EPS**2 * abs(last) and np.isfinite(last):
                break
            last = progress
        return self._minimum(theta)

    @property
    def apart(self) -> bool:
        """Whether nothing ties the members, to each other or to anything."""
        return not (self._strengths.any() or (self.shared_decay and self.decay.any()))

    def _each_alone(self) -> SquaresMinimum:
        """Return the minimum of members that nothing ties, one by one."""
        moments = self.moments
        n_features = moments.mean.shape[1]
        slopes = np.empty((*moments.level.shape, n_features))
        for member, (gram, cross) in enumerate(
            zip(moments.gram, moments.cross, strict=True)
        ):
            gram = gram.copy()
            np.einsum("ii->i", gram)[:] += self.decay[:n_features]
            inverse = lower_inverse(cholesky(gram))
            slopes[member] = (cross.T @ inverse.T) @ inverse
        if not np.isfinite(moments.square).all():
            raise ValueError(OUT_OF_RANGE)
        values = moments.square - np.einsum("tkj,tjk->tk", slopes, moments.cross)
        members = slopes
        if self.fit_intercept:
            offset = moments.level - np.einsum("tkj,tj->tk", slopes, moments.mean)
            members = np.concatenate([slopes, offset[..., np.newaxis]], axis=-1)
        structure: Any = self.tie.structure
        hub = members.mean(axis=0) if self.free_hub else structure.target
        values = np.maximum(values, 0.0).sum(axis=0)
        return SquaresMinimum(members, hub, members - hub, values)

    def _gradient(self, theta: FloatArray) -> FloatArray:
        coordinates, moments = self.coordinates, self.moments
        n_features = moments.mean.shape[1]
        hub, deviations = coordinates.split(theta)
        members = coordinates.members(hub, deviations)
        slopes = members[..., :n_features]
        gradient = np.zeros_like(members)
        gradient[..., :n_features] = slopes @ moments.gram
        gradient[..., :n_features] -= np.swapaxes(moments.cross, 1, 2)
        if self._n_offsets:
            force = moments.mass[:, np.newaxis] * self._off(members)
            gradient += force[..., np.newaxis] * self._offsets[:, np.newaxis]
        member_decay, mean_decay = self._own_decays()
        gradient += member_decay * members
        flat = coordinates.pull_back(gradient)
        flat += coordinates.tie_gradient(deviations)
        if self.shared_decay:
            flat += coordinates.join(mean_decay * hub, np.zeros_like(deviations))
        return flat

    def _off(self, members: FloatArray) -> FloatArray:
        """Return mean residuals of each member, (n_members, n_outputs)."""
        found = np.einsum("tkj,tj->tk", members, self._offsets)
        return np.asarray(found + (self.levels - self.moments.level))

    def _solved(self, system: BlockArrow, gradient: FloatArray) -> FloatArray:
        coordinates = self.coordinates
        hub, deviations = coordinates.split_direction(gradient)
        steps = [
            system.solve(hub[k], deviations[:, k]) for k in range(coordinates.shape[1])
        ]
        return coordinates.join(
            np.stack([step[0] for step in steps]),
            np.stack([step[1] for step in steps], axis=1),
        )

    def _lift(self) -> float:
        """Return a decay where rows and penalties leave slopes open, otherwise 0."""
        n_features = self.moments.mean.shape[1]
        if self.decay[:n_features].all():
            return 0.0
        held = self.coordinates.weight[0] > 0
        if held.all() and not self.free_hub:
            return 0.0
        systems = self.hessians
        if held.all():
            systems = systems.sum(axis=0)[np.newaxis]
        scale = np.sqrt(np.einsum("tii->ti", systems))
        scale = np.where(scale > 0, scale, 1.0)
        even = systems / scale[:, :, np.newaxis] / scale[:, np.newaxis]
        least = float(np.linalg.eigvalsh(even)[:, 0].min())
        if least > 10 * n_features * self.relative:
            return 0.0
        return LIFT * float(np.einsum("tii->t", self.hessians).max())

    def _minimum(self, theta: FloatArray) -> SquaresMinimum:
        coordinates, moments = self.coordinates, self.moments
        n_features = moments.mean.shape[1]
        hub, deviations = coordinates.split(theta)
        members = coordinates.members(hub, deviations)
        values = self._values(members, hub, deviations)
        moved = coordinates.scale * deviations
        if self.fit_intercept:
            slopes = members[..., :n_features]
            offset = self.levels - np.einsum("tkj,tj->tk", slopes, self.points)
            centre = hub[..., :n_features]
            if self._n_offsets:
                # Where features are not shared the point is 0: offsets are all equal.
                base = self.levels[0] - centre @ self.points[0]
                offset = base + members[..., -1]
                base = base + hub[..., -1]
                away = moved[..., -1]
            elif self.free_hub:
                base = offset.mean(axis=0)
                away = offset - base
            else:
                base = self._anchored_intercept()
                away = offset - base
            members = np.concatenate([slopes, offset[..., np.newaxis]], axis=-1)
            hub = np.concatenate([centre, base[..., np.newaxis]], axis=-1)
            moved = np.concatenate(
                [moved[..., :n_features], away[..., np.newaxis]], axis=-1
            )
        return SquaresMinimum(members, hub, moved, values)

    def _anchored_intercept(self) -> FloatArray:
        structure: Any = self.tie.structure
        return np.asarray(structure.target[:, -1])

    def _values(
        self, members: FloatArray, hub: FloatArray, deviations: FloatArray
    ) -> FloatArray:
        """Return the objective of each target, not halved."""
        coordinates, moments = self.coordinates, self.moments
        slopes = members[..., : moments.mean.shape[1]]
        found = moments.square - 2 * np.einsum("tkj,tjk->tk", slopes, moments.cross)
        found = found + np.einsum("tkj,tkj->tk", slopes @ moments.gram, slopes)
        found = np.maximum(found, 0.0)
        if self._n_offsets:
            found += moments.mass[:, np.newaxis] * np.square(self._off(members))
        member_decay, mean_decay = self._own_decays()
        total = found.sum(axis=0)
        total = total + np.einsum("j,tkj->k", member_decay, np.square(members))
        total = total + np.square(hub) @ mean_decay
        total = total + np.einsum(
            "kj,tkj->k", coordinates.weight, np.square(deviations)
        )
        return np.asarray(total)
