"""What the rows of tied members add to an objective, summed domain by domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np

from sktie._contract import MIN_STRIDE, sampling_stride
from sktie._design import Block, Design, Tile, sample_cells
from sktie._grams import add_grams, add_tiled_grams
from sktie._last_pass import LastPass
from sktie._loss import Loss
from sktie._parallel import Workers
from sktie._typing import Array, FloatArray

#: Takes a block, its raw predictions and their curvatures.
Visit: TypeAlias = Callable[[Block, FloatArray, FloatArray], None]


class LossSums(Protocol):
    """Sums over rows, wherever these are: all that an objective needs of them."""

    @property
    def design(self) -> Any:
        """What is known of the rows: their numbers, domains and coefficients."""
        ...

    @property
    def loss(self) -> Loss:
        """The pointwise loss."""
        ...

    @property
    def workers(self) -> Workers:
        """What maps over domains."""
        ...

    def value_gradient(self, members: FloatArray) -> tuple[float, FloatArray]:
        """Return the sum of the losses and its gradient in the members."""
        ...

    def hessians(self, members: FloatArray) -> FloatArray:
        """Return the Hessian of the losses of each member, (n_members, n, n)."""
        ...

    def product(self, members: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """Return these Hessians as a function of directions of all members."""
        ...

    def diagonal(self, members: FloatArray) -> FloatArray:
        """Return the diagonals of these Hessians, in the shape of the members."""
        ...

    def starts(self, pooled: bool) -> list[float]:
        """Return raw predictions to start from: one for each domain, or for all."""
        ...

    def attains_zero(self) -> bool:
        """Whether finite parameters may predict all rows without loss."""
        ...

    def coarse(self) -> LossSums | None:
        """Return sums over a sample of the rows, where they are many."""
        ...

    def remembering(self) -> LossSums:
        """Return the same sums, which remember what their last pass has found.

        Fits that begin where another ended need not look at the rows again, whatever
        tie and decay.
        """
        ...


@dataclass(frozen=True)
class RowSums:
    """Sums over rows that are at hand.

    Parameters
    ----------
    design : Design
        The rows; member t predicts those of domain t.
    loss : Loss
        The pointwise loss.
    y : array of shape (n_rows, ...)
        Target as the loss takes it, in the order of the design.
    weight : array of shape (n_rows,) or None
        Sample weights, in the order of the design.
    workers : Workers
        What runs the lanes.
    last : LastPass, optional
        Where to keep what the last pass over the rows has found.
    """

    design: Design
    loss: Loss
    y: Array
    weight: FloatArray | None
    workers: Workers
    last: LastPass | None = None

    def value_gradient(self, members: FloatArray) -> tuple[float, FloatArray]:
        """Return the sum of the losses and its gradient in the members."""
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
        design = self.design
        shape = design.n_domains, self.loss.n_outputs, design.n_coefs
        gradient = np.zeros(shape)
        for first, slopes, intercepts in lanes:
            part = self.design.narrow(slopes, intercepts)
            gradient[first : first + len(part)] += part
        return gradient

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
        n_outputs, n_coefs = members.shape[1:]
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
        n_outputs, n_coefs = members.shape[1:]
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

    def product(self, members: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """Return the Hessians of the losses as a function of directions."""
        design = self.design
        slopes, intercepts = design.widen(members)

        def curve(blocks: list[Block]) -> list[FloatArray]:
            out = []
            for block in blocks:
                raw = design.raw(block, design.rows(block), slopes, intercepts)
                out.append(self._curvature_of(block, raw))
            return out

        curvatures = self.workers.map(curve, design.lanes)
        lanes = list(zip(design.lanes, curvatures, strict=True))

        def image(directions: FloatArray) -> FloatArray:
            slopes, intercepts = design.widen(directions)

            def lane(
                item: tuple[list[Block], list[FloatArray]],
            ) -> tuple[int, FloatArray, FloatArray | None]:
                first, into, offsets = self._lane_gradient(item[0])
                for block, curvature in zip(*item, strict=True):
                    rows = design.rows(block)
                    raw = design.raw(block, rows, slopes, intercepts)
                    bent = self.loss.hessian_product(curvature, raw)
                    design.accumulate(block, rows, bent, into, offsets, first)
                return first, into, offsets

            return self._gather(self.workers.map(lane, lanes))

        return image

    def diagonal(self, members: FloatArray) -> FloatArray:
        """Return the diagonals of the Hessians, in the shape of the members."""
        design, loss = self.design, self.loss
        slopes, intercepts = design.widen(members)

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

        return self._gather(self.workers.map(lane, design.lanes))

    def remembering(self) -> RowSums:
        """Return the same sums, which remember what their last pass has found."""
        return replace(self, last=LastPass())

    def starts(self, pooled: bool) -> list[float]:
        """Return raw predictions to start from: one for each domain, or for all."""
        bounds = self.design.bounds[[0, -1]] if pooled else self.design.bounds
        return [
            self.loss.start(
                self.y[a:b], None if self.weight is None else self.weight[a:b]
            )
            for a, b in pairwise(bounds)
        ]

    def attains_zero(self) -> bool:
        """Whether finite parameters may predict all rows without loss."""
        return self.loss.attains_zero(self.y)

    def coarse(self) -> RowSums | None:
        """Return sums over a sample of the rows, where they are many."""
        design = self.design
        size = self.loss.n_outputs * design.n_coefs
        stride = sampling_stride(design.n_rows, design.n_domains, size)
        if stride == 1:
            return None
        cell, n_cells = self.loss.cells(self.y)
        if design.n_domains > 1:
            domain = np.arange(design.n_domains) * n_cells
            cell = cell + np.repeat(domain, np.diff(design.bounds))
        n_cells *= design.n_domains
        chosen, stands_for = sample_cells(cell, n_cells, stride)
        if MIN_STRIDE * len(chosen) > design.n_rows:
            return None
        weight = stands_for.astype(design.dtype)
        if self.weight is not None:
            weight *= self.weight[chosen]
        return replace(
            self,
            design=design.sample(chosen),
            y=self.y[chosen],
            weight=weight,
            last=None,
        )
