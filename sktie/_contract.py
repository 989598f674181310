"""The contract between problems and solvers, and what its parts cost."""

from __future__ import annotations

from typing import Protocol

from sktie._typing import FloatArray


class Curvature(Protocol):
    """A symmetric positive semidefinite model of the Hessian."""

    def solve(self, gradient: FloatArray) -> FloatArray:
        """Return the inverse of the model times a vector such as a gradient."""
        ...


class Problem(Protocol):
    """The interface between estimators and solvers."""

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        ...

    @property
    def eps(self) -> float:
        """Relative rounding of the objective."""
        ...

    def value_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return the objective and its gradient."""
        ...

    def curvature(self, theta: FloatArray) -> Curvature:
        """Return the exact Hessian at theta, factored."""
        ...

    @property
    def curvature_work(self) -> float:
        """What a factored Hessian costs, in multiplications."""
        ...

    @property
    def curvature_passes(self) -> float:
        """What a factored Hessian costs, in evaluations of value and gradient."""
        ...

    def hessp(self, theta: FloatArray) -> HessianProduct:
        """Return the exact Hessian at theta as a product."""
        ...

    def diagonal(self, theta: FloatArray) -> FloatArray:
        """Return the diagonal of the Hessian at theta, for preconditioning."""
        ...

    @property
    def curvature_floor(self) -> FloatArray:
        """Return a diagonal matrix below every Hessian; 0 where none is known."""
        ...

    def coarse(self) -> Problem | None:
        """Return a cheaper problem with nearly the same solution, if there is one."""
        ...


class HessianProduct(Protocol):
    """The Hessian as a function of a direction."""

    def __call__(self, direction: FloatArray) -> FloatArray:
        """Return Hessian times direction."""
        ...


#: Rows of a coarse problem for each domain: for each coefficient, and at least.
COARSE_ROWS_PER_COEF = 20
COARSE_ROWS = 2000
#: A coarse problem has at least this share of the rows; the sample is a copy.
COARSE_SHARE = 1 / 32
#: Below this stride the rows themselves serve as well.
MIN_STRIDE = 3
#: Multiplications a second of a Hessian, which runs in cache, relative to those of a
#: pass for gradients, which waits for memory.
HESSIAN_RATE = 20.0


def sampling_stride(n_rows: int, n_members: int, size: int) -> int:
    """Return the stride at which a coarse problem takes rows; 1 for none.

    Enough rows are kept for the Hessian of the sample to be near the whole one: its
    relative error is about ``2 sqrt(size / n_rows)`` for each member.
    """
    wanted = n_members * max(COARSE_ROWS_PER_COEF * size, COARSE_ROWS)
    stride = n_rows // max(wanted, int(COARSE_SHARE * n_rows), 1)
    return stride if stride >= MIN_STRIDE else 1


def factoring_work(n_rows: int, n_members: int, size: int, n_coefs: int) -> float:
    """Return the multiplications of a factored Hessian of ``size`` for each member."""
    return size * (0.5 * n_rows * (size + n_coefs) + 2.5 * n_members * size**2)
