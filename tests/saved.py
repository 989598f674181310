"""One small fitted model of each kind, and the files that releases saved of them.

``python -m tests.saved`` writes those of this version, as files of skops: arrays and
words, which every version of Python, NumPy and scikit-learn can read. (A pickle of
NumPy 2 cannot be read by NumPy 1.24, nor one of scikit-learn 1.9 by 1.7 for sure.)
"""

import warnings
import zipfile
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge

import sktie
from sktie import (
    AutoencoderPrior,
    FeatureTie,
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

FOLDER = Path(__file__).parent / "saved"
#: What a model is asked for; all that it has are compared.
METHODS = ("predict", "predict_proba", "transform")
N = 60


def rows():
    """Rows with a domain in the last column, and targets of all kinds."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).round(3)
    domain = np.arange(N) % 3
    score = X[:, 0] + (domain - 1) * X[:, 1]
    y = (score + rng.logistic(size=N) > 0).astype(int)
    three = np.digitize(score, [-0.7, 0.7])
    counts = rng.poisson(np.exp(score / 3))
    return np.column_stack([X, domain]), y, three, counts, score


X, Y, THREE, COUNTS, SCORE = rows()
WORDS = np.array(["north", "east", "south"])[X[:, -1].astype(int)]
SOME = np.where(np.arange(N) < 12, Y, -1)
SMALL = {"max_iter": 5, "random_state": 0}
PRIOR = KMeansPrior(3, random_state=0)
NET = {"image_shape": (2, 2), "kernel_size": 2, "pool_size": 1, "n_jobs": 1} | SMALL
GRAPH = {("north", "east"): 1.0, ("east", "south"): 2.0}


def old(y=Y):
    model = LogisticRegression() if y is Y else Ridge()
    return FrozenEstimator(model.fit(X[:, :-1], y))


#: name: (unfitted model, X, y, what else `fit` and the methods get)
UNFITTED = {
    "plain": (TiedLogisticRegression(), X, Y, {}),
    "domains": (TiedLogisticRegression(-1, store_covariance=True), X, THREE, {}),
    "shared": (TiedLogisticRegression(-1, tie=np.inf), X, Y, {}),
    "words": (
        TiedLogisticRegression(graph=GRAPH, handle_unknown="shared"),
        X[:, :-1],
        Y,
        {"sample_domain": WORDS},
    ),
    "features": (
        TiedLogisticRegression(
            feature_ties=[FeatureTie({0: 1, 1: -1}, 2.0)], feature_shares=[[2, 3]]
        ),
        X[:, :-1],
        Y,
        {},
    ),
    "fixed": (TiedLogisticRegression(old()), X[:, :-1], Y, {}),
    "prior": (TiedLogisticRegression(PRIOR, unlabeled=-1), X[:, :-1], SOME, {}),
    "chosen": (TiedLogisticRegressionCV(-1, ties=2, Cs=[1.0]), X, Y, {}),
    "ridge": (TiedRidge(-1, store_covariance=True), X, SCORE, {}),
    "ridge-fixed": (TiedRidge(old(SCORE)), X[:, :-1], SCORE, {}),
    "ridge-chosen": (TiedRidgeCV(-1, ties=2), X, SCORE, {}),
    "counts": (TiedPoissonRegressor(-1), X, COUNTS, {}),
    "counts-chosen": (TiedPoissonRegressorCV(-1, ties=2), X, COUNTS, {}),
    "learned": (TiedLogisticRegression(-1, graph="learned"), X, Y, {}),
    "two-forms": (
        TiedPair(LogisticRegression(), Ridge(), tie=2.0),
        X[:, :-1],
        np.where(WORDS == "east", Y, SCORE),
        {"sample_domain": np.where(WORDS == "east", "a", "b")},
    ),
    "clusters": (PRIOR, X[:, :-1], None, {}),
    "codes": (AutoencoderPrior(2, **SMALL), X[:, :-1], None, {}),
    "network": (TiedMLPClassifier(hidden_units=3, **SMALL), X[:, :-1], THREE, {}),
    "network-prior": (
        TiedMLPClassifier(PRIOR, unlabeled=-1, **SMALL),
        X[:, :-1],
        SOME,
        {},
    ),
    "images": (SharedConvClassifier(2, **NET), X[:, :-1], THREE, {}),
    "images-local": (SharedConvClassifier(2, tie=1.0, **NET), X[:, :-1], Y, {}),
    "images-domains": (SharedConvClassifier(2, pair=-1, **NET), X, Y, {}),
}
#: Models in the middle of their training.
PARTLY = {
    "plain": TiedLogisticRegression(store_covariance=True),
    "ridge": TiedRidge(store_covariance=True),
    "clusters": KMeansPrior(3, random_state=0),
    "images-adam": SharedConvClassifier(2, **NET),
    "images-sgd": SharedConvClassifier(2, solver="sgd", **NET),
}


def fitted(name):
    """Return a fitted model, rows, and what the methods get besides."""
    model, X, y, given = UNFITTED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **given), X, given


def answers(model, X, given):
    """Return what the model says of the rows, by method."""
    found = {}
    for method in METHODS:
        if hasattr(model, method):
            given = {} if method == "transform" else given
            found[method] = np.asarray(getattr(model, method)(X, **given))
    return found


def write():
    """Write the files of this version."""
    import skops.io

    folder = FOLDER / sktie.__version__
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name in UNFITTED:
        model, X, given = fitted(name)
        skops.io.dump(
            model,
            folder / f"{name}.skops",
            compression=zipfile.ZIP_DEFLATED,
            compresslevel=9,
        )
        for method, array in answers(model, X[:7], first(given)).items():
            arrays[f"{name}: {method}"] = array
    np.savez_compressed(folder / "answers.npz", **arrays)


def first(given):
    """Return what belongs to the first rows."""
    return {name: labels[:7] for name, labels in given.items()}


if __name__ == "__main__":
    write()
