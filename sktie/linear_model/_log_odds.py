"""Log-odds of each class against all others, and how sure a model is of them."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from sktie._design import Design
from sktie._loss import ClassLoss
from sktie._posterior import spread
from sktie._typing import FloatArray


def log_odds_of(
    design: Design, raw: FloatArray, covariances: FloatArray, loss: ClassLoss
) -> tuple[FloatArray, FloatArray]:
    """Return the log-odds of each class against all others, and their deviations.

    Parameters
    ----------
    design : Design
        The rows, by domain.
    raw : array of shape (n_rows, 1 or n_classes)
        Their raw predictions, in the order of X.
    covariances : array of shape (n_domains, n, n)
        Covariances of the parameters of each domain.
    loss : ClassLoss
        The loss of the classes.

    Returns
    -------
    log_odds, deviation : ndarrays of shape (n_rows, n_classes)
        In the order of X.
    """
    n_outputs = loss.n_outputs
    basis = loss.expand(np.eye(n_outputs))
    shape = n_outputs, design.n_coefs, n_outputs, design.n_coefs
    log_odds = np.empty((len(raw), loss.n_classes))
    deviation = np.empty_like(log_odds)
    for domain, blocks in design.domain_blocks(n_outputs):
        covariance = covariances[domain].reshape(shape)
        for block in blocks:
            place = design.places(block)
            rows = design.dense_rows(block)
            found, gradient = _gradients(raw[place].astype(np.float64), basis)
            variance = np.einsum(
                "ick,ikl,icl->ic", gradient, spread(rows, covariance), gradient
            )
            log_odds[place] = found
            deviation[place] = np.sqrt(np.maximum(variance, 0))
    return log_odds, deviation


def _gradients(raw: FloatArray, basis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the log-odds (n, n_classes) and their gradients in the outputs.

    ``log(p_k / (1 - p_k))`` is ``r_k - log sum_(j != k) exp r_j``: its derivative in
    ``r_j`` is ``-p_j / (1 - p_k)``, which keeps its digits as a softmax of the others.
    """
    if raw.shape[1] == 1:
        signs = np.array([[-1.0], [1.0]])
        return raw * signs.T, np.broadcast_to(signs, (len(raw), 2, 1))
    n_classes = raw.shape[1]
    log_odds = np.empty_like(raw)
    gradient = np.empty((*raw.shape, basis.shape[1]))
    for k in range(n_classes):
        others = np.delete(np.arange(n_classes), k)
        mass = logsumexp(raw[:, others], axis=1)
        log_odds[:, k] = raw[:, k] - mass
        share = np.exp(raw[:, others] - mass[:, np.newaxis])
        gradient[:, k] = basis[k] - share @ basis[others]
    return log_odds, gradient
