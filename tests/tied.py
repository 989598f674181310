"""Tied models of a few related domains, for the tests of several files."""

import numpy as np

from sktie import TiedLogisticRegression

INF = np.inf
TIGHT = {"tol": 1e-13}


def rows(n=70, n_domains=3, n_classes=2, n_features=2, seed=0):
    """Rows of domains that are related, of different sizes and in no order."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    domain = rng.permutation(
        np.minimum(np.arange(n) // (n // (n_domains + 1)), n_domains - 1)
    )
    own = rng.normal(size=(n_domains, n_features)) * 0.6
    score = np.einsum("ij,ij->i", X, 1 + own[domain]) + rng.logistic(size=n)
    cuts = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, cuts), np.array(["north", "east", "south"])[domain]


def pairs(n_classes=2):
    coef = np.array([[0.5, 2.0]])
    if n_classes > 2:
        coef = np.array([[-1.0, 0.3], [0.2, 0.1], [0.8, -0.4]])
    return coef, np.linspace(-0.2, 0.2, len(coef))


KINDS = {
    "domains": {},
    "free intercepts": {"tie_intercept": False},
    "shared decay": {"decay": "shared"},
    "no intercept": {"fit_intercept": False},
    "pair": {"pair": "pair"},
    "pair, strong intercept": {"pair": "pair", "tie_intercept": INF},
}


def model_of(kind, n_classes=2, **settings):
    """Return a model of one of the kinds, with further settings."""
    chosen = TIGHT | KINDS[kind] | settings
    if "pair" in chosen:
        return TiedLogisticRegression(**chosen | {"pair": pairs(n_classes)})
    return TiedLogisticRegression(**chosen)


def given(model, domain):
    return {} if model.pair is not None else {"sample_domain": domain}


def brute_force(model, X, y, domain, weight=None):
    """Leave-one-out log-losses, by a fit without each row."""
    losses = np.empty(len(y))
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        w = None if weight is None else weight[rest]
        more = {k: v[rest] for k, v in given(model, domain).items()}
        model.fit(X[rest], y[rest], sample_weight=w, **more)
        more = {k: v[[i]] for k, v in given(model, domain).items()}
        p = model.predict_proba(X[[i]], **more)
        losses[i] = -np.log(p[0, list(model.classes_).index(y[i])])
    return losses
