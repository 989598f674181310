"""The Newton system of members that are tied along a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktie._linalg import cholesky, conjugate_step, lower_inverse
from sktie._nesting import Level, Nesting
from sktie._typing import Array, FloatArray, IntArray

#: Relative residual, in the metric of the model, to which a system is solved.
RESIDUAL = 1e-2


def inverses(matrices: FloatArray) -> FloatArray:
    """Return the inverses of positive semidefinite matrices (n_matrices, n, n)."""
    roots = np.empty_like(matrices)
    for root, matrix in zip(roots, matrices, strict=True):
        root[:] = lower_inverse(cholesky(matrix))
    return np.asarray(np.swapaxes(roots, 1, 2) @ roots)


class Elimination:
    r"""Solves a Newton system on a forest, from the leaves up.

    The Hessian of ``sum_v 1/2 w_v' H_v w_v + 1/2 sum_v a_v |w_v - w_parent(v)|_S^2``,
    with S the diagonal of the strengths.

    Parameters
    ----------
    nesting : Nesting
        The forest. Its first nodes have Hessians; for others these are 0.
    hessians : array of shape (n_members, n, n)
        ``H_v``.
    strength : array of shape (n,)
        Finite strengths.
    shared : array of bool of shape (n,)
        Coefficients that are equal in a tree instead.

    Notes
    -----
    With K the Hessian of a node and of all that was eliminated below it, and
    ``D = a S``, its parent gets ``D (K + D)^-1 K``. Nothing is subtracted: that is D
    where the tie is loose and K where it is firm, each to full precision. For shared
    coefficients, where D is infinite, it is the Schur complement of the others.
    """

    def __init__(
        self,
        nesting: Nesting,
        hessians: FloatArray,
        strength: FloatArray,
        shared: Array,
    ) -> None:
        n_members, n = hessians.shape[:2]
        self._nesting, self._strength = nesting, strength
        self._own: IntArray = np.flatnonzero(~shared)
        self._common: IntArray = np.flatnonzero(shared)
        total = np.zeros((nesting.n_nodes, n, n))
        total[:n_members] = hessians
        # Without a tie, nodes without rows are anywhere: here at 0.
        open_ones = np.flatnonzero(~shared & (strength == 0))
        total[n_members:, open_ones, open_ones] = 1.0
        self._parts = [self._eliminate(level, total) for level in nesting.levels]

    def _eliminate(
        self, level: Level, total: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Add what a level says to its parents' Hessians; return what solves it."""
        roots = inverses(total[level.roots])
        nodes, own, common = level.nodes, self._own, self._common
        pull = level.weight[:, np.newaxis] * self._strength[own]
        cross = None
        if not len(common):
            hessian = total[nodes]
            system = hessian.copy()
            np.einsum("tii->ti", system)[:] += pull
            inverse = inverses(system)
            said = inverse @ hessian
            said *= pull[:, :, np.newaxis]
        else:
            hessian = total[nodes]
            system = hessian[:, own[:, np.newaxis], own]
            np.einsum("tii->ti", system)[:] += pull
            inverse = inverses(system)
            taken = inverse @ hessian[:, own]
            cross = hessian[:, common[:, np.newaxis], own]
            said = np.empty_like(hessian)
            said[:, own] = pull[:, :, np.newaxis] * taken
            said[:, common] = hessian[:, common] - cross @ taken
        said += np.swapaxes(said, 1, 2).copy()
        said *= 0.5
        total[level.parents] += level.sums(said)
        return roots, inverse, cross

    def solve(self, forces: FloatArray) -> FloatArray:
        """Return the inverse Hessian times a vector (n_members, n)."""
        own, common = self._own, self._common
        n_members, n = forces.shape
        force = np.zeros((self._nesting.n_nodes, n))
        force[:n_members] = forces
        steps = np.zeros_like(force)
        levels = self._nesting.levels
        for level, (roots, inverse, cross) in zip(levels, self._parts, strict=True):
            if len(level.roots):
                steps[level.roots] = _times(roots, force[level.roots])
            if not len(level.nodes):
                continue
            moved = _times(inverse, force[level.nodes][:, own])
            said = np.empty((len(moved), n))
            said[:, own] = level.weight[:, np.newaxis] * self._strength[own] * moved
            if cross is not None:
                said[:, common] = force[level.nodes][:, common] - _times(cross, moved)
            force[level.parents] += level.sums(said)
            steps[level.nodes[:, np.newaxis], own] = moved
        for level, (_, inverse, cross) in zip(
            levels[::-1], self._parts[::-1], strict=True
        ):
            if not len(level.nodes):
                continue
            above = steps[level.up]
            pull = level.weight[:, np.newaxis] * self._strength[own] * above[:, own]
            if cross is not None:
                steps[level.nodes[:, np.newaxis], common] = above[:, common]
                pull -= _times(np.swapaxes(cross, 1, 2), above[:, common])
            steps[level.nodes[:, np.newaxis], own] += _times(inverse, pull)
        return steps[:n_members]


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.asarray(np.matmul(matrices, vectors[:, :, np.newaxis])[:, :, 0])


class RelatedCurvature:
    """The Hessian of a problem whose members are tied along a graph.

    On a forest a system is solved by elimination. Otherwise by conjugate gradients,
    preconditioned by the elimination of a forest like the graph: see `nest`.

    Parameters
    ----------
    problem : TiedProblem
        With `RelatedCoordinates`.
    hessians : array of shape (n_members, n, n)
        Hessians of the losses of the members; the decay is added to them.
    """

    def __init__(self, problem: Any, hessians: FloatArray) -> None:
        coordinates = self._coordinates = problem.coordinates
        n_outputs, size = problem.loss.n_outputs, hessians.shape[-1]
        diagonal = np.arange(size)
        hessians[:, diagonal, diagonal] += np.tile(problem.member_decay, n_outputs)
        self._hessians = hessians
        self._exact = coordinates.structure.nesting.exact
        self._elimination = Elimination(
            coordinates.structure.nesting,
            hessians,
            np.tile(coordinates.strength, n_outputs),
            np.tile(coordinates.shared, n_outputs),
        )

    def solve(self, gradient: FloatArray) -> FloatArray:
        if self._exact:
            return self._model(gradient)
        first: list[float] = []

        def enough(residual: FloatArray, energy: float, decrease: float) -> bool:
            return energy <= RESIDUAL**2 * first[0]

        def model(residual: FloatArray) -> FloatArray:
            step = self._model(residual)
            if not first:
                first.append(float(residual @ step))
            return step

        return conjugate_step(self._product, -gradient, model, enough)

    def _model(self, residual: FloatArray) -> FloatArray:
        coordinates = self._coordinates
        forces = residual.reshape(len(self._hessians), -1)
        steps = self._elimination.solve(forces).reshape(coordinates.shape)
        return coordinates.locate(steps)

    def _product(self, direction: FloatArray) -> FloatArray:
        coordinates = self._coordinates
        image = _times(self._hessians, direction.reshape(len(self._hessians), -1))
        image = coordinates.pull_back(image.reshape(coordinates.shape))
        return np.asarray(
            image + coordinates.tie_gradient(direction.reshape(coordinates.shape))
        )
