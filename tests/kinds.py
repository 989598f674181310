"""Estimators and ways to name what is tied, for the tests of routes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedMLPClassifier,
    TiedPair,
    TiedPoissonRegressor,
    TiedPoissonRegressorCV,
    TiedRidge,
    TiedRidgeCV,
)

N, P = 60, 3
_RNG = np.random.default_rng(0)
X = _RNG.normal(loc=[10.0, 0.0, 0.0], scale=[5.0, 1.0, 0.2], size=(N, P))
SITE = np.arange(N) % 3
RAW = X @ [0.2, 1.0, 3.0] + SITE - 3 + _RNG.normal(size=N)
Y = (RAW > 0).astype(int)
#: Three classes, for one against the rest.
Y3 = np.digitize(RAW, [-0.8, 0.8])
SPLITS = list(StratifiedKFold(3).split(X, SITE * 2 + Y))
NAMES = ["age", "bp", "chol"]
WORDS = np.array(["east", "north", "south"])


@dataclass(frozen=True)
class Kind:
    """An estimator, what it is fitted to, and what it can be asked for.

    Attributes
    ----------
    make : callable
        Returns an unfitted estimator for a ``pair`` and other parameters.
    y : ndarray of shape (N,)
        Targets.
    forms : tuple of str
        Which `FORMS` it knows.
    grid : dict
        A parameter with two values, for searches; empty for what searches itself.
    pair : object
        A model to be tied to.
    values : str
        The method whose result is compared.
    traits : set of str
        What routes may ask for: "classifier", "scores" (a classifier that has
        probabilities), "responds" (to more than `predict`, or a regressor), "ranks"
        (one coefficient for each feature), "dial" (no choice of its own), "tie" (the
        parameter, for any pair).
    """

    make: Callable[..., Any]
    y: Any
    forms: tuple[str, ...]
    grid: dict[str, Any]
    pair: Any = None
    values: str = "predict_proba"
    traits: frozenset[str] = frozenset()
    site: Any = None

    @property
    def is_classifier(self) -> bool:
        return "classifier" in self.traits

    @property
    def has_scores(self) -> bool:
        return "scores" in self.traits


#: What was fitted by hand.
_FITTED: dict[Any, Any] = {}


@dataclass(frozen=True)
class Form:
    """How a model is told what it is tied to: in a column of X, beside X, or by pair.

    Attributes
    ----------
    pair : object
        The parameter.
    X : ndarray
        Features, with the column where ``pair`` names one.
    metadata : dict
        What is handed over beside X.
    domains : ndarray of shape (N,) or None
        The domain of each row, however it is handed over.
    """

    name: str
    kind: Kind
    pair: Any
    X: Any
    metadata: dict[str, Any]
    domains: Any = None

    def model(self, **params):
        return self.kind.make(**{"pair": self.pair, **params})

    def step(self, name, routing):
        """Metadata for the fit of a pipeline, as scikit-learn wants it just now."""
        prefix = "" if routing else name
        return {prefix + key: value for key, value in self.metadata.items()}

    def only(self, features):
        """The same form with some of the features."""
        keep = [*features, *range(P, self.X.shape[1])]
        return replace(self, X=self.X[:, keep])

    @property
    def features(self):
        return self.X[:, :-1] if self.name == "column" else self.X

    # --- By hand: labels beside X, in fit and in prediction.

    def by_hand(self, train=slice(None), y=None, features=None, **params):
        """Return a fitted model; the same one if asked again."""
        pair = self.pair if self.domains is None else None
        model = self.kind.make(**{"pair": pair, **params})
        features = self.features if features is None else features
        y = self.kind.y if y is None else y
        rows = features[train], y[train], np.arange(N)[train]
        key = id(self.kind), self.name, repr(params), *(a.tobytes() for a in rows)
        if key not in _FITTED:
            _FITTED[key] = model.fit(*rows[:2], **self.labels(train))
        return _FITTED[key]

    def again(self, fitted, rows):
        """Return what a clone of an estimator, fitted by hand to rows, says of all."""
        model = clone(fitted)
        if self.domains is not None:
            model.set_params(pair=None)
        model.fit(self.features[rows], self.kind.y[rows], **self.labels(rows))
        everything = self.labels(slice(None))
        return getattr(model, self.kind.values)(self.features, **everything)

    def labels(self, rows):
        return {} if self.domains is None else {"sample_domain": self.domains[rows]}

    def values(
        self,
        train=slice(None),
        test=slice(None),
        *,
        features=None,
        method=None,
        **params,
    ):
        """Return what a model fitted by hand says of the test rows."""
        features = self.features if features is None else features
        model = self.by_hand(train, features=features, **params)
        ask = getattr(model, method or self.kind.values)
        return ask(features[test], **self.labels(test))

    def folds(self, measure=None, splits=SPLITS, **params):
        """Return scores of the folds: the estimator's own, or a measure of labels."""
        found = []
        for train, test in splits:
            model = self.by_hand(train, **params)
            features, y, more = self.features[test], self.kind.y[test], self.labels
            if measure is None:
                found.append(model.score(features, y, **more(test)))
            else:
                found.append(measure(y, model.predict(features, **more(test))))
        return found


def form_of(name: str, kind: Kind) -> Form:
    site = SITE if kind.site is None else kind.site
    if name == "column":
        return Form(name, kind, -1, np.column_stack([X, site]), {}, site)
    if name == "sample_domain":
        return Form(name, kind, None, X, {"sample_domain": site}, site)
    return Form(name, kind, kind.pair if name == "model" else None, X, {})


FORMS = ("column", "sample_domain", "model", "none")
CLASSIFIER = frozenset({"classifier", "scores", "responds"})
LINEAR = CLASSIFIER | {"ranks"}
REGRESSOR = frozenset({"responds", "ranks"})
DIAL = frozenset({"dial"})
TIE = DIAL | {"tie"}
TIES = {"tie": [0.1, 10.0]}
_NETWORK = {"max_iter": 2, "random_state": 0}


def _maker(cls, *args, **settings):
    def make(**params):
        return cls(*args, **{**settings, **params})

    return make


def _mlp(pair, **params):
    return TiedMLPClassifier(pair, **{"hidden_units": 3, **_NETWORK, **params})


_OLD = np.array([[0.1, 0.5, 2.0]]), np.array([-1.0])
_COUNTS = np.random.default_rng(1).poisson(np.exp(np.clip(0.3 * RAW, -2, 2)))
_TIGHT = {"tie": 0.5, "tol": 1e-13}
_conv = _maker(SharedConvClassifier, 2, n_jobs=1, **_NETWORK)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    _OLD_CONV = FrozenEstimator(_conv().fit(X[::-1], Y[::-1]))

KINDS = {
    "TiedLogisticRegression": Kind(
        _maker(TiedLogisticRegression, **_TIGHT),
        Y,
        FORMS,
        TIES,
        _OLD,
        traits=LINEAR | TIE,
    ),
    "TiedLogisticRegressionCV": Kind(
        _maker(TiedLogisticRegressionCV, ties=[0.1, 1.0], Cs=[1.0], tol=1e-13),
        Y,
        FORMS,
        {},
        _OLD,
        traits=LINEAR,
    ),
    "TiedRidge": Kind(
        _maker(TiedRidge, tie=0.5),
        RAW,
        FORMS,
        TIES,
        (_OLD[0][0], _OLD[1]),
        "predict",
        REGRESSOR | TIE,
    ),
    "TiedRidgeCV": Kind(
        _maker(TiedRidgeCV, ties=[0.1, 1.0], alphas=[1.0]),
        RAW,
        FORMS,
        {},
        (_OLD[0][0], _OLD[1]),
        "predict",
        REGRESSOR,
    ),
    "TiedPoissonRegressor": Kind(
        _maker(TiedPoissonRegressor, tie=0.1, alpha=0.1, tol=1e-13),
        _COUNTS,
        FORMS,
        TIES,
        (_OLD[0][0] / 5, _OLD[1]),
        "predict",
        REGRESSOR | TIE,
    ),
    "TiedPoissonRegressorCV": Kind(
        _maker(TiedPoissonRegressorCV, ties=[0.1, 1.0], alphas=[0.1], tol=1e-13),
        _COUNTS,
        FORMS,
        {},
        (_OLD[0][0] / 5, _OLD[1]),
        "predict",
        REGRESSOR,
    ),
    "TiedPair, two classifiers": Kind(
        _maker(TiedPair, LogisticRegression(), LogisticRegression(C=0.1), **_TIGHT),
        Y,
        FORMS[:2],
        TIES,
        values="predict",
        traits=TIE | {"classifier"},
        site=np.minimum(SITE, 1),
    ),
    "TiedPair, two regressors": Kind(
        _maker(TiedPair, Ridge(), Ridge(alpha=0.1), **_TIGHT),
        RAW,
        FORMS[:2],
        TIES,
        values="predict",
        traits=TIE | {"responds"},
        site=np.minimum(SITE, 1),
    ),
    "TiedLogisticRegression, KMeansPrior": Kind(
        _maker(TiedLogisticRegression, **_TIGHT),
        Y,
        ("model",),
        TIES,
        KMeansPrior(3, n_init=1, random_state=0),
        traits=LINEAR | TIE,
    ),
    "TiedLogisticRegression, AutoencoderPrior": Kind(
        _maker(TiedLogisticRegression, **_TIGHT),
        Y,
        ("model",),
        TIES,
        AutoencoderPrior(2, random_state=0, max_iter=5),
        traits=LINEAR | TIE,
    ),
    "TiedMLPClassifier": Kind(
        _mlp,
        Y,
        FORMS[2:],
        TIES,
        KMeansPrior(3, n_init=1, random_state=0),
        traits=CLASSIFIER | TIE,
    ),
    "SharedConvClassifier": Kind(
        _conv,
        Y,
        FORMS,
        {"alpha": [1e-4, 1.0]},
        _OLD_CONV,
        traits=CLASSIFIER | DIAL,
    ),
}
