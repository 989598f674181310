"""The objective of tied members as what a solver sees: a function of a flat vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from sktie._contract import (
    HESSIAN_RATE,
    MIN_STRIDE,
    Curvature,
    HessianProduct,
    factoring_work,
    sampling_stride,
)
from sktie._design import Block, Design, Tile, sample_cells
from sktie._elimination import RelatedCurvature
from sktie._grams import add_grams, add_tiled_grams
from sktie._last_pass import LastPass
from sktie._learned import LearnedCoordinates, LearnedCurvature
from sktie._linalg import BlockArrow, Rule
from sktie._loss import Loss
from sktie._parallel import Workers
from sktie._posterior import Posterior
from sktie._quadratic import Quadratic, QuadraticSum
from sktie._related import RelatedCoordinates
from sktie._tie import HubCoordinates
from sktie._typing import Array, FloatArray

#: Takes a block, its raw predictions and their curvatures.
Visit: TypeAlias = Callable[[Block, FloatArray, FloatArray], None]


@dataclass(frozen=True)
class TiedProblem:
    """Loss on the rows of tied members, their decay and their tie.

    Parameters
    ----------
    design : Design
        The rows; member t of the coordinates predicts those of domain t.
    loss : Loss
        The pointwise loss.
    y : array of shape (n_rows, ...)
        Target as the loss takes it, in the order of the design.
    weight : array of shape (n_rows,) or None
        Sample weights, in the order of the design.
    coordinates : HubCoordinates or RelatedCoordinates
        Members from the solver's flat vector.
    decay : array of shape (n_coefs,) or (n_members, 1, n_coefs)
        Weight decay of each coefficient: ``1/C``, and 0 for the intercept. One row
        for all members, or one for each; the latter not with ``shared_decay``.
    shared_decay : bool
        Decay the mean of the members once instead of every member.
    workers : Workers
        What runs the lanes.
    last : LastPass, optional
        Where to keep what the last pass over the rows has found. Fits that begin where
        another ended need not look at the rows again, whatever tie and decay.
    quadratic : Quadratic, optional
        A penalty of every member alone, besides its decay.
    """

    design: Design
    loss: Loss
    y: Array
    weight: FloatArray | None
    coordinates: HubCoordinates | RelatedCoordinates
    decay: FloatArray
    shared_decay: bool
    workers: Workers
    last: LastPass | None = None
    quadratic: Quadratic | QuadraticSum | None = None

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
        value, gradient = self._loss_value_gradient(members)
        value += 0.5 * float(np.sum(self.member_decay * np.square(members)))
        value += 0.5 * float(np.sum(self.mean_decay * np.square(hub)))
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

    def _loss_value_gradient(self, members: FloatArray) -> tuple[float, FloatArray]:
        design, last = self.design, self.last
        if last is not None and last.was_at(self, members):
            return last.value, last.gradient.copy()
        raws = None if last is None else last.begin(self)
        slopes, intercepts = design.widen(members)

        def lane(
            blocks: list[Block],
        ) -> tuple[float, int, FloatArray, FloatArray | None]:
            first, into, offsets = self._lane_gradient(blocks)
            total = 0.0
            for block in blocks:
                rows = design.rows(block)
                raw = design.raw(block, rows, slopes, intercepts)
                y, weight = self.y[block.start : block.stop], self.weight_of(block)
                value, residual = self.loss.value_gradient(y, raw, weight)
                total += value
                design.accumulate(block, rows, residual, into, offsets, first)
                if raws is not None:
                    raws[block.start : block.stop] = raw
            return total, first, into, offsets

        results = self.workers.map(lane, design.lanes)
        value = float(sum(result[0] for result in results))
        gradient = self._gather([result[1:] for result in results])
        if last is not None:
            last.end(self, members, value, gradient)
        return value, gradient

    def weight_of(self, block: Block) -> FloatArray | None:
        """Return the weights of the rows of a block."""
        return None if self.weight is None else self.weight[block.start : block.stop]

    def _curvature_of(self, block: Block, raw: FloatArray) -> FloatArray:
        y = self.y[block.start : block.stop]
        return self.loss.curvature(y, raw, self.weight_of(block))

    def _lane_gradient(
        self, blocks: list[Block]
    ) -> tuple[int, FloatArray, FloatArray | None]:
        """Return the first domain of a lane, and zeros for its gradients."""
        first = blocks[0].segments[0].domain
        n_domains = blocks[-1].segments[-1].domain + 1 - first
        n_outputs = self.loss.n_outputs
        # Laid out as products with the transposed rows come.
        slopes = np.zeros((n_domains, self.design.X.shape[1], n_outputs))
        slopes = np.swapaxes(slopes, 1, 2)
        if not self.design.fit_intercept:
            return first, slopes, None
        return first, slopes, np.zeros((n_domains, n_outputs))

    def _gather(
        self, lanes: list[tuple[int, FloatArray, FloatArray | None]]
    ) -> FloatArray:
        """Add up the lanes, always in the same order."""
        gradient = np.zeros(self.coordinates.shape)
        for first, slopes, intercepts in lanes:
            part = self.design.narrow(slopes, intercepts)
            gradient[first : first + len(part)] += part
        return gradient

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
        return 2.5 + self.curvature_work / (HESSIAN_RATE * one_pass)

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
            bounds = design.bounds[[0, -1]] if strength[-1] > 0 else design.bounds
            start = [
                self.loss.start(
                    self.y[a:b], None if self.weight is None else self.weight[a:b]
                )
                for a, b in pairwise(bounds)
            ]
            members[:, :, -1] = np.reshape(start, (-1, 1))
        return coordinates.locate(members)

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

    def hessians(self, members: FloatArray, visit: Visit | None = None) -> FloatArray:
        """Return the Hessian of the losses of each member, (n_members, n, n).

        ``visit`` is shown raw predictions and curvatures of every block on the way.
        """

        def add(block: Block, raw: FloatArray, total: FloatArray) -> None:
            curvature = self._curvature_of(block, raw)
            if visit is not None and not self.design.is_crowded:
                visit(block, raw, curvature)
            rows = self.design.dense_rows(block)
            with np.errstate(over="ignore", invalid="ignore"):  # is checked later
                add_grams(total, rows, curvature, self.loss)

        pieces = self.design.domain_blocks(self.loss.n_outputs, tiled=True)
        total = self._summed(members, add, pieces)
        if self.design.is_crowded:
            self._add_small_domains(members, visit, total)
        return total

    def _add_small_domains(
        self, members: FloatArray, visit: Visit | None, total: FloatArray
    ) -> None:
        """Add the Hessians of many small domains, a tile of them at a time."""
        design, loss = self.design, self.loss
        slopes, intercepts = design.widen(members)
        n_outputs, n_coefs = self.coordinates.shape[1:]
        raws = self._known_raws(members)

        def curve(blocks: list[Block]) -> list[FloatArray]:
            found = []
            for block in blocks:
                if raws is None:
                    raw = design.raw(block, design.rows(block), slopes, intercepts)
                else:
                    raw = raws[block.start : block.stop]
                found.append(self._curvature_of(block, raw))
                if visit is not None:
                    visit(block, raw, found[-1])
            return found

        lanes = self.workers.map(curve, design.lanes)
        curvature = np.concatenate([part for lane in lanes for part in lane])

        def add(tile: Tile) -> None:
            shape = len(tile.domains), n_outputs, n_coefs, n_outputs, n_coefs
            grams = np.zeros(shape)
            rows = design.tile_rows(tile)
            with np.errstate(over="ignore", invalid="ignore"):  # is checked later
                add_tiled_grams(grams, rows, tile, curvature[tile.places], loss)
            total[tile.domains] = grams.reshape(-1, *total.shape[1:])

        self.workers.map(add, design.tiles(n_outputs))

    def _known_raws(self, members: FloatArray) -> FloatArray | None:
        """Return the raw predictions of the last pass, where it was for these."""
        last = self.last
        return last.raw if last is not None and last.was_at(self, members) else None

    def gradient_products(
        self, members: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        """Return the sums of products of the gradients of rows, (n_members, n, n).

        Parameters
        ----------
        members : array of shape (n_members, n_outputs, n_coefs)
            Where the gradients are taken.
        weight : array of shape (n_rows,) or None
            Weights of the products, in the order of the design; gradients have none.
        """

        def add(block: Block, raw: FloatArray, total: FloatArray) -> None:
            place = slice(block.start, block.stop)
            _, gradient = self.loss.value_gradient(self.y[place], raw, None)
            if weight is not None:
                gradient = gradient * np.sqrt(weight[place, np.newaxis])
            rows = self.design.dense_rows(block)
            parts = [own[:, np.newaxis] * rows for own in gradient.T]
            for k, left in enumerate(parts):
                for j, right in enumerate(parts):
                    total[k, :, j] += left.T @ right

        return self._summed(members, add)

    def row_sums(self, gradients: FloatArray) -> FloatArray:
        """Return the sum over the rows of each member of gradient times row.

        Parameters
        ----------
        gradients : array of shape (n_rows, n_outputs)
            Numbers for each raw prediction, in the order of the design.

        Returns
        -------
        ndarray of shape (n_members, n_outputs, n_coefs)
            What a gradient of the members is made of.
        """
        design = self.design

        def lane(
            blocks: list[Block],
        ) -> tuple[int, FloatArray, FloatArray | None]:
            first, into, offsets = self._lane_gradient(blocks)
            for block in blocks:
                part = gradients[block.start : block.stop]
                design.accumulate(block, design.rows(block), part, into, offsets, first)
            return first, into, offsets

        return self._gather(self.workers.map(lane, design.lanes))

    def _summed(
        self,
        members: FloatArray,
        add: Callable[[Block, FloatArray, FloatArray], None],
        pieces: list[tuple[int, list[Block]]] | None = None,
    ) -> FloatArray:
        """Return sums over the rows of each member, (n_members, n, n).

        ``add(block, raw, total)`` adds a block of rows, whose raw predictions by the
        members are given, to a total (n_outputs, n_coefs, n_outputs, n_coefs). Of
        ``pieces``, where given, other domains are left at 0.
        """
        design = self.design
        slopes, intercepts = design.widen(members)
        n_outputs, n_coefs = self.coordinates.shape[1:]
        raws = self._known_raws(members)

        def piece(item: tuple[int, list[Block]]) -> FloatArray:
            total = np.zeros((n_outputs, n_coefs, n_outputs, n_coefs))
            for block in item[1]:
                if raws is None:
                    raw = design.raw(block, design.rows(block), slopes, intercepts)
                else:
                    raw = raws[block.start : block.stop]
                add(block, raw, total)
            return total

        if pieces is None:
            pieces = design.domain_blocks(n_outputs)
        out = np.zeros((design.n_domains, n_outputs, n_coefs, n_outputs, n_coefs))
        for (domain, _), part in zip(
            pieces, self.workers.map(piece, pieces), strict=True
        ):
            out[domain] += part
        size = n_outputs * n_coefs
        return out.reshape(design.n_domains, size, size)

    def hessp(self, theta: FloatArray) -> HessianProduct:
        coordinates, design = self.coordinates, self.design
        slopes, intercepts = design.widen(
            coordinates.members(*coordinates.split(theta))
        )

        def curve(blocks: list[Block]) -> list[FloatArray]:
            out = []
            for block in blocks:
                raw = design.raw(block, design.rows(block), slopes, intercepts)
                out.append(self._curvature_of(block, raw))
            return out

        curvatures = self.workers.map(curve, design.lanes)
        lanes = list(zip(design.lanes, curvatures, strict=True))
        tie = coordinates.tie_hessian(coordinates.split(theta)[1])

        def product(direction: FloatArray) -> FloatArray:
            hub, deviations = coordinates.split_direction(direction)
            members = coordinates.members(hub, deviations)
            slopes, intercepts = design.widen(members)

            def lane(
                item: tuple[list[Block], list[FloatArray]],
            ) -> tuple[int, FloatArray, FloatArray | None]:
                first, into, offsets = self._lane_gradient(item[0])
                for block, curvature in zip(*item, strict=True):
                    rows = design.rows(block)
                    raw = design.raw(block, rows, slopes, intercepts)
                    image = self.loss.hessian_product(curvature, raw)
                    design.accumulate(block, rows, image, into, offsets, first)
                return first, into, offsets

            image = self._gather(self.workers.map(lane, lanes))
            if self.quadratic is not None:
                image += self.quadratic.product(members)
            return self.with_penalties(image, members, hub, deviations, tie)

        return product

    def diagonal(self, theta: FloatArray) -> FloatArray:
        coordinates, design, loss = self.coordinates, self.design, self.loss
        slopes, intercepts = design.widen(
            coordinates.members(*coordinates.split(theta))
        )

        def lane(
            blocks: list[Block],
        ) -> tuple[int, FloatArray, FloatArray | None]:
            first, into, offsets = self._lane_gradient(blocks)
            for block in blocks:
                rows = design.rows(block)
                raw = design.raw(block, rows, slopes, intercepts)
                curvature = self._curvature_of(block, raw)
                own = [
                    loss.hessian_block(curvature, k, k) for k in range(loss.n_outputs)
                ]
                squared = rows.multiply(rows) if design.is_sparse else rows * rows
                design.accumulate(
                    block, squared, np.stack(own, axis=1), into, offsets, first
                )
            return first, into, offsets

        diagonal = self._gather(self.workers.map(lane, design.lanes))
        diagonal += self.member_decay
        if self.quadratic is not None:
            diagonal += self.quadratic.diagonal
        return coordinates.diagonal(diagonal, self.mean_decay)

    @property
    def curvature_floor(self) -> FloatArray:
        coordinates = self.coordinates
        decay = np.broadcast_to(self.member_decay, coordinates.shape)
        hub = decay.sum(axis=0) + self.mean_decay
        own = np.square(coordinates.scale) * self.member_decay + coordinates.weight
        return coordinates.join(hub, np.broadcast_to(own, coordinates.shape))

    def coarse(self) -> TiedProblem | None:
        """Return the problem on a sample of the rows, where they are many."""
        size = self.loss.n_outputs * self.design.n_coefs
        stride = sampling_stride(self.design.n_rows, self.design.n_domains, size)
        if stride == 1:
            return None
        cell, n_cells = self.loss.cells(self.y)
        if self.design.n_domains > 1:
            domain = np.arange(self.design.n_domains) * n_cells
            cell = cell + np.repeat(domain, np.diff(self.design.bounds))
        n_cells *= self.design.n_domains
        chosen, stands_for = sample_cells(cell, n_cells, stride)
        if MIN_STRIDE * len(chosen) > self.design.n_rows:
            return None
        weight = stands_for.astype(self.design.dtype)
        if self.weight is not None:
            weight *= self.weight[chosen]
        design = self.design.sample(chosen)
        return replace(self, design=design, y=self.y[chosen], weight=weight, last=None)


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
