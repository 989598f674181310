"""Blocks of rows, wherever they lie, and sums over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sktie._loss import ClassLoss, Loss
from sktie._moments import Moments, joined
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._typing import FloatArray, IntArray
from sktie.streams._blocks import Assembly, Digest, Given, Kept, Reading

#: Rows of a cell that a sample keeps, if it has them.
FEW_ROWS = 20


class Totals(Protocol):
    """What is summed over blocks, for some of the domains."""

    domains: IntArray

    def add(self, domains: IntArray, found: Any) -> None:
        """Add what a block, or other totals, have found for some of these domains."""
        ...

    @property
    def found(self) -> Any:
        """What has been summed up."""
        ...


@dataclass
class Sums:
    """A number, and numbers of each domain.

    Attributes
    ----------
    domains : ndarray of shape (n_domains,)
        Numbers of the domains, ascending.
    """

    domains: IntArray
    value: float = 0.0
    numbers: FloatArray | None = None

    def add(self, domains: IntArray, found: tuple[float, FloatArray]) -> None:
        value, numbers = found
        self.value += value
        if self.numbers is None:
            self.numbers = np.zeros((len(self.domains), *numbers.shape[1:]))
        self.numbers[np.searchsorted(self.domains, domains)] += numbers

    @property
    def found(self) -> tuple[float, FloatArray]:
        numbers = self.numbers
        return self.value, np.empty((0,)) if numbers is None else numbers


@dataclass
class MomentSums:
    """Moments of each domain; see `Sums`."""

    domains: IntArray
    moments: list[FloatArray] = field(default_factory=list)

    def add(self, domains: IntArray, found: Moments) -> None:
        parts = list(vars(found).values())
        if not self.moments:
            n = len(self.domains)
            self.moments = [np.zeros((n, *part.shape[1:])) for part in parts]
        place = np.searchsorted(self.domains, domains)
        before = Moments(*(own[place] for own in self.moments))
        for own, part in zip(
            self.moments, vars(joined(before, found)).values(), strict=True
        ):
            own[place] = part

    @property
    def found(self) -> Moments:
        return Moments(*self.moments)


class Work(Protocol):
    """What is done with each block of rows."""

    def __call__(self, given: Given, kept: Kept) -> Any:
        """Return what the block adds, for its domains."""
        ...

    def totals(self, domains: IntArray) -> Totals:
        """Return totals of some domains that are 0 yet."""
        ...

    def total_bytes(self, n_domains: int) -> int:
        """Return what totals of so many domains take."""
        ...


@dataclass(frozen=True)
class LossWork:
    """Sums of losses, or of their derivatives.

    Attributes
    ----------
    assembly : Assembly
        How blocks become rows.
    loss : Loss
        The pointwise loss.
    target : int
        A column of y, where it holds numbers.
    what : str
        A method of `RowSums`; ``"product"`` is one of two tables.
    tables : tuple of arrays of shape (n_domains, ...)
        What it takes of each domain.
    """

    assembly: Assembly
    loss: Loss
    target: int
    what: str
    tables: tuple[FloatArray, ...]

    def __call__(self, given: Given, kept: Kept) -> tuple[float, FloatArray]:
        rows = self.assembly.sums(given, kept, self.loss, self.target)
        return self.of(rows, kept.domains)

    def of(self, rows: RowSums, domains: IntArray) -> tuple[float, FloatArray]:
        """Return what these rows, of these domains, add."""
        own = [table[domains] for table in self.tables]
        if self.what == "value_gradient":
            return rows.value_gradient(*own)
        if self.what == "product":
            members, directions = own
            return 0.0, rows.product(members)(directions)
        found: FloatArray = getattr(rows, self.what)(*own)
        return 0.0, found

    def totals(self, domains: IntArray) -> Sums:
        return Sums(domains)

    def total_bytes(self, n_domains: int) -> int:
        size = int(np.prod(self.tables[0].shape[1:]))
        return 8 * n_domains * (size**2 if self.what == "hessians" else size)


@dataclass(frozen=True)
class MomentWork:
    """Moments of the rows; see `LossWork`."""

    assembly: Assembly
    n_features: int

    def __call__(self, given: Given, kept: Kept) -> Moments:
        return self.assembly.moments(given, kept)

    def totals(self, domains: IntArray) -> MomentSums:
        return MomentSums(domains)

    def total_bytes(self, n_domains: int) -> int:
        return 8 * n_domains * self.n_features**2


@dataclass(frozen=True)
class Draw:
    """How a sample is drawn from each block: one row of each run of ``stride``.

    Cells (classes within domains) that would keep few rows keep all of theirs.

    Attributes
    ----------
    assembly, loss, target : Assembly, Loss, int
        How blocks become rows.
    counts : ndarray of shape (n_cells,)
        Rows of each class in each domain.
    stride : int
        How many rows one stands for.
    """

    assembly: Assembly
    loss: Loss
    target: int
    counts: IntArray
    stride: int

    def __call__(self, given: Given, kept: Kept, rng: np.random.Generator) -> RowSums:
        """Return the rows of a block that are drawn, weighing as much as all."""
        rows = self.assembly.sums(given, kept, self.loss, self.target)
        n_rows, stride = rows.design.n_rows, self.stride
        cell = np.repeat(kept.domains, np.diff(kept.bounds))
        if isinstance(self.loss, ClassLoss) and kept.codes is not None:
            cell = cell * self.loss.n_classes + kept.codes
        small = (self.counts < FEW_ROWS * stride)[cell]
        firsts = np.arange(0, n_rows, stride)
        ones = firsts + rng.integers(stride, size=len(firsts))
        drawn = np.zeros(n_rows, dtype=bool)
        drawn[ones[ones < n_rows]] = True
        chosen = np.flatnonzero(drawn | small)
        weight = np.where(small[chosen], 1.0, float(stride)).astype(rows.design.dtype)
        if rows.weight is not None:
            weight *= rows.weight[chosen]
        design = rows.design.sample(chosen)
        return RowSums(design, self.loss, rows.y[chosen], weight, Workers())


class Parts(ABC):
    """Rows in blocks, which are visited one by one and never gathered.

    Attributes
    ----------
    sample_bytes : float
        What a sample of the rows may take.
    empty : Given
        No rows, in containers like those of the blocks; None where there are none.
    """

    sample_bytes: float = 1 << 25
    empty: Given

    @abstractmethod
    def survey(
        self, reading: Reading, workers: Workers
    ) -> tuple[Reading, list[Digest]]:
        """Validate all blocks, keep a little of each, and return what they tell.

        Also how they are read from now on.
        """

    @abstractmethod
    def number(self, maps: list[tuple[IntArray, IntArray | None]]) -> None:
        """Give each block its domains and classes by their numbers over all."""

    @abstractmethod
    def total(self, work: Work, n_domains: int, workers: Workers) -> Any:
        """Return what all blocks add up to, in an order that depends on them alone."""

    def sample(
        self, assembly: Assembly, loss: Loss, target: int, counts: IntArray, stride: int
    ) -> RowSums | Parts | None:
        """Return one row in ``stride``, weighing as much: gathered, or where they lie.

        ``counts`` are rows of each class in each domain.
        """
        return None
