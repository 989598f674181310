"""A model of the Newton system on a graph: every member is curved as all are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import splu

from sktie._linalg import EPS, OVERFLOW, TINY, cholesky, lower_inverse
from sktie._typing import Array, FloatArray, IntArray, Matrix

#: Curvatures that differ by no more than this factor go together.
ALIKE = 2.0
#: Strengths count as at least so many times the curvature, for an edge of average
#: weight; that of shared coefficients is the latter.
WEAKEST, STRONGEST = 1e-8, 1e16
#: Nodes are held by this share of their edges, so that rounding leaves every system
#: positive definite.
HELD = 1e-10


def sparse_solver(matrix: Matrix) -> Any:
    """Return what solves systems of a symmetric positive definite sparse matrix."""
    found = splu(
        sp.csc_matrix(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return found.solve


class Pooled:
    r"""Solves a Newton system on a graph as if all Hessians had the same axes.

    With L the Laplacian, S the diagonal of the strengths and H the mean Hessian, in the
    basis V with ``V' S V = 1`` and ``V' H V = diag(mu)`` the system ``H + S L`` falls
    into one over all nodes for each axis, ``m + L``. Axes of like mu go together, and m
    is a diagonal: what each member's own Hessian is along them, on average. Nodes
    without rows have none. What all members of a component do together is solved with
    the sum of their Hessians instead, as if they were one.

    Where ties are strong a member's curvature counts little beside that of all who are
    near, whose mean it is that matters: conjugate gradients then need a step or two.

    Parameters
    ----------
    adjacency : sparse matrix of shape (n_nodes, n_nodes)
        Weights; the first nodes are the members.
    component : array of shape (n_nodes,)
        Number of the component of each node.
    hessians : array of shape (n_members, n, n)
        Hessians of the members, decay included.
    strength : array of shape (n,)
        Finite strengths.
    shared : array of bool of shape (n,)
        Coefficients that are equal in a component instead. Steps of theirs are only
        nearly equal.

    Notes
    -----
    With K the model along the axes and Z what is constant on components, the inverse is
    ``K^-1 - Z (Z'KZ)^-1 Z' + Z G^-1 Z'``, G being the sums. The difference is positive
    semidefinite, by the inequality of Cauchy and Schwarz, and so is all of it.
    """

    def __init__(
        self,
        adjacency: Matrix,
        component: IntArray,
        hessians: FloatArray,
        strength: FloatArray,
        shared: Array,
    ) -> None:
        n_nodes, n_members = len(component), len(hessians)
        self._n_nodes = n_nodes
        self._label = label = component[:n_members]
        places = label, np.arange(n_members)
        self._join = sp.csr_array((np.ones(n_members), places))
        sums = self._join @ hessians.reshape(n_members, -1)
        sums = sums.reshape(-1, *hessians.shape[1:])
        mean = sums.sum(axis=0) / n_members
        if not np.isfinite(mean).all():
            raise ValueError(OVERFLOW)
        degree = np.asarray(adjacency.sum(axis=1)).ravel()
        average = float(degree.mean()) or 1.0
        typical = np.maximum(np.diag(mean), EPS * np.trace(mean) + TINY) / average
        finite = np.maximum(strength, WEAKEST * typical)
        root = 1.0 / np.sqrt(np.where(shared, STRONGEST * typical, finite))
        mu, turn = eigh(root[:, np.newaxis] * mean * root)
        self._basis = basis = root[:, np.newaxis] * turn
        laplacian = sp.diags((1.0 + HELD) * degree) - adjacency
        self._solvers = []
        self._together = np.stack([_inverse(total) for total in sums])
        for group in _alike(np.maximum(mu, EPS * mu[-1])):
            axes = basis[:, group]
            metric = axes @ axes.T
            own = np.zeros(n_nodes)
            own[:n_members] = np.einsum("tij,ij->t", hessians, metric) / axes.shape[1]
            own = np.maximum(own, TINY)
            self._solvers.append((group, sparse_solver(laplacian + sp.diags(own))))
            whole = np.bincount(component, own + HELD * degree)
            self._together -= metric / whole[:, np.newaxis, np.newaxis]

    def solve(self, forces: FloatArray) -> FloatArray:
        """Return the inverse of the model times a vector (n_members, n)."""
        n_members = len(forces)
        turned = forces @ self._basis
        steps = np.empty_like(turned)
        for group, solve in self._solvers:
            felt = np.zeros((self._n_nodes, turned[:, group].shape[1]), order="F")
            felt[:n_members] = turned[:, group]
            steps[:, group] = solve(felt)[:n_members]
        totals = self._join @ forces
        together = np.matmul(self._together, totals[:, :, np.newaxis])[:, :, 0]
        return np.asarray(steps @ self._basis.T + together[self._label])


def _inverse(matrix: FloatArray) -> FloatArray:
    half = lower_inverse(cholesky(matrix))
    return np.asarray(half.T @ half)


def _alike(ascending: FloatArray) -> Iterator[slice]:
    """Yield groups of numbers that differ little."""
    start = 0
    while start < len(ascending):
        most = ALIKE * ascending[start]
        stop = int(np.searchsorted(ascending, most, side="right"))
        yield slice(start, stop)
        start = stop
