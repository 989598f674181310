"""Seeded problems of the benchmarks, and their objective in plain NumPy.

Nothing here comes from sktie: the objective that decides whether two solvers may be
compared is written a second time, from its formula.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.special import expit, log_softmax

BLOCK = 16_384  # rows handled at a time; keeps the temporaries small


def gaussian_design(n_samples, n_features, rng, n_factors=5):
    """Correlated Gaussian features of unit variance, half of it from few factors."""
    X = np.empty((n_samples, n_features))
    loadings = rng.standard_normal((n_factors, n_features)) / np.sqrt(n_factors)
    for rows in _blocks(n_samples):
        block = X[rows]
        rng.standard_normal(out=block)
        block += rng.standard_normal((len(block), n_factors)) @ loadings
        block *= np.sqrt(0.5)
    return X


def text_design(n_samples, n_features, rng, n_tokens=84):
    """Rows that look like tf-idf: about 80 words each, Zipf distributed, unit norm."""
    frequency = 1.0 / (np.arange(n_features) + 10.0)
    words = rng.permutation(n_features)  # a frequent word may stand in any column
    cumulative = np.cumsum(frequency) / frequency.sum()
    length = rng.poisson(n_tokens, n_samples)
    tokens = np.searchsorted(cumulative, rng.random(length.sum()))
    tokens = words[np.minimum(tokens, n_features - 1)]
    indptr = np.concatenate([[0], np.cumsum(length)])
    X = sparse.csr_matrix(
        (np.ones(len(tokens)), tokens, indptr), shape=(n_samples, n_features)
    )
    X.sum_duplicates()
    n_rows_with = np.bincount(X.indices, minlength=n_features)
    X.data = 1.0 + np.log(X.data)
    X.data *= (1.0 + np.log((1 + n_samples) / (1.0 + n_rows_with)))[X.indices]
    norm = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(np.maximum(norm, 1e-300), np.diff(X.indptr))
    return X


@cache
def mnist():
    """All images of MNIST as rows of float32 in [0, 1]."""
    if "SKTIE_DATA" in os.environ:
        stored = np.load(Path(os.environ["SKTIE_DATA"]) / "mnist_full.npz")
        parts = [stored[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    else:
        from sklearn.datasets import fetch_openml

        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        parts = [X[:60000], y[:60000], X[60000:], y[60000:]]
    X, y, X_test, y_test = parts
    X, X_test = (
        a.reshape(len(a), -1).astype(np.float32) / np.float32(255) for a in (X, X_test)
    )
    return X, y.astype(int), X_test, y_test.astype(int)


def draw_labels(X, n_classes, rng, signal=1.0, domain=None, n_domains=1):
    """Labels of a logistic or softmax model whose linear part has deviation `signal`.

    The coefficients of a domain are those of the centre plus half as much of its own.
    """
    n_rows = 1 if n_classes == 2 else n_classes
    centre = rng.standard_normal((n_rows, X.shape[1]))
    own = 0.5 * rng.standard_normal((n_domains, n_rows, X.shape[1]))
    raw = np.empty((X.shape[0], n_rows))
    for t in range(n_domains):
        rows = slice(None) if domain is None else np.flatnonzero(domain == t)
        coef = centre if domain is None else centre + own[t]
        raw[rows] = X[rows] @ coef.T
    raw *= signal / raw.std(axis=0)
    if n_classes == 2:
        return (raw[:, 0] + rng.logistic(size=len(raw)) > 0.5).astype(np.int64)
    return np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)


@dataclass(frozen=True)
class Objective:
    """The objective of one problem and a certificate of its minimum.

        sum_i loss(y_i, x_i'w_t + b_t) + 1/(2C) sum_t |w_t|^2 + tie sum_t |w_t - mean|^2

    where t is the domain of row i, and the loss is the log-loss (two classes, one row
    of coefficients) or the softmax cross entropy (as many rows as classes).

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    y : int array of shape (n_samples,)
        Class codes 0, 1, ...
    C, tie : float
        Strengths, on the scale of the estimators.
    domain : int array of shape (n_samples,) or None
        Domain codes 0, 1, ...; None is a single domain.
    fit_intercept : bool
        Whether the intercepts are free to move.
    """

    X: object
    y: np.ndarray
    C: float = 1.0
    tie: float = 0.0
    domain: np.ndarray | None = None
    fit_intercept: bool = False

    def __call__(self, parameters):
        """The value at `parameters`: (T, K, p) coefficients, (T, K) intercepts."""
        return self.value_gradient(*parameters)[0]

    def certificate(self, parameters):
        """Bound on how far the value lies above the minimum, relative to the value.

        The objective is strongly convex with modulus 1/C, so it lies at most
        C/2 |gradient|^2 above its minimum, whoever found the point. The intercept
        is not decayed; with one, this rests on the data curving the objective by
        1/C in its direction, which any data set of these benchmarks does manifold.
        """
        value, *gradients = self.value_gradient(*parameters)
        return 0.5 * self.C * sum(np.vdot(g, g) for g in gradients) / value

    def value_gradient(self, coef, intercept):
        """The value, and its gradients for the coefficients and the intercepts."""
        deviation = coef - coef.mean(axis=0)
        value = 0.5 / self.C * np.vdot(coef, coef)
        value += self.tie * np.vdot(deviation, deviation)
        grad_coef = coef / self.C + 2.0 * self.tie * deviation
        grad_intercept = np.zeros_like(intercept)
        for t in range(len(coef)):
            for rows in self._rows(t):
                X, y = self.X[rows], self.y[rows]
                loss, residual = _loss(X @ coef[t].T + intercept[t], y)
                value += loss
                grad_coef[t] += (X.T @ residual).T
                if self.fit_intercept:
                    grad_intercept[t] += residual.sum(axis=0)
        return value, grad_coef, grad_intercept

    def _rows(self, t):
        if self.domain is None:
            return _blocks(len(self.y))
        rows = np.flatnonzero(self.domain == t)
        return (rows[block] for block in _blocks(len(rows)))


def _loss(raw, y):
    """The summed loss, and its derivatives for the raw predictions (n_samples, K)."""
    if raw.shape[1] == 1:
        loss = np.logaddexp(0.0, raw[:, 0]).sum() - raw[y == 1, 0].sum()
        return loss, expit(raw) - y[:, None]
    log_probability = log_softmax(raw, axis=1)
    residual = np.exp(log_probability)
    residual[np.arange(len(y)), y] -= 1.0
    return -log_probability[np.arange(len(y)), y].sum(), residual


def _blocks(n_samples):
    return (slice(i, i + BLOCK) for i in range(0, n_samples, BLOCK))


@dataclass(frozen=True)
class Encoding:
    """Features on which scikit-learn's `LogisticRegression(C=1)` solves a tied problem.

    `Z` are the features; `restore` takes a fitted `coef_` of shape (1 | K, n_columns)
    to the coefficients of the domains, of shape (n_domains, 1 | K, n_features).
    """

    name: str
    Z: object
    restore: object


def easyadapt(X, domain, n_domains, C, tie, dense):
    """Daume's features [a x, 0 .. b x .. 0]: w_t = a v_0 + b v_t.

    The decay |v|^2 / 2 equals the tied penalty for b^2 = C / (1 + 2 tie C) and
    a^2 = (C - b^2) / n_domains.
    """
    n_samples, n_features = X.shape
    own = C / (1.0 + 2.0 * tie * C)
    a, b = np.sqrt((C - own) / n_domains), np.sqrt(own)
    columns = np.arange(n_features)
    start = (1 + domain[:, None]) * n_features
    indices = np.hstack([np.broadcast_to(columns, X.shape), start + columns])
    Z = sparse.csr_matrix(
        (
            np.hstack([a * X, b * X]).ravel(),
            indices.astype(np.int32).ravel(),
            np.arange(n_samples + 1, dtype=np.int32) * (2 * n_features),
        ),
        shape=(n_samples, (1 + n_domains) * n_features),
    )

    def restore(coef):
        v = coef.reshape(len(coef), 1 + n_domains, n_features).transpose(1, 0, 2)
        return a * v[0] + b * v[1:]

    kind = "dense" if dense else "sparse"
    return Encoding(f"EasyAdapt {kind}", Z.toarray() if dense else Z, restore)


def two_block(X, domain, C, tie):
    """Features [a x, +-b x] of two domains: w_0 = a m + b d and w_1 = a m - b d.

    The decay (|m|^2 + |d|^2) / 2 equals the tied penalty for a^2 = C / 2 and
    b^2 = C / (2 + 4 tie C).
    """
    a, b = np.sqrt(C / 2.0), np.sqrt(C / (2.0 + 4.0 * tie * C))
    sign = np.where(domain == 0, b, -b)[:, None]

    def restore(coef):
        centre, half = np.split(coef, 2, axis=1)
        return np.stack([a * centre + b * half, a * centre - b * half])

    return Encoding("two blocks", np.hstack([a * X, sign * X]), restore)
