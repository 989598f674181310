"""The Newton system of members that are tied along a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from sktie._linalg import OVERFLOW, cholesky, rough_step
from sktie._nesting import Level, Nesting
from sktie._pooled import Pooled
from sktie._typing import Array, FloatArray, IntArray

#: Relative residual, in the metric of the model, to which a system is solved.
RESIDUAL = 0.2
#: A tie is loose where it is no stronger than so many times the curvature.
LOOSE = 2.0
#: Matrices at a time, few enough to stay in cache.
AT_ONCE = 128
#: Up to so many times the curvature, what a tie leaves of it may be a difference.
NEAR = 1e3


def invert(matrices: FloatArray) -> None:
    """Put the inverses of positive semidefinite matrices in their place.

    Of each matrix (n_matrices, n, n) only what is below the diagonal is read.
    """
    if not np.isfinite(matrices).all():
        raise ValueError(OVERFLOW)
    if not matrices.size:
        return
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (matrices,))
    for matrix in matrices:
        # Symmetric: the transpose is in the order of columns, and is not copied.
        factor, info = potrf(matrix.T, lower=True, clean=True)
        if info != 0:
            factor = cholesky(matrix)
        matrix.T[:], _ = potri(factor, lower=True, overwrite_c=True)
    np.einsum("tii->ti", matrices)[:] *= 0.5  # half of each is there, and zeros
    matrices += np.swapaxes(matrices, 1, 2).copy()


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
        self._nesting, self._place = nesting, nesting.place[:n_members]
        self._common: IntArray = np.flatnonzero(shared)
        self._own: Any = np.flatnonzero(~shared) if shared.any() else slice(None)
        self._strength = strength[self._own]
        total = np.zeros((len(nesting.place), n, n))
        total[self._place] = hessians
        # Without a tie, nodes without rows are anywhere: here at 0.
        others = nesting.place[n_members:, np.newaxis]
        untied = np.flatnonzero(~shared & (strength == 0))
        total[others, untied, untied] = 1.0
        if nesting.lumped is not None:
            held = nesting.lumped[:, np.newaxis] * strength
            np.einsum("tii->ti", total[nesting.levels[-1].roots])[:] += held
        self._parts = [self._eliminate(level, total) for level in nesting.levels]

    def _eliminate(
        self, level: Level, total: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Add what a level says to its parents' Hessians; return what solves it."""
        roots, hessians = total[level.roots], total[level.nodes]
        if 2 * len(roots) < len(total):  # the rest can be forgotten
            roots = roots.copy()
        own, common = self._own, self._common
        for start in range(0, len(roots), AT_ONCE):
            invert(roots[start : start + AT_ONCE])
        n_own, n = len(self._strength), total.shape[1]
        inverse = np.empty((len(hessians), n_own, n_own))
        cross = hessians[:, common[:, np.newaxis], own] if len(common) else None
        for start in range(0, len(hessians), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            pull = level.weight[part] * self._strength
            inverse[part] = hessians[part, own][:, :, own]
            np.einsum("tii->ti", inverse[part])[:] += pull
            invert(inverse[part])
            said = self._said(
                hessians[part],
                inverse[part],
                pull,
                None if cross is None else cross[part],
            )
            # Children of one parent are next to one another.
            up = level.up[part]
            first = np.flatnonzero(np.diff(up, prepend=-1))
            flat = said.reshape(len(said), n * n)
            sums = (
                np.add.reduceat(flat, first, axis=0) if len(first) < len(up) else flat
            )
            total[up[first]] += sums.reshape(-1, n, n)
        return roots, inverse, cross

    def _said(
        self,
        hessian: FloatArray,
        inverse: FloatArray,
        pull: FloatArray,
        cross: FloatArray | None,
    ) -> FloatArray:
        """Return what some nodes add to their parents' Hessians."""
        own, common = self._own, self._common
        if cross is None:
            least = np.einsum("tii->ti", hessian).min(initial=np.inf)
            if pull.max(initial=0.0) <= NEAR * least:
                said = -pull[:, :, np.newaxis] * inverse
                said *= pull[:, np.newaxis]
                np.einsum("tii->ti", said)[:] += pull
                return said
        said = np.empty_like(hessian)
        said[:, own] = inverse @ hessian[:, own]
        if cross is not None:
            said[:, common] = hessian[:, common] - cross @ said[:, own]
        said[:, own] *= pull[:, :, np.newaxis]
        return 0.5 * (said + np.swapaxes(said, 1, 2))

    def solve(self, forces: FloatArray) -> FloatArray:
        """Return the inverse Hessian times a vector (n_members, n)."""
        own, common, strength = self._own, self._common, self._strength
        force = np.zeros((len(self._nesting.place), forces.shape[1]))
        force[self._place] = forces
        steps = np.empty_like(force)
        parts = list(zip(self._nesting.levels, self._parts, strict=True))
        for level, (roots, inverse, cross) in parts:
            steps[level.roots] = _times(roots, force[level.roots])
            felt = force[level.nodes]
            moved = steps[level.nodes, own] = _times(inverse, felt[:, own])
            said = level.weight * strength * moved
            if cross is not None:
                felt[:, common] -= _times(cross, moved)
                felt[:, own] = said
                said = felt
            force[level.parents] += level.sums(said)
        for level, (_, inverse, cross) in parts[::-1]:
            above = steps[level.up]
            pull = level.weight * strength * above[:, own]
            if cross is not None:
                steps[level.nodes, common] = above[:, common]
                pull -= _times(np.swapaxes(cross, 1, 2), above[:, common])
            steps[level.nodes, own] += _times(inverse, pull)
        return np.asarray(steps[self._place])


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.asarray(np.matmul(matrices, vectors[:, :, np.newaxis])[:, :, 0])


class RelatedCurvature:
    """The Hessian of a problem whose members are tied along a graph.

    On a forest a system is solved by elimination. Otherwise by conjugate gradients:
    preconditioned by members that are held where their neighbours are, of loose ties,
    and of others by members that are curved as all are.

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
        if problem.quadratic is not None:
            hessians += problem.quadratic.matrix
        self._hessians = hessians
        structure = coordinates.structure
        curvature = np.einsum("tii->", hessians) / hessians.shape[0] / n_outputs
        pull = structure.degree.mean() * coordinates.strength.sum()
        loose = not coordinates.shared.any() and pull <= LOOSE * curvature
        self._exact = structure.nesting.exact
        strength = np.tile(coordinates.strength, n_outputs)
        shared = np.tile(coordinates.shared, n_outputs)
        self._rule: Elimination | Pooled
        if self._exact or loose:
            self._rule = Elimination(structure.nesting, hessians, strength, shared)
        else:
            graph = structure.graph
            self._rule = Pooled(
                graph.adjacency, graph.component, hessians, strength, shared
            )

    def solve(self, gradient: FloatArray) -> FloatArray:
        if self._exact:
            return self._model(gradient)
        return -rough_step(self._product, gradient, self._model, RESIDUAL)

    def _model(self, residual: FloatArray) -> FloatArray:
        coordinates = self._coordinates
        forces = residual.reshape(len(self._hessians), -1)
        steps = self._rule.solve(forces).reshape(coordinates.shape)
        return np.asarray(coordinates.locate(steps))

    def _product(self, direction: FloatArray) -> FloatArray:
        coordinates = self._coordinates
        image = _times(self._hessians, direction.reshape(len(self._hessians), -1))
        direction = direction.reshape(coordinates.shape)
        image = coordinates.pull_back(image.reshape(coordinates.shape))
        return np.asarray(image + coordinates.tie_hessp(direction))
