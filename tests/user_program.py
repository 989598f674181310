"""A small program of a user, for `mypy --strict`; tests/test_typing.py runs it.

scikit-learn itself has no types, so whatever a plain estimator returns is Any; what
sktie returns is what its signatures say.
"""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedMLPClassifier,
    TiedPoissonRegressor,
    TiedRidge,
    TiedRidgeCV,
    tying_penalty,
)
from sktie.inspection import (
    CompatibilityReport,
    KernelDisplay,
    TyingPath,
    TyingPathDisplay,
    TyingReport,
    compatibility_test,
    tying_path,
    tying_report,
)
from sktie.model_selection import LabeledSplit


def rows(n: int = 80) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return features with the domain in the last column, and classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    X[:, -1] = np.arange(n) % 2
    return X, (X[:, 0] + rng.logistic(size=n) > 0).astype(np.int64)


def linear(X: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> float:
    """Fit the linear models; return an accuracy."""
    model = TiedLogisticRegression(pair=-1, tie=3.0, decay="shared", solver="lbfgs")
    fitted = assert_type(model.fit(X, y), TiedLogisticRegression)
    assert_type(fitted.predict(X), npt.NDArray[Any])
    assert_type(fitted.predict_proba(X), npt.NDArray[np.floating[Any]])
    assert_type(fitted.domain_coef_, npt.NDArray[np.floating[Any]])
    chosen = TiedLogisticRegressionCV(pair=-1, ties=2, Cs=[1.0], metric="identity")
    assert_type(chosen.fit(X, y), TiedLogisticRegressionCV)
    ridge = TiedRidge(pair=-1, tie="auto", alpha="auto", handle_unknown="shared")
    assert_type(ridge.fit(X, y), TiedRidge)
    assert_type(TiedRidgeCV(pair=-1, ties=2, alphas=[1.0]).fit(X, y), TiedRidgeCV)
    counts = TiedPoissonRegressor(pair=-1).fit(X, y)
    assert_type(counts.predict(X), npt.NDArray[np.floating[Any]])
    batches = TiedLogisticRegression(store_covariance=True)
    assert_type(batches.partial_fit(X[:, :2], y), TiedLogisticRegression)
    assert_type(tying_penalty([1.0], [0.5]), float)
    return assert_type(fitted.score(X, y), float)


def inspected(X: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> list[str]:
    """Look at a model; return what the reports say."""
    model = TiedLogisticRegression(pair=-1, tie=3.0).fit(X, y)
    report = assert_type(tying_report(model, X, y), TyingReport)
    borrowed = assert_type([part.borrowed for part in report.domains], list[float])
    test = compatibility_test(model, X, y, method="auto", random_state=0)
    assert_type(test, CompatibilityReport)
    assert_type(test.adjusted_pvalues, dict[str, float])
    path = assert_type(tying_path(model, X, y, ties=2), TyingPath)
    assert_type(TyingPathDisplay(path), TyingPathDisplay)
    return [str(report), str(test), f"{max(borrowed):.0%}"]


def networks(X: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> int:
    """Fit networks and priors; return how many numbers one of them stores."""
    prior = KMeansPrior(3, code="soft", random_state=0)
    assert_type(prior.fit(X), KMeansPrior)
    AutoencoderPrior(2, activation="tanh", solver="lbfgs", share=None)
    mlp = TiedMLPClassifier(prior, tie=1.0, solver="lbfgs", max_iter=1000)
    assert_type(mlp.fit(X, y).predict(X), npt.NDArray[Any])
    net = SharedConvClassifier(2, global_pool="max", dtype="float32", max_iter=1)
    fitted = assert_type(net.fit(X, y), SharedConvClassifier)
    assert_type(KernelDisplay(fitted.coefs_[0]), KernelDisplay)
    for train, test in LabeledSplit(2).split(X, y):
        assert len(train) + len(test) == len(y)
    return int(fitted.n_stored_parameters_)


def main() -> None:
    """Run everything."""
    X, y = rows()
    assert linear(X, y) > 0.5
    assert len(inspected(X, y)) == 3
    assert networks(X, y) > 0
