"""The objective of tied members as what a solver sees: a function of a flat vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sktie._contract import (
    HESSIAN_RATE,
    Curvature,
    HessianProduct,
    factoring_work,
)
from sktie._elimination import RelatedCurvature
from sktie._learned import LearnedCoordinates, LearnedCurvature
from sktie._linalg import BlockArrow, Rule
from sktie._loss import Loss
from sktie._parallel import Workers
from sktie._posterior import Posterior
from sktie._quadratic import Quadratic, QuadraticSum
from sktie._related import RelatedCoordinates
from sktie._row_sums import LossSums, RowSums
from sktie._tie import HubCoordinates
from sktie._typing import FloatArray


@dataclass(frozen=True)
class TiedProblem:
    """Loss on the rows of tied members, their decay and their tie.

    Parameters
    ----------
    sums : LossSums
        Losses of the rows; member t of the coordinates predicts those of domain t.
    coordinates : HubCoordinates or RelatedCoordinates
        Members from the solver's flat vector.
    decay : array of shape (n_coefs,) or (n_members, 1, n_coefs)
        Weight decay of each coefficient: ``1/C``, and 0 for the intercept. One row
        for all members, or one for each; the latter not with ``shared_decay``.
    shared_decay : bool
        Decay the mean of the members once instead of every member.
    quadratic : Quadratic, optional
        A penalty of every member alone, besides its decay.
    """

    sums: LossSums
    coordinates: HubCoordinates | RelatedCoordinates
    decay: FloatArray
    shared_decay: bool
    quadratic: Quadratic | QuadraticSum | None = None

    @property
    def design(self) -> Any:
        return self.sums.design

    @property
    def loss(self) -> Loss:
        return self.sums.loss

    @property
    def workers(self) -> Workers:
        return self.sums.workers

    @property
    def rows(self) -> RowSums:
        """The sums, for what needs the rows themselves at hand."""
        if not isinstance(self.sums, RowSums):
            raise TypeError("The rows of this problem are not at hand.")
        return self.sums

    @property
    def size(self) -> int:
        return self.coordinates.size

    @property
    def eps(self) -> float:
        return float(np.finfo(self.design.dtype).eps)

    @cached_property
    def member_decay(self) -> FloatArray:
        return np.zeros_like(self.decay) if self.shared_decay else self.decay

    @cached_property
    def mean_decay(self) -> FloatArray:
        return self.decay if self.shared_decay else np.zeros(self.decay.shape[-1])

    @cached_property
    def member_hessian(self) -> FloatArray:
        """Hessian of what acts on one member alone, besides its loss; (n, n)."""
        decay = np.diag(np.tile(self.member_decay, self.coordinates.shape[1]))
        return decay if self.quadratic is None else decay + self.quadratic.matrix

    def value_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        coordinates = self.coordinates
        hub, deviations = coordinates.split(theta)
        members = coordinates.members(hub, deviations)
        value, gradient = self.sums.value_gradient(members)
        decay, of = (
            (self.mean_decay, hub)
            if self.shared_decay
            else (self.member_decay, members)
        )
        value += 0.5 * float((decay * np.square(of)).sum())
        value += coordinates.penalty(deviations)
        if self.quadratic is not None:
            value += self.quadratic.value(members)
            gradient += self.quadratic.gradient(members)
        tie = coordinates.tie_gradient
        return value, self.with_penalties(gradient, members, hub, deviations, tie)

    def with_penalties(
        self,
        gradient: FloatArray,
        members: FloatArray,
        hub: FloatArray,
        deviations: FloatArray,
        tie: Rule,
    ) -> FloatArray:
        """Return the flat gradient, with the decay and the tie; see `hessp`.

        The decay is quadratic: of a direction, and with the Hessian of the tie in the
        place of its gradient, this is the Hessian product.
        """
        coordinates = self.coordinates
        gradient += self.member_decay * members
        flat = coordinates.pull_back(gradient)
        flat += tie(deviations)
        if self.shared_decay:
            flat += coordinates.join(self.mean_decay * hub, np.zeros_like(deviations))
        return flat

    @property
    def curvature_work(self) -> float:
        """What a factored Hessian costs, in multiplications."""
        design = self.design
        size = self.loss.n_outputs * design.n_coefs
        return factoring_work(design.n_rows, design.n_domains, size, design.n_coefs)

    @property
    def curvature_passes(self) -> float:
        """What a factored Hessian costs, in evaluations of value and gradient."""
        one_pass = 2.0 * max(1, self.design.entries) * self.loss.n_outputs
        at = self.coordinates
        graph = isinstance(at, RelatedCoordinates) and not at.structure.nesting.exact
        if graph or isinstance(at, LearnedCoordinates):
            one_pass *= 3.0  # a step by conjugate gradients costs two passes more
        return float(2.5 + self.curvature_work / (HESSIAN_RATE * one_pass))

    def curvature(self, theta: FloatArray) -> Curvature:
        hessians = self.hessians(self.members(theta))
        if isinstance(self.coordinates, RelatedCoordinates):
            return RelatedCurvature(self, hessians)
        if isinstance(self.coordinates, LearnedCoordinates):
            return LearnedCurvature(self, hessians, theta)
        return TiedCurvature(self, hessians)

    def members(self, theta: FloatArray) -> FloatArray:
        """Return the members, (n_members, n_outputs, n_coefs)."""
        return self.coordinates.members(*self.coordinates.split(theta))

    def origin(self) -> FloatArray:
        """Return where to start: at zero, with the intercepts that the loss suggests.

        A fixed model is a start of its own, from which a strong tie leaves little to
        go, unless its predictions overflow.
        """
        coordinates, design = self.coordinates, self.design
        strength = np.ravel(coordinates.tie.strength)
        members = np.zeros(coordinates.shape)
        if not coordinates.free_hub and strength.any():
            anchor = np.zeros(self.size)
            fits = np.isfinite(self.value_gradient(anchor)[0])
            return anchor if fits else coordinates.locate(members)
        if design.fit_intercept:
            start = self.sums.starts(pooled=strength[-1] > 0)
            members[:, :, -1] = np.reshape(start, (-1, 1))
        return coordinates.locate(members)

    def of_rows(self, **changes: Any) -> TiedProblem:
        """Return the problem of other rows, or of the same with other targets."""
        return replace(self, sums=replace(self.rows, **{"last": None, **changes}))

    def retied(self, strengths: FloatArray, decay: FloatArray) -> TiedProblem:
        """Return the problem of the same rows with another tie and another decay."""
        coordinates = self.coordinates.retied(strengths)
        return replace(self, coordinates=coordinates, decay=decay)

    def posterior(self, hessians: FloatArray) -> Posterior:
        """Return what Hessians of the losses of all members leave open."""
        return Posterior(*self.system(hessians))

    def system(self, hessians: FloatArray) -> tuple[Any, ...]:
        """Return what a Newton system consists of, besides a right-hand side."""
        coordinates = self.coordinates
        n_outputs = coordinates.shape[1]
        size = hessians.shape[-1]
        hessians = hessians.copy()
        decay = np.broadcast_to(self.member_decay, coordinates.shape)
        hessians[:, np.arange(size), np.arange(size)] += decay.reshape(-1, size)
        if self.quadratic is not None:
            hessians += self.quadratic.matrix
        return (
            hessians,
            coordinates.scale.ravel(),
            coordinates.weight.ravel(),
            coordinates.free_hub,
            np.tile(self.mean_decay, n_outputs),
            self.workers.map,
        )

    def hessians(self, members: FloatArray) -> FloatArray:
        """Return the Hessian of the losses of each member, (n_members, n, n)."""
        return self.sums.hessians(members)

    def hessp(self, theta: FloatArray) -> HessianProduct:
        coordinates = self.coordinates
        of_losses = self.sums.product(self.members(theta))
        tie = coordinates.tie_hessian(coordinates.split(theta)[1])

        def product(direction: FloatArray) -> FloatArray:
            hub, deviations = coordinates.split_direction(direction)
            members = coordinates.members(hub, deviations)
            image = of_losses(members)
            if self.quadratic is not None:
                image += self.quadratic.product(members)
            return self.with_penalties(image, members, hub, deviations, tie)

        return product

    def diagonal(self, theta: FloatArray) -> FloatArray:
        diagonal = self.sums.diagonal(self.members(theta))
        diagonal += self.member_decay
        if self.quadratic is not None:
            diagonal += self.quadratic.diagonal
        return self.coordinates.diagonal(diagonal, self.mean_decay)

    @property
    def curvature_floor(self) -> FloatArray:
        coordinates = self.coordinates
        decay = np.broadcast_to(self.member_decay, coordinates.shape)
        hub = decay.sum(axis=0) + self.mean_decay
        own = np.square(coordinates.scale) * self.member_decay + coordinates.weight
        return coordinates.join(hub, np.broadcast_to(own, coordinates.shape))

    def coarse(self) -> TiedProblem | None:
        """Return the problem on a sample of the rows, where they are many."""
        sums = self.sums.coarse()
        return None if sums is None else replace(self, sums=sums)


class TiedCurvature:
    """The factored Hessian of a `TiedProblem`.

    Parameters
    ----------
    problem : TiedProblem
        Its tie and decay count.
    hessians : array of shape (n_members, n, n)
        Hessians of the losses of the members, at any point.
    """

    def __init__(self, problem: TiedProblem, hessians: FloatArray) -> None:
        self._coordinates = problem.coordinates
        self._system = BlockArrow(*problem.system(hessians))

    def solve(self, gradient: FloatArray) -> FloatArray:
        coordinates = self._coordinates
        hub, deviations = coordinates.split_direction(gradient)
        hub_part, parts = self._system.solve(
            hub.ravel(), deviations.reshape(len(deviations), -1)
        )
        return coordinates.join(hub_part, parts)
