"""Everything together: one table of models against their objectives, written out.

Nothing here but the fits themselves knows sktie: the objective of a row of the table is
summed up term by term, over all parameters of all members, and minimised by SciPy.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import logsumexp, xlogy
from sklearn.frozen import FrozenEstimator

from sktie import TiedLogisticRegression, TiedPoissonRegressor, TiedRidge

N_FEATURES, N_DOMAINS = 4, 3
LABELS = ["a", "b", "c"]

TIES = {"feature_ties": [{0: 1, 1: -2}], "feature_tie": 1.5}
SHARES = {"feature_shares": [[0, 2]]}
EACH = {"tie": {0: 0.0, 1: 4.0, None: 0.7}, "tie_intercept": 0.3}
CHAIN = {"graph": {("a", "b"): 2.0, ("b", "c"): 0.5}}
NESTED = {
    "graph": {"a": "north", "b": "north", "c": "south", "south": "all", "north": "all"}
}
APART = {"graph": {("a", "c"): 1.0, ("b", "b2"): 1.0}}

#: name: (kind, classes, weighted, sparse, parameters)
TABLE = {
    "domains, ties": ("domains", 2, True, True, TIES),
    "domains, ties, 3 classes": ("domains", 3, True, True, TIES),
    "domains, ties, shared decay": (
        "domains",
        3,
        True,
        False,
        TIES | {"decay": "shared"},
    ),
    "domains, ties, each its own": ("domains", 2, True, True, TIES | EACH),
    "domains, ties, free intercept": (
        "domains",
        2,
        False,
        True,
        TIES | {"tie_intercept": False},
    ),
    "domains, shares": ("domains", 2, True, True, SHARES),
    "domains, shares, ties, each its own": (
        "domains",
        3,
        True,
        True,
        SHARES | TIES | EACH,
    ),
    "chain": ("domains", 2, True, True, CHAIN),
    "chain, ties, each its own": ("domains", 2, True, True, CHAIN | TIES | EACH),
    "chain, shares, 3 classes": ("domains", 3, True, False, CHAIN | SHARES),
    "nested, ties": ("domains", 2, True, True, NESTED | TIES),
    "nested, shares, ties, 3 classes": (
        "domains",
        3,
        True,
        True,
        NESTED | SHARES | TIES,
    ),
    "two components, ties": ("domains", 2, True, True, APART | TIES),
    "pair, ties": ("pair", 2, True, True, TIES),
    "pair, ties, each its own": ("pair", 3, True, True, TIES | EACH),
    "pair, fisher, ties": ("fisher", 2, True, True, TIES),
    "pair, fisher, ties, 3 classes": ("fisher", 3, True, False, TIES),
    "ridge, domains": ("ridge", 0, True, True, {}),
    "ridge, domains, each its own": ("ridge", 0, True, True, EACH),
    "ridge, domains, shared decay": ("ridge", 0, True, False, {"decay": "shared"}),
    "ridge, domains, ties, each its own": ("ridge", 0, True, True, TIES | EACH),
    "ridge, domains, shares, free intercept": (
        "ridge",
        0,
        True,
        True,
        SHARES | {"tie_intercept": False},
    ),
    "ridge, domains, shares, ties, shared decay": (
        "ridge",
        0,
        True,
        False,
        SHARES | TIES | {"decay": "shared"},
    ),
    "ridge, chain, ties, each its own": ("ridge", 0, True, True, CHAIN | TIES | EACH),
    "ridge, nested, shares": ("ridge", 0, True, True, NESTED | SHARES),
    "ridge, two components": ("ridge", 0, False, True, APART),
    "Poisson, domains": ("Poisson", 0, True, True, {}),
    "Poisson, domains, ties, each its own": ("Poisson", 0, True, True, TIES | EACH),
    "Poisson, chain, shares": ("Poisson", 0, True, True, CHAIN | SHARES),
    "Poisson, nested, ties": ("Poisson", 0, True, True, NESTED | TIES),
    "Poisson, two components": ("Poisson", 0, True, False, APART),
    "Poisson, domains, free intercept": (
        "Poisson",
        0,
        True,
        True,
        {"tie_intercept": 0},
    ),
}


def rows(kind, n_classes):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(90, N_FEATURES)) * (rng.random((90, N_FEATURES)) < 0.7)
    domain = rng.integers(N_DOMAINS, size=90)
    slope = rng.normal(size=(N_DOMAINS, N_FEATURES))
    score = np.einsum("ij,ij->i", X, slope[domain])
    if kind == "ridge":
        y = score + rng.normal(size=90)
    elif kind == "Poisson":
        y = rng.poisson(np.exp(np.clip(score, -2, 2))).astype(float)
    else:
        edges = np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1])
        y = np.digitize(score + 0.5 * rng.logistic(size=90), edges)
    return X, y, domain, rng.integers(1, 4, 90).astype(float)


def losses(kind, raw, y):
    if kind == "ridge":
        return np.square(y - raw[:, 0])
    if kind == "Poisson":
        return np.exp(raw[:, 0]) - y * raw[:, 0] + xlogy(y, y) - y  # half the deviance
    if raw.shape[1] == 1:
        raw = np.hstack([np.zeros_like(raw), raw])
    return logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]


def pairs_of(parameters):
    """Edges between members, their weights, and how many members there are."""
    graph = parameters.get("graph")
    if graph is None:
        every = [(s, t, 2 / N_DOMAINS) for s in range(N_DOMAINS) for t in range(s)]
        return every, N_DOMAINS
    names = list(LABELS)
    if all(isinstance(key, tuple) for key in graph):
        edges = [(s, t, a) for (s, t), a in graph.items()]
    else:
        edges = [(s, t, 1.0) for s, t in graph.items()]
    for s, t, _ in edges:
        names += [name for name in (s, t) if name not in names]
    return [(names.index(s), names.index(t), a) for s, t, a in edges], len(names)


def strengths_of(parameters, tie=2.0):
    """Strength of each coefficient's tie, the intercept's last."""
    tie = parameters.get("tie", tie)
    if isinstance(tie, dict):
        tie = [tie.get(j, tie[None]) for j in range(N_FEATURES)]
    own = parameters.get("tie_intercept", True)
    last = np.max(tie) if own is True else float(own)
    return np.append(np.broadcast_to(tie, N_FEATURES), last)


class Objective:
    """The objective of a row of the table, over what may vary."""

    def __init__(self, kind, n_classes, weighted, parameters, data, anchor, P):
        self.X, self.y, self.domain, self.weight = data
        if not weighted:
            self.weight = np.ones(len(self.y))
        self.kind, self.parameters, self.anchor, self.P = kind, parameters, anchor, P
        self.n_rows = n_classes if n_classes > 2 else 1
        self.edges, self.n_members = pairs_of(parameters)
        if kind in ("pair", "fisher"):
            self.edges, self.n_members = [], 1
            self.domain = np.zeros_like(self.domain)
        self.strength = strengths_of(parameters)

    def members(self, theta):
        """Return parameters of all members, (n_members, n_rows, N_FEATURES + 1)."""
        W = theta.reshape(self.n_members, self.n_rows, N_FEATURES + 1).copy()
        for first, *others in self.parameters.get("feature_shares", ()):
            for other in others:
                W[..., other] = W[..., first]
        return W if self.n_rows == 1 else W - W.mean(axis=1, keepdims=True)

    def __call__(self, theta):
        W, kind = self.members(theta), self.kind
        raw = np.einsum("ij,ikj->ik", self.X, W[self.domain][..., :-1])
        raw = raw + W[self.domain][..., -1]
        total = self.weight @ losses(kind, raw, self.y)
        with_rows = W[:N_DOMAINS, :, :-1]
        decay = 0.5 * np.square(with_rows).sum() / 0.8
        if self.parameters.get("decay") == "shared":
            decay = 0.5 * np.square(with_rows.mean(axis=0)).sum() / 0.8
        tie = 0.0
        for s, t, a in self.edges:
            tie += 0.5 * a * (self.strength * np.square(W[s] - W[t])).sum()
        if kind == "pair":
            tie = 0.5 * (self.strength * np.square(W[0] - self.anchor)).sum()
        if kind == "fisher":
            away = (W[0] - self.anchor).ravel()
            tie = 0.5 * 2.0 * away @ self.P @ away
        for group in self.parameters.get("feature_ties", ()):
            ratio = np.array(list(group.values()))
            own = W[:N_DOMAINS, :, list(group)]
            mean = own @ ratio / (ratio @ ratio)
            apart = own - mean[..., None] * ratio
            tie += 1.5 / 2 * 2 * np.square(apart).sum()
        if kind == "ridge":
            return total + 2 * decay + 2 * tie
        if kind == "Poisson":
            return total / self.weight.sum() + decay + tie
        return total + decay + tie


def model_of(kind, parameters, pair):
    settings = {"tie": 2.0, **parameters}
    if kind == "ridge":
        return TiedRidge(alpha=1 / 0.8, **settings)
    if kind == "Poisson":
        return TiedPoissonRegressor(alpha=1 / 0.8, tol=1e-14, **settings)
    if kind == "fisher":
        settings |= {"metric": "fisher"}
    return TiedLogisticRegression(pair, C=0.8, tol=1e-14, **settings)


def curvature(model, X, n_classes):
    """Hessian of log-loss and decay of scikit-learn's objective, C = 1."""
    wide = np.c_[X, np.ones(len(X))]
    p = model.predict_proba(X)
    if n_classes == 2:
        p = p[:, 1:]
    bend = p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None]
    size = p.shape[1] * (N_FEATURES + 1)
    found = np.einsum("ikl,ip,iq->kplq", bend, wide, wide).reshape(size, size)
    return found + np.diag(np.tile([1.0] * N_FEATURES + [0.0], p.shape[1]))


@pytest.mark.parametrize("name", TABLE)
def test_the_minimum_is_that_of_the_objective_written_out(name):
    kind, n_classes, weighted, sparse, parameters = TABLE[name]
    data = X, y, domain, weight = rows(kind, n_classes)
    pair = anchor = P = None
    if kind in ("pair", "fisher"):
        X_old, y_old, _, _ = rows("old", n_classes)
        X_old = X_old[::-1] + 0.3
        old = TiedLogisticRegression(store_covariance=True, tol=1e-14)
        old.fit(X_old, y_old)
        pair, anchor = FrozenEstimator(old), np.c_[old.coef_, old.intercept_]
        P = curvature(old, X_old, n_classes)
    objective = Objective(kind, n_classes, weighted, parameters, data, anchor, P)
    size = objective.n_members * objective.n_rows * (N_FEATURES + 1)
    found = minimize(objective, np.zeros(size), method="BFGS", options={"gtol": 1e-6})
    expected = objective.members(found.x)

    model = model_of(kind, parameters, pair)
    given = {} if pair is not None else {"sample_domain": np.array(LABELS)[domain]}
    X = sp.csr_array(X) if sparse else X
    model.fit(X, y, weight if weighted else None, **given)
    if pair is not None:
        members = np.c_[model.coef_, model.intercept_][np.newaxis]
    else:
        shape = (N_DOMAINS, objective.n_rows, -1)
        members = np.concatenate(
            [
                model.domain_coef_.reshape(shape),
                model.domain_intercept_.reshape(shape),
            ],
            axis=-1,
        )
    assert_allclose(members, expected[: len(members)], atol=2e-4)
    assert_allclose(model.objective_, found.fun, rtol=1e-6)
    if "graph" in parameters and len(model.inferred_domains_):
        names = [*LABELS, "north", "south", "all"]
        if "b2" in model.inferred_domains_:
            names = [*LABELS, "b2"]
        for place, label in enumerate(model.inferred_domains_):
            slopes = np.atleast_2d(model.inferred_coef_[place])
            own = np.c_[slopes, np.atleast_1d(model.inferred_intercept_[place])]
            where = names.index(label)
            assert_allclose(own, expected[where], atol=2e-4)
