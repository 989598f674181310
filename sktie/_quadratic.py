"""A quadratic penalty of every member alone, such as ties between its coefficients."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

import numpy as np
import scipy.sparse as sp

from sktie._typing import FloatArray, Matrix


@final
class Quadratic:
    """The penalty ``1/2 (w - c)'Q(w - c)`` of the parameters w of each member.

    Parameters
    ----------
    matrix : array or sparse matrix of shape (m, m)
        Q, symmetric positive semidefinite; or, with ``root=True``, any B of shape
        (k, m) with ``Q = B'B``. A root keeps its digits where Q is large and its null
        space matters: differences are taken before they are squared.
    shape : tuple of int
        (n_outputs, n_coefs) of a member. m is n_coefs, for every output alike, or
        ``n_outputs * n_coefs``, output after output.
    centre : array that broadcasts to (n_members, n_outputs, n_coefs), default=0.0
        c.
    root : bool, default=False
        Whether ``matrix`` is a root of Q.

    Notes
    -----
    Gradient ``Q(w - c)`` and Hessian Q do not depend on the tie: the penalty acts on
    one member alone, as a decay does, with which it shares its place in all systems.
    """

    def __init__(
        self,
        matrix: Matrix,
        shape: tuple[int, int],
        centre: float | FloatArray = 0.0,
        *,
        root: bool = False,
    ) -> None:
        self.shape = shape
        self.centre = centre
        self._matrix: Any = sp.csr_array(matrix) if sp.issparse(matrix) else matrix
        self._transposed: Any = self._matrix.T
        self._root = root

    def _image(self, members: FloatArray) -> FloatArray:
        """Return Q, or its root, times each member; (n, k) with n rows of m numbers."""
        flat = members.reshape(-1, self._matrix.shape[1])
        # A sparse matrix comes first in a product: it reads both in order.
        return np.asarray((self._matrix @ flat.T).T)

    def value(self, members: FloatArray) -> float:
        """Return the penalty of members, (n_members, n_outputs, n_coefs)."""
        away = members - self.centre
        image = self._image(away)
        with np.errstate(over="ignore"):
            if self._root:
                return 0.5 * float(np.sum(np.square(image)))
            return 0.5 * float(np.sum(image * away.reshape(image.shape)))

    def product(self, direction: FloatArray) -> FloatArray:
        """Return Q times a direction, (n_members, n_outputs, n_coefs)."""
        image = self._image(direction)
        if self._root:
            image = np.asarray((self._transposed @ image.T).T)
        return image.reshape(direction.shape)

    def gradient(self, members: FloatArray) -> FloatArray:
        """Return the gradient of the penalty, with the shape of the members."""
        return self.product(members - self.centre)

    @cached_property
    def matrix(self) -> FloatArray:
        """Q of all outputs, dense: (n, n) with ``n = n_outputs * n_coefs``."""
        matrix = self._transposed @ self._matrix if self._root else self._matrix
        dense = np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix)
        n_outputs, n_coefs = self.shape
        if len(dense) == n_outputs * n_coefs:
            return dense
        return np.kron(np.eye(n_outputs), dense)

    @cached_property
    def diagonal(self) -> FloatArray:
        """Diagonal of Q, (n_outputs, n_coefs)."""
        if self._root:
            squared = self._matrix * self._matrix  # sparse arrays: element by element
            own = np.asarray(squared.sum(axis=0)).ravel()
        else:
            own = np.asarray(self._matrix.diagonal())
        n_outputs, n_coefs = self.shape
        return np.broadcast_to(own.reshape(-1, n_coefs), (n_outputs, n_coefs))


@final
class QuadraticSum:
    """Two quadratic penalties of the parameters of each member."""

    def __init__(self, first: Quadratic, second: Quadratic | QuadraticSum) -> None:
        self._parts = first, second

    def value(self, members: FloatArray) -> float:
        """Return the penalty of members, (n_members, n_outputs, n_coefs)."""
        return sum(part.value(members) for part in self._parts)

    def product(self, direction: FloatArray) -> FloatArray:
        """Return Q times a direction, (n_members, n_outputs, n_coefs)."""
        first, second = self._parts
        return first.product(direction) + second.product(direction)

    def gradient(self, members: FloatArray) -> FloatArray:
        """Return the gradient of the penalty, with the shape of the members."""
        first, second = self._parts
        return first.gradient(members) + second.gradient(members)

    @cached_property
    def matrix(self) -> FloatArray:
        """Q of all outputs, dense: (n, n) with ``n = n_outputs * n_coefs``."""
        first, second = self._parts
        return np.asarray(first.matrix + second.matrix)

    @property
    def diagonal(self) -> FloatArray:
        """Diagonal of Q, (n_outputs, n_coefs)."""
        first, second = self._parts
        return np.asarray(first.diagonal + second.diagonal)
