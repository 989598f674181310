"""The mean of a likelihood-ratio statistic, to the order that counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktie._loss import Loss, of_classes, probability
from sktie._problem import TiedProblem
from sktie._typing import FloatArray
from sktie.inspection._nested import Fit, all_scores

#: Numbers that the third cumulants of a domain may hold.
MOST_NUMBERS = 1 << 24


@dataclass(frozen=True)
class _Cumulants:
    """Cumulants of the score of a domain; a: own coordinates, b: shared ones.

    Attributes
    ----------
    aab, abb, bbb : ndarrays
        Third cumulants with an index, or more, of the shared coordinates.
    a_aa : ndarray of shape (n_own,)
        Contraction of the others.
    apart, together : float
        Contractions of the fourth cumulants where the shared coordinates are those of
        this domain alone, and where they are shared.
    """

    aab: FloatArray
    abb: FloatArray
    bbb: FloatArray
    a_aa: FloatArray
    apart: float
    together: float


def excess(problem: TiedProblem, fit: Fit) -> float | None:
    r"""Return by how much the mean of a likelihood ratio exceeds its df.

    The likelihood is that of a canonical exponential family, and Lawley's expansion is
    short. For a model with q identified parameters, of scores that are standardised to
    have the identity for covariance, twice the log-likelihood ratio of maximum and
    truth has the mean ``q + eps``::

        eps = 1/6 sum_abc k_abc^2 + 1/4 sum_a (sum_b k_abb)^2 - 1/4 sum_ab k_aabb

    with k the cumulants of all rows together (McCullagh and Cox 1986, (12)). That of
    the ratio of two models is the difference of their eps; both are evaluated at the
    fit of the smaller. Coordinates of the coefficients that are free in both are the
    same in both, so only cumulants with some index in the others are computed.

    Parameters
    ----------
    problem : TiedProblem
        The rows.
    fit : Fit
        Of the smaller model.

    Returns
    -------
    float or None
        None where the third cumulants are too many to be held.

    References
    ----------
    D. Lawley (1956). A general method for approximating to the distribution of
    likelihood ratio criteria. Biometrika.

    P. McCullagh, D. Cox (1986). Invariants and likelihood ratio statistics. Annals of
    Statistics.
    """
    information = fit.information
    widest = max(
        block.own.shape[1] + block.taken.shape[1] for block in information.blocks
    )
    if widest**2 * information.together.shape[0] > MOST_NUMBERS:
        return None
    cumulants = [_cumulants(problem, fit, t) for t in range(len(fit.members))]
    total, shared = 0.0, information.together
    bbb: FloatArray = np.zeros((shared.shape[1],) * 3)
    b_cc: FloatArray = np.zeros(shared.shape[1])
    for found, apart in zip(cumulants, information.apart, strict=True):
        squares, vector, third = _contract(found, apart)
        total += squares + float(np.sum(np.square(third))) / 6
        total += float(vector @ vector) / 4 - found.apart / 4
        squares, vector, third = _contract(found, shared)
        total -= squares - found.together / 4
        bbb += third
        b_cc += vector
    return total - float(np.sum(np.square(bbb))) / 6 - float(b_cc @ b_cc) / 4


def _contract(
    found: _Cumulants, axes: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Return invariants of third cumulants, with these axes for shared coordinates.

    Returns
    -------
    squares : float
        What entries with an index among the own coordinates contribute.
    vector : ndarray of shape (n_axes,)
        The contraction ``sum_b k_abb`` for the shared coordinates.
    third : ndarray of shape (n_axes, n_axes, n_axes)
        The entries of shared coordinates alone.
    """
    aab = found.aab @ axes
    abb, bbb = found.abb, found.bbb
    for _ in range(2):
        abb = np.tensordot(abb, axes, (1, 0))
    for _ in range(3):
        bbb = np.tensordot(bbb, axes, (0, 0))
    own = found.a_aa + np.einsum("ibb->i", abb)
    squares = float(np.sum(np.square(aab)) + np.sum(np.square(abb))) / 2
    squares += float(own @ own) / 4
    return squares, np.einsum("aab->b", aab) + np.einsum("abb->a", bbb), bbb


def _cumulants(problem: TiedProblem, fit: Fit, domain: int) -> _Cumulants:
    """Add up the cumulants of the rows of a domain."""
    design, loss = problem.design, problem.loss
    slopes, intercepts = design.widen(fit.members)
    block = fit.information.blocks[domain]
    n_own, n_shared = block.own.shape[1], block.taken.shape[1]
    axes = np.hstack([block.own, block.taken]).reshape(
        loss.n_outputs, design.n_coefs, n_own + n_shared
    )
    aab = np.zeros((n_own, n_own * n_shared))
    abb = np.zeros((n_own, n_shared**2))
    bbb = np.zeros((n_shared, n_shared**2))
    a_aa = np.zeros(n_own)
    ends = fit.information.apart[domain], fit.information.together
    fourth = np.zeros(2)
    width = of_classes(loss).n_classes * (n_own + n_shared) * (n_shared + 2)
    for rows in design.blocks_of(domain, width):
        raw = design.raw(rows, design.rows(rows), slopes, intercepts)
        weight = problem.rows.weight_of(rows)
        weight = np.ones(len(raw)) if weight is None else weight
        chance, scores = _class_scores(loss, raw, design.dense_rows(rows), axes)
        a, b = scores[..., :n_own], scores[..., n_own:]
        own = a @ np.swapaxes(a, 1, 2)
        for which, shared in enumerate(ends):
            along = b @ shared
            products = own + along @ np.swapaxes(along, 1, 2)
            fourth[which] += weight @ _fourth(chance, products)
        mass = (weight[:, np.newaxis] * chance).ravel()
        a, b = a.reshape(mass.size, n_own), b.reshape(mass.size, n_shared)
        weighted = mass[:, np.newaxis] * a
        ab = (a[:, :, np.newaxis] * b[:, np.newaxis]).reshape(len(a), n_own * n_shared)
        bb = (b[:, :, np.newaxis] * b[:, np.newaxis]).reshape(len(b), n_shared**2)
        aab += weighted.T @ ab
        abb += weighted.T @ bb
        bbb += (mass[:, np.newaxis] * b).T @ bb
        a_aa += weighted.T @ np.einsum("ij,ij->i", a, a)
    return _Cumulants(
        aab.reshape(n_own, n_own, n_shared),
        abb.reshape(n_own, n_shared, n_shared),
        bbb.reshape(n_shared, n_shared, n_shared),
        a_aa,
        *fourth.tolist(),
    )


def _class_scores(
    loss: Loss, raw: FloatArray, rows: FloatArray, axes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return class probabilities, and the score of each row for each class it may have.

    Returns
    -------
    chance : ndarray of shape (n, n_classes)
        Probabilities.
    scores : ndarray of shape (n, n_classes, n_axes)
        Gradients of the log-probability of each class along the axes.
    """
    images = all_scores(loss, np.eye(loss.n_outputs)).T
    chance = probability(loss.expand(raw.T).T)
    centred = images - (chance @ images)[:, np.newaxis]
    along = np.tensordot(rows, axes, (1, 1))
    return chance, centred @ along


def _fourth(chance: FloatArray, products: FloatArray) -> FloatArray:
    """Return ``sum_ab k_aabb`` of every row, from products of its classes' scores."""
    norms = np.einsum("ikk->ik", products)
    squares = np.matmul(np.square(products), chance[:, :, np.newaxis])[:, :, 0]
    found = np.einsum("ik,ik->i", chance, np.square(norms) - 2 * squares)
    return np.asarray(found - np.square(np.einsum("ik,ik->i", chance, norms)))
