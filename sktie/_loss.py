"""Pointwise losses of the raw predictions: value, gradient, curvature.

A loss sees raw predictions of shape (n_rows, n_outputs), one row a sample. The
softmax over K classes has a direction without effect (adding one number to all raw
predictions of a row), so `Multinomial` works with K - 1 outputs: the coordinates of
the K centred rows in an orthonormal basis. Squared norms, and with them every decay
and every tie, are the same in both; the Hessian is smaller and has no null direction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np
from scipy.linalg import helmert
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from sktie._typing import Array, FloatArray, IntArray


class Loss(ABC):
    """The interface of a pointwise loss: convex in the raw predictions, 0 or more.

    A loss of a raw prediction that is no lower than 0 lets solvers measure what is left
    to gain against the objective itself.
    """

    #: Columns of the raw predictions.
    n_outputs: int

    @abstractmethod
    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        """Return the weighted sum of the losses and its gradient in ``raw``."""

    @abstractmethod
    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        """Return what `hessian_block` and `hessian_product` need; shape (n, m)."""

    @abstractmethod
    def hessian_block(self, curvature: FloatArray, k: int, j: int) -> FloatArray:
        """Return d2 loss / d raw_k d raw_j for each row; shape (n,)."""

    @abstractmethod
    def hessian_product(
        self, curvature: FloatArray, direction: FloatArray
    ) -> FloatArray:
        """Return the Hessian of each row times its row of ``direction``."""

    @abstractmethod
    def attains_zero(self, y: Array) -> bool:
        """Whether the losses of all rows are 0 at some finite raw predictions.

        Where an objective falls to 0, that is then a minimum.
        """

    @abstractmethod
    def cells(self, y: Array) -> tuple[IntArray, int]:
        """Return a group for each row, and how many there are.

        A sample of the rows keeps some of every group.
        """

    @abstractmethod
    def start(self, y: Array, weight: FloatArray | None) -> float:
        """Return a raw prediction of all rows to start from."""

    @abstractmethod
    def expand(self, outputs: FloatArray) -> FloatArray:
        """Return scikit-learn's rows of coefficients (..., K or 1, p) from outputs."""

    @abstractmethod
    def reduce(self, rows: FloatArray) -> FloatArray:
        """Return the outputs (..., n_outputs, p) from rows: centre, then project."""


class OneOutput(Loss):
    """A loss of one raw prediction; its curvatures are numbers, (n, 1)."""

    n_outputs = 1

    def hessian_block(self, curvature: FloatArray, k: int, j: int) -> FloatArray:
        return curvature[:, 0]

    def hessian_product(
        self, curvature: FloatArray, direction: FloatArray
    ) -> FloatArray:
        return np.asarray(curvature * direction)

    def expand(self, outputs: FloatArray) -> FloatArray:
        return outputs

    def reduce(self, rows: FloatArray) -> FloatArray:
        return rows


class ClassLoss(Loss):
    """A loss of classes; targets are class indices, as `encode` writes them."""

    #: Number of classes.
    n_classes: int

    @abstractmethod
    def encode(self, y_index: Array, dtype: Any) -> Array:
        """Return the target that the other methods take, from class indices (n,)."""

    @abstractmethod
    def class_index(self, y: Array) -> IntArray:
        """Return the class indices of an encoded target."""

    def attains_zero(self, y: Array) -> bool:
        return False

    def cells(self, y: Array) -> tuple[IntArray, int]:
        return self.class_index(y), self.n_classes

    def start(self, y: Array, weight: FloatArray | None) -> float:
        return 0.0


def of_classes(loss: Loss) -> ClassLoss:
    """Return a loss that is one of classes; another is an error."""
    if not isinstance(loss, ClassLoss):
        raise TypeError(
            f"{type(loss).__name__} is no loss of classes; expected a classifier, such "
            "as TiedLogisticRegression."
        )
    return loss


@final
class Binomial(OneOutput, ClassLoss):
    """Log-loss of two classes: log(1 + exp(-y raw)), with y = +1 for the second."""

    n_classes = 2

    def encode(self, y_index: Array, dtype: Any) -> Array:
        return (2 * y_index - 1).astype(dtype)

    def class_index(self, y: Array) -> IntArray:
        return (y > 0).astype(np.intp)

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        margin = y * raw[:, 0]
        # exp of a negative number only: no overflow, and both the loss and the
        # probability of the other class follow from it.
        small = np.exp(-np.abs(margin))
        loss = np.log1p(small)
        loss -= np.minimum(margin, 0)
        residual = np.where(margin > 0, small, 1)
        residual /= 1 + small
        residual *= -y
        if weight is not None:
            loss *= weight
            residual *= weight
        return float(loss.sum(dtype=np.float64)), residual[:, np.newaxis]

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        small = np.exp(-np.abs(raw))
        variance = small / np.square(1 + small)
        if weight is not None:
            variance *= weight[:, np.newaxis]
        return np.asarray(variance)


@final
class Multinomial(ClassLoss):
    """Softmax cross entropy of K classes: logsumexp(Q raw) - (Q raw)_y.

    The columns of Q (K, K - 1) are orthonormal and sum to zero (Helmert contrasts).
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.n_outputs = n_classes - 1
        self._basis = helmert(n_classes).T.copy()

    def _scores(self, raw: FloatArray) -> FloatArray:
        """Return the scores of all classes, the largest of each row being 0."""
        scores = raw @ self._basis.T.astype(raw.dtype, copy=False)
        scores -= scores.max(axis=1, keepdims=True)
        return np.asarray(scores)

    def encode(self, y_index: Array, dtype: Any) -> Array:
        return y_index.astype(np.intp, copy=False)

    def class_index(self, y: Array) -> IntArray:
        return y

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        scores = self._scores(raw)
        rows = np.arange(len(y))
        residual = np.exp(scores)
        own = residual[rows, y]
        # Without its own class a sure row keeps its digits: 1 - p would lose them.
        residual[rows, y] = 0
        others = residual.sum(axis=1)
        residual[rows, y] = -others
        residual /= (own + others)[:, np.newaxis]
        sure = own > 0.5
        loss = np.log1p(np.divide(others, own, out=others.copy(), where=sure))
        np.copyto(loss, np.log(own + others) - scores[rows, y], where=~sure)
        if weight is not None:
            loss *= weight
            residual *= weight[:, np.newaxis]
        gradient = residual @ self._basis.astype(raw.dtype, copy=False)
        return float(loss.sum(dtype=np.float64)), gradient

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        """Stack probabilities (n, K), their image in outputs, and the weight."""
        probability = np.exp(self._scores(raw))
        probability /= probability.sum(axis=1, keepdims=True)
        image = probability @ self._basis.astype(raw.dtype, copy=False)
        scale: Any = 1 if weight is None else weight[:, np.newaxis]
        return np.hstack(
            [probability, image, np.broadcast_to(scale, (len(raw), 1))],
            dtype=raw.dtype,
        )

    def _split(self, curvature: FloatArray) -> tuple[FloatArray, ...]:
        n_classes = self.n_outputs + 1
        return (
            curvature[:, :n_classes],
            curvature[:, n_classes:-1],
            curvature[:, -1],
        )

    def hessian_block(self, curvature: FloatArray, k: int, j: int) -> FloatArray:
        # Q'(diag(p) - pp')Q, entry (k, j).
        probability, image, weight = self._split(curvature)
        product = (self._basis[:, k] * self._basis[:, j]).astype(curvature.dtype)
        block = weight * (probability @ product - image[:, k] * image[:, j])
        return np.maximum(block, 0) if k == j else np.asarray(block)

    def hessian_product(
        self, curvature: FloatArray, direction: FloatArray
    ) -> FloatArray:
        probability, _, weight = self._split(curvature)
        basis = self._basis.astype(curvature.dtype, copy=False)
        scores = direction @ basis.T
        scores -= np.einsum("ik,ik->i", probability, scores)[:, np.newaxis]
        scores *= probability
        scores *= weight[:, np.newaxis]
        return np.asarray(scores @ basis)

    def expand(self, outputs: FloatArray) -> FloatArray:
        return np.asarray(self._basis @ outputs)

    def reduce(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self._basis.T @ rows)


@final
class SoftMultinomial(ClassLoss):
    """Cross entropy to class probabilities q: logsumexp(Q raw) - q'Q raw.

    The targets are arrays (n, K) of probabilities; all but the value and its gradient
    is as in `Multinomial`.
    """

    def __init__(self, n_classes: int) -> None:
        self._hard = Multinomial(n_classes)
        self.n_classes = n_classes
        self.n_outputs = self._hard.n_outputs
        self._basis = self._hard._basis

    def encode(self, y_index: Array, dtype: Any) -> Array:
        return np.eye(self.n_classes, dtype=dtype)[y_index]

    def class_index(self, y: Array) -> IntArray:
        return np.asarray(y.argmax(axis=1))

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        basis = self._basis.astype(raw.dtype, copy=False)
        scores = raw @ basis.T
        log_mass = logsumexp(scores, axis=1, keepdims=True)
        scores -= log_mass
        loss = -np.einsum("ik,ik->i", y, scores)
        residual = np.exp(scores)
        residual -= y
        if weight is not None:
            loss *= weight
            residual *= weight[:, np.newaxis]
        return float(loss.sum(dtype=np.float64)), residual @ basis

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        return self._hard.curvature(y, raw, weight)

    def hessian_block(self, curvature: FloatArray, k: int, j: int) -> FloatArray:
        return self._hard.hessian_block(curvature, k, j)

    def hessian_product(
        self, curvature: FloatArray, direction: FloatArray
    ) -> FloatArray:
        return self._hard.hessian_product(curvature, direction)

    def expand(self, outputs: FloatArray) -> FloatArray:
        return self._hard.expand(outputs)

    def reduce(self, rows: FloatArray) -> FloatArray:
        return self._hard.reduce(rows)


def classification_loss(n_classes: int) -> ClassLoss:
    """Return the log-loss of ``n_classes`` classes."""
    return Binomial() if n_classes == 2 else Multinomial(n_classes)


def probability(raw: FloatArray) -> FloatArray:
    """Return class probabilities from raw predictions (n, 1) or (n, n_classes)."""
    if raw.shape[1] == 1:
        return np.hstack([expit(-raw), expit(raw)])
    return np.asarray(softmax(raw, axis=1))


def log_probability(raw: FloatArray) -> FloatArray:
    """Return the logarithm of `probability`, accurate where that is 0 or 1.

    In single precision it is 0 where the probability rounds to 1: scikit-learn checks
    that the two agree to 1e-9.
    """
    if raw.shape[1] == 1:
        log = np.hstack([log_expit(-raw), log_expit(raw)])
    else:
        log = np.asarray(log_softmax(raw, axis=1))
    if log.dtype == np.float32:
        log[log > -np.finfo(np.float32).eps] = 0.0
    return np.asarray(log)


def most_probable(raw: FloatArray) -> IntArray:
    """Return the index of the most probable class of each row."""
    index = raw[:, 0] > 0 if raw.shape[1] == 1 else raw.argmax(axis=1)
    return np.asarray(index.astype(np.intp))
