"""Clusters of rows in blocks: a sample first, then block after block."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sktie._compat import n_samples_of
from sktie._typing import FloatArray, Matrix
from sktie.streams._apply import Sampled

#: Numbers in a sample of rows that come in blocks.
SAMPLE_SIZE = 1 << 22


def _draw(place: int, n_blocks: int, X: Any, weight: Any) -> Any:
    """Return some rows of a block, with weights that sum up to its own, and names.

    None for a block without rows.
    """
    if n_samples_of(X) == 0:
        return None
    named = BaseEstimator()
    validate_data(named, X, skip_check_array=True)
    names = getattr(named, "feature_names_in_", None)
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
    n_rows = X.shape[0]
    weight = np.ones(n_rows, X.dtype) if weight is None else np.asarray(weight)
    most = max(1, SAMPLE_SIZE // (n_blocks * X.shape[1]))
    if n_rows > most:
        rng = np.random.default_rng(place)
        chosen = np.sort(rng.choice(n_rows, most, replace=False))
        X, weight = X[chosen], weight[chosen] * (n_rows / most)
    return X, weight, names


def _begin(prior: Any, sample: list[Any]) -> Any:
    """Cluster a sample, whose rows then count for no more than they are."""
    rows, mass, names = _joined(sample)
    prior.fit(rows, sample_weight=mass * (len(mass) / mass.sum()))
    if names is not None:
        prior.feature_names_in_ = names
    return prior


def _end(prior: Any, sample: list[Any]) -> Any:
    """Set what only all rows tell, from a sample of them."""
    rows, mass, _ = _joined(sample)
    prior._store(prior.cluster_centers_, rows, mass, afresh=True)
    prior._label(rows, mass)
    prior._variance = prior._variance_within(rows, mass)
    del prior.labels_, prior.inertia_
    return prior


def _joined(sample: list[Any]) -> tuple[Matrix, FloatArray, Any]:
    found = [part for part in sample if part is not None]
    if not found:
        raise ValueError(
            "X has no rows, in any of its blocks; expected some. Look at what was "
            "filtered."
        )
    tables, weights, names = zip(*found, strict=True)
    rows = sp.vstack(tables, "csr") if sp.issparse(tables[0]) else np.vstack(tables)
    return rows, np.concatenate(weights), names[0]


SAMPLED = Sampled(_draw, _begin, _end)
