"""Rows, ties and shares of features, for the tests of several files."""

import numpy as np

from sktie import FeatureTie

INF = np.inf
P = 5
TIGHT = {"tol": 1e-13}
SOLVERS = ["newton-cholesky", "lbfgs", "newton-cg"]


def rows(n=90, n_classes=2, n_domains=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, P))
    domain = rng.integers(n_domains, size=n)
    own = np.array([1.0, 0.8, -1.2, 0.3, 0.5]) + 0.5 * rng.normal(size=(n_domains, P))
    score = np.einsum("ij,ij->i", X, own[domain]) + rng.logistic(size=n)
    cuts = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, cuts), domain


def anchor(n_classes):
    rng = np.random.default_rng(7)
    n_rows = 1 if n_classes == 2 else n_classes
    coef, intercept = rng.normal(size=(n_rows, P)), rng.normal(size=n_rows)
    if n_classes > 2:
        coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()
    return coef, intercept


#: What ties and shares mean here: ratios of features, and strengths of groups.
TIES = [FeatureTie({0: 1, 2: -1}, 3.0), [1, 3, 4], {0: 1, 4: 0.5}]
GROUPS = [({0: 1, 2: -1}, 3.0), ({1: 1, 3: 1, 4: 1}, 1.0), ({0: 1, 4: 0.5}, 1.0)]
SHARED = [{0: 1.0, 2: -2.0}, [1, 3]]
INDEX, RATIO = np.array([0, 1, 0, 1, 2]), np.array([1.0, 1.0, -2.0, 1.0, 1.0])

BOTH = {"feature_ties": TIES, "feature_shares": SHARED, "feature_tie": 2.0}
UNEVEN = {"tie": np.array([0.5, 2.0, 0.0, 1.0, 4.0]), "tie_intercept": 1.5}
NO_INTERCEPT = {"fit_intercept": False, **TIGHT}
TIED = {"feature_ties": TIES, "feature_tie": 2.0}
