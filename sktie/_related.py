"""Members that are tied along the edges of a graph, some of them without rows."""

from __future__ import annotations

from functools import cached_property
from typing import final

import numpy as np
import scipy.sparse as sp

from sktie._graph import DomainGraph
from sktie._linalg import Rule
from sktie._nesting import Nesting, nest
from sktie._pooled import sparse_solver
from sktie._tie import Graph, Structure, Tie
from sktie._typing import Array, FloatArray, Matrix

#: A strength times a weight counts as at most so many times the curvature of all rows.
#: Members that are tied more closely differ by less than rounding.
STRONGEST = 1e16


@final
class Related(Structure):
    r"""Members are tied along the edges of a graph: ``Omega = sum a |w_s - w_t|^2``.

    Parameters
    ----------
    graph : DomainGraph
        Its first nodes are the members. Others have no rows, and are where Omega is
        least: each is the mean of its neighbours, by the weights of the edges.

    Notes
    -----
    ``D(W) = B E W``, with B the weighted incidence matrix and ``E`` the extension to
    all nodes, ``E = [I; -L_oo^-1 L_om]`` with L the Laplacian of the graph, m the
    members and o the others.
    """

    def __init__(self, graph: DomainGraph) -> None:
        self.graph = graph
        half = sp.coo_array(sp.triu(graph.adjacency, k=1))
        n_edges, n_nodes = len(half.data), len(graph.labels)
        edge, root = np.arange(n_edges), np.sqrt(half.data)
        self._incidence = sp.csr_array(
            (np.r_[root, -root], (np.r_[edge, edge], np.r_[half.row, half.col])),
            shape=(n_edges, n_nodes),
        )
        self._edges = Graph(self._incidence)
        self.degree = np.asarray(graph.adjacency.sum(axis=1)).ravel()
        self._others = sp.csr_array(graph.adjacency[graph.n_domains :])
        self._solve = None
        if n_nodes > graph.n_domains:
            own = sp.diags(self.degree[graph.n_domains :])
            laplacian = own - self._others[:, graph.n_domains :]
            self._solve = sparse_solver(laplacian)

    @cached_property
    def nesting(self) -> Nesting:
        """The forest by which systems are solved: the graph, or a model of it."""
        return nest(self.graph.adjacency)

    @property
    def smallest(self) -> float:
        """The smallest weight of an edge; 1 where there is none."""
        data = self.graph.adjacency.data
        return float(data.min()) if len(data) else 1.0

    def extend(self, members: FloatArray) -> FloatArray:
        """Return the parameters of all nodes."""
        if self._solve is None:
            return members
        n_members = len(members)
        flat = members.reshape(n_members, -1)
        others = self._solve(self._others[:, :n_members] @ flat)
        return np.concatenate([members, others.reshape(-1, *members.shape[1:])])

    def deviation(self, members: FloatArray) -> FloatArray:
        return self._edges.deviation(self.extend(members))

    def adjoint(self, deviations: FloatArray) -> FloatArray:
        forces = self._edges.adjoint(deviations)
        n_members = self.graph.n_domains
        own = forces[:n_members]
        if self._solve is None:
            return own
        others = forces[n_members:]
        flat = self._solve(others.reshape(len(others), -1))
        passed = self._others[:, :n_members].T @ flat
        return np.asarray(own + passed.reshape(own.shape))

    def pull(self, members: FloatArray) -> FloatArray:
        """Return ``D'D W``, the Laplacian times members; faster than in two steps."""
        if self._solve is not None:
            return self.adjoint(self.deviation(members))
        flat = members.reshape(len(members), -1)
        return np.asarray(self._laplacian @ flat).reshape(members.shape)

    @cached_property
    def _laplacian(self) -> Matrix:
        return sp.csr_array(self._incidence.T @ self._incidence)

    def project(self, members: FloatArray) -> FloatArray:
        return self._means(members)[self.graph.component[: len(members)]]

    def _means(self, members: FloatArray) -> FloatArray:
        label = self.graph.component[: len(members)]
        ones = np.ones(len(label))
        join = sp.csr_array((ones, (label, np.arange(len(label)))))
        sums = np.asarray(join @ members.reshape(len(members), -1))
        sums /= np.bincount(label)[:, np.newaxis]
        return sums.reshape(-1, *members.shape[1:])


@final
class RelatedCoordinates:
    """The members themselves; those of a shared coefficient are equal where connected.

    Deviations along edges are differences of members: of a strong tie they have few
    digits, and need no more, since a penalty has the square of their rounding.

    Parameters
    ----------
    tie : Tie
        With the structure `Related`.
    shape : tuple of int
        Shape of the members: (n_members, n_outputs, n_coefs).
    curvature : array of shape (n_coefs,)
        At least the second derivative of the objective without the tie in each
        coefficient, over all members together.
    """

    #: Nothing is fixed: the mean is that of the members.
    free_hub = True

    def __init__(
        self, tie: Tie, shape: tuple[int, int, int], curvature: FloatArray
    ) -> None:
        self.tie = tie
        self.shape = shape
        self.size = int(np.prod(shape))
        self.curvature = curvature
        assert isinstance(tie.structure, Related)
        self.structure = tie.structure
        self.shared = np.broadcast_to(tie.shared, shape[2:])
        most = STRONGEST * curvature / self.structure.smallest
        finite = np.where(self.shared, 0.0, tie.strength)
        self.strength: FloatArray = np.minimum(finite, most)
        # Nothing is scaled, and nothing is known of a diagonal below the Laplacian.
        self.scale: Array = np.ones(shape[1:])
        self.weight: Array = np.zeros(shape[1:])

    def retied(self, strengths: FloatArray) -> RelatedCoordinates:
        """Return the same coordinates with other strengths."""
        tie = Tie(self.structure, strengths)
        return RelatedCoordinates(tie, self.shape, self.curvature)

    def project(self, members: FloatArray) -> FloatArray:
        """Return the nearest members that the tie allows."""
        if not self.shared.any():
            return members
        members = members.copy()
        shared = members[..., self.shared]
        members[..., self.shared] = self.structure.project(shared)
        return members

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the mean of the members, and the members."""
        members = self.project(theta.reshape(self.shape))
        return members.mean(axis=0), members

    split_direction = split

    def join(self, hub: FloatArray, members: FloatArray) -> FloatArray:
        """Return the flat vector of the members; the mean follows from them."""
        return members.ravel()

    def members(self, hub: FloatArray, members: FloatArray) -> FloatArray:
        """Return the members."""
        return members

    def locate(self, members: FloatArray) -> FloatArray:
        """Return the flat vector of the nearest members that the tie allows."""
        return self.project(members).ravel()

    def _differences(self, members: FloatArray) -> FloatArray:
        differences = self.structure.deviation(members)
        differences[..., self.shared] = 0.0
        return differences

    def omega(self, members: FloatArray, chosen: Array) -> float:
        """Return Omega of some of the coefficients."""
        return float(np.square(self._differences(members)[..., chosen]).sum())

    def penalty(self, members: FloatArray) -> float:
        """Return ``tie/2 * Omega``."""
        squares = np.square(self._differences(members))
        return 0.5 * float(np.sum(self.strength * squares))

    def tie_gradient(self, members: FloatArray) -> FloatArray:
        """Return the gradient of `penalty`; the penalty is quadratic."""
        forces = self.strength * self._differences(members)
        return self.structure.adjoint(forces).ravel()

    def tie_hessp(self, direction: FloatArray) -> FloatArray:
        """Return the Hessian of `penalty` times a direction of members' shape."""
        return np.asarray((self.strength * self.structure.pull(direction)).ravel())

    def tie_hessian(self, members: FloatArray) -> Rule:
        """Return the Hessian of `penalty`, which is the same everywhere."""
        return self.tie_hessp

    def pull_back(self, gradient: FloatArray) -> FloatArray:
        """Return the gradient, in the flat vector, of a function of the members."""
        return self.project(gradient).ravel()

    def diagonal(self, own: FloatArray, mean_decay: FloatArray) -> FloatArray:
        """Return the diagonal of a Hessian from that of the objective without tie."""
        degree = self.structure.degree[: len(own), np.newaxis, np.newaxis]
        return self.pull_back(own + degree * self.strength)

    def differences(self, members: FloatArray) -> FloatArray:
        """Return the differences along all edges."""
        everyone = self.structure.extend(members)
        half = sp.coo_array(sp.triu(self.structure.graph.adjacency, k=1))
        differences = everyone[half.row] - everyone[half.col]
        differences[..., self.shared] = 0.0
        return np.asarray(differences)
