"""scikit-learn's own checks, over every form of the estimator; none may fail."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.estimator_checks import (
    check_class_weight_balanced_classifiers,
    check_class_weight_balanced_linear_classifier,
    check_dataframe_column_names_consistency,
    check_estimators_data_not_an_array,
    check_inplace_ensure_writeable,
    check_param_validation,
    parametrize_with_checks,
)

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedMLPClassifier,
    TiedRidge,
    TiedRidgeCV,
)


class ShapePrior(BaseEstimator):
    """A prior that suits any data: one slope for all features of the last class."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X, y=None, sample_weight=None):
        self.fitted_ = True
        return self

    def linear_anchor(self, X, y_index, n_classes, sample_weight=None):
        n_rows = 1 if n_classes == 2 else n_classes
        coef = np.zeros((n_rows, X.shape[1]))
        coef[-1] = 0.1
        return coef, np.linspace(0.0, 0.5, n_rows)


class BySign:
    """The domain of a row is the sign of its first number; nobody need pass it."""

    @staticmethod
    def _domain(X):
        # What has no first column of numbers is for the checks of X to refuse.
        try:
            first = X.tocsr()[:, [0]].toarray() if sp.issparse(X) else np.asarray(X)
            first = first.reshape(len(first), -1)
            positive = first[:, 0].real.astype(np.float64) > 0
            return np.where(positive, "plus", "minus")
        except (IndexError, TypeError, ValueError):
            return None

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, sample_domain=self._domain(X))

    def predict(self, X):
        return super().predict(X, sample_domain=self._domain(X))

    def predict_proba(self, X):
        return super().predict_proba(X, sample_domain=self._domain(X))

    def predict_log_proba(self, X):
        return super().predict_log_proba(X, sample_domain=self._domain(X))

    def score(self, X, y, sample_weight=None):
        return accuracy_score(y, self.predict(X), sample_weight=sample_weight)


class SignDomains(BySign, TiedLogisticRegression):
    def decision_function(self, X):
        return super().decision_function(X, sample_domain=self._domain(X))


class SignHeads(BySign, SharedConvClassifier):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        domain = self._domain(X)
        return super().partial_fit(X, y, classes, sample_weight, sample_domain=domain)


# FrozenEstimator and (coef, intercept) have features and classes of their own, and the
# data of the checks vary in both; a column as pair needs labels, and these data are
# numbers with fractions. So a prior stands for the first form and a subclass that
# makes up the labels for the second. tests/test_logistic_pair.py and
# tests/test_logistic_domains.py have the rest.
LINEAR = [
    TiedLogisticRegression(),
    TiedLogisticRegression(solver="newton-cholesky", n_jobs=1),
    TiedLogisticRegression(solver="lbfgs"),
    TiedLogisticRegression(tie="auto", C="auto"),
    # The checks compare coefficients to 1e-7, where tol bounds the objective; Newton's
    # method overshoots the default tol by far, conjugate gradients do not.
    TiedLogisticRegression(solver="newton-cg", tol=1e-20),
    TiedLogisticRegression(tie=0.0, decay="shared", class_weight="balanced"),
    TiedLogisticRegression(tie=np.inf, C=0.1, warm_start=True),
    # No fit_intercept=False without a pair: check_class_weight_classifiers needs an
    # intercept; LogisticRegression(fit_intercept=False) fails it in the same way.
    TiedLogisticRegression(tie_intercept=False, tol=0.0, max_iter=200),
    TiedLogisticRegressionCV(ties=3, Cs=[0.1, 1.0], store_covariance=True),
    TiedLogisticRegressionCV(ties=2, cv=2, class_weight="balanced"),
    TiedLogisticRegression(store_covariance=True),
    TiedLogisticRegression(ShapePrior()),
    TiedLogisticRegression(ShapePrior(), tie=30.0, tie_intercept=False),
    TiedLogisticRegression(ShapePrior(), tie=0.0, class_weight="balanced"),
    SignDomains(handle_unknown="shared"),
    SignDomains(handle_unknown="shared", tie=np.inf, decay="shared"),
    SignDomains(handle_unknown="shared", store_covariance=True),
    SignDomains(handle_unknown="shared", tie="auto", C="auto"),
    SignDomains(handle_unknown="shared", graph="learned"),
    SignDomains(handle_unknown="shared", tie=1e-3, tie_intercept=0.5, solver="lbfgs"),
    # tol: see above.
    TiedLogisticRegression(KMeansPrior(2, random_state=0), tol=1e-20),
    TiedLogisticRegression(KMeansPrior(3, random_state=0), tie=30.0),
    TiedLogisticRegression(
        KMeansPrior(3, random_state=0), tie=np.inf, class_weight="balanced"
    ),
    TiedLogisticRegression(AutoencoderPrior(3, random_state=0), tie=0.0),
    TiedLogisticRegression(
        AutoencoderPrior(2, activation="tanh", random_state=0), tol=1e-20
    ),
]


class SignRidge(TiedRidge):
    """`BySign` for a regressor."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, sample_domain=BySign._domain(X))

    def predict(self, X):
        return super().predict(X, sample_domain=BySign._domain(X))

    def score(self, X, y, sample_weight=None):
        return r2_score(y, self.predict(X), sample_weight=sample_weight)


RIDGES = [
    TiedRidge(),
    TiedRidge(alpha=0.0),
    TiedRidge(tie="auto", alpha="auto", n_jobs=1),
    TiedRidge(store_covariance=True),
    TiedRidgeCV(store_covariance=True),
    TiedRidgeCV(cv=2, ties=2, alphas=[0.5]),
    SignRidge(handle_unknown="shared"),
    SignRidge(handle_unknown="shared", tie=np.inf, alpha=0.0),
    SignRidge(handle_unknown="shared", tie=0.5, store_covariance=True),
    SignRidge(handle_unknown="shared", tie=0.0, tie_intercept=2.0),
    SignRidge(handle_unknown="shared", tie="auto", alpha=1.0, tie_intercept="auto"),
    SignRidge(handle_unknown="shared", decay="shared", tie_intercept=False),
    SignRidge(handle_unknown="shared", graph="learned"),
]
PRIORS = [
    KMeansPrior(),
    KMeansPrior(3, code="soft", random_state=0),
    KMeansPrior(3, code="triangle", temperature=2.0, random_state=0),
    KMeansPrior(2, sparse_output=True),
    KMeansPrior(2, code="soft", sparse_output=True, init="random", n_init=2),
    KMeansPrior(2, minibatch=True, random_state=0),
    AutoencoderPrior(),
    AutoencoderPrior(2, share=None, max_iter=20),
    AutoencoderPrior(2, temperature=0, random_state=0),
    AutoencoderPrior(2, activation="relu", max_iter=20),
    AutoencoderPrior(2, activation="relu", share=None, max_iter=20),
    AutoencoderPrior(2, activation="tanh", max_iter=20),
    AutoencoderPrior(2, activation="tanh", share=None, alpha=0.1, max_iter=20),
    AutoencoderPrior(2, activation="identity"),
    AutoencoderPrior(2, activation="identity", share=None),
    AutoencoderPrior(2, solver="adam", batch_size=20, max_iter=5),
]
# Few units and iterations: the checks train hundreds of networks each.
SMALL = {"max_iter": 15, "random_state": 0}
NETWORKS = [
    TiedMLPClassifier(),
    TiedMLPClassifier(hidden_units=10, alpha=0.1, **SMALL),
    TiedMLPClassifier(
        hidden_units=5, solver="adam", learning_rate_init=0.1, max_iter=10
    ),
    TiedMLPClassifier(KMeansPrior(3, random_state=0), alpha=0.1, **SMALL),
    TiedMLPClassifier(KMeansPrior(3, random_state=0), tie=0.0, alpha=0.1, **SMALL),
    TiedMLPClassifier(KMeansPrior(3, random_state=0), tie=np.inf, **SMALL),
    TiedMLPClassifier(
        KMeansPrior(3, random_state=0), tie_output=1.0, class_weight="balanced", **SMALL
    ),
    TiedMLPClassifier(
        KMeansPrior(3, random_state=0),
        tie=2.0,
        solver="adam",
        learning_rate_init=0.1,
        max_iter=10,
    ),
    TiedMLPClassifier(AutoencoderPrior(3, random_state=0), alpha=0.1, **SMALL),
    TiedMLPClassifier(
        AutoencoderPrior(3, activation="relu", share=None, random_state=0),
        tie=0.0,
        alpha=0.1,
        **SMALL,
    ),
    TiedMLPClassifier(
        AutoencoderPrior(3, activation="tanh", random_state=0), tie=np.inf, **SMALL
    ),
]
CONVOLUTIONS = [
    SharedConvClassifier(),
    SharedConvClassifier((4,), tie=0.0),
    SharedConvClassifier((4,), tie=1.0, alpha=0.1),
    SharedConvClassifier((4, 4), pool_size=1, bias="location", global_pool="max"),
    SharedConvClassifier((4,), solver="sgd", learning_rate="constant", max_iter=50),
    SharedConvClassifier((4,), solver="lbfgs", tie=(2.0,), max_iter=50),
    SharedConvClassifier((4,), hidden_layer_sizes=(8,), activation="tanh"),
    SignHeads((4,), handle_unknown="shared"),
    SignHeads((4,), handle_unknown="shared", tie_pair=np.inf),
]
INSTANCES = LINEAR + RIDGES + PRIORS + NETWORKS + CONVOLUTIONS
OURS = [i for i in LINEAR if type(i) is TiedLogisticRegression]


def instances(chosen):
    return pytest.mark.parametrize("estimator", chosen, ids=[repr(i) for i in chosen])


# A list of the checks, as pytest 9 warns of the generator of scikit-learn 1.7.
CHECKS = parametrize_with_checks(INSTANCES)


# As in scikit-learn's own tests: the checks fit what has no minimum nearby, or too few
# different rows.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


# From here on: checks that parametrize_with_checks leaves to scikit-learn's own tests.


@instances(INSTANCES)
def test_every_parameter_is_validated(estimator):
    check_param_validation(type(estimator).__name__, estimator)


@instances(OURS + PRIORS + NETWORKS + CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_column_names_are_consistent(estimator):
    pytest.importorskip("pandas")
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@instances(INSTANCES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_read_only_input_is_left_alone(estimator):
    check_inplace_ensure_writeable(type(estimator).__name__, estimator)


@pytest.mark.parametrize("kind", ["NotAnArray", "PandasDataframe"])
@pytest.mark.parametrize("n_classes", [2, 3])
@instances(OURS)
def test_what_is_no_array_gives_the_same_model(estimator, n_classes, kind):
    pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    y = np.arange(30) % n_classes
    check_estimators_data_not_an_array("Tied", estimator, X, y, kind)


# The check sets cv=3 where there is one, and has two rows of a class.
@instances([one for one in LINEAR if not hasattr(one, "cv")])
def test_balanced_is_the_weights_written_out(estimator):
    check_class_weight_balanced_linear_classifier("Tied", estimator)


@instances([network for network in NETWORKS if network.alpha > 1e-4])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_balanced_is_the_weights_written_out_for_networks_too(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), np.repeat([0, 1, 2], [16, 8, 6])
    weights = {0: 30 / 48, 1: 30 / 24, 2: 30 / 18}
    raw = [
        clone(estimator)
        .set_params(class_weight=class_weight, random_state=0)
        .fit(X, y)
        .predict_proba(X)
        for class_weight in (None, "balanced", weights)
    ]
    np.testing.assert_allclose(raw[1], raw[2], rtol=1e-6, atol=1e-9)
    assert np.abs(raw[1] - raw[0]).max() > 0.01


@instances([i for i in LINEAR if i.class_weight is None])
def test_balanced_helps_the_rare_class(estimator):
    X, y = make_classification(
        n_samples=400, n_classes=2, weights=[0.8, 0.2], n_features=5, random_state=0
    )
    # Half for training; scikit-learn checks the weighted F1 on the rest.
    rare = y[200:] == 1
    X_test = np.vstack([X[200:][rare], X[200:][~rare][: rare.sum()]])
    y_test = np.repeat([1, 0], [rare.sum(), rare.sum()])
    check_class_weight_balanced_classifiers(
        "Tied", estimator, X[:200], y[:200], X_test, y_test, None
    )


def test_fixed_pairs_pass_where_features_and_classes_are_those_of_the_pair():
    """The property most checks have in common, for the forms they cannot try."""
    X, y = make_classification(n_samples=80, random_state=0)
    anchor = LogisticRegression(C=0.1).fit(X, y)
    pairs = [FrozenEstimator(anchor), (anchor.coef_, anchor.intercept_)]
    for pair in pairs:
        estimator = TiedLogisticRegression(pair)
        parameters = estimator.get_params(deep=False).copy()
        assert estimator.fit(X, y) is estimator
        for name, value in estimator.get_params(deep=False).items():
            assert value is parameters[name]
        first = estimator.decision_function(X)
        np.testing.assert_array_equal(estimator.fit(X, y).decision_function(X), first)
        backwards = estimator.decision_function(X[::-1])
        np.testing.assert_allclose(backwards, first[::-1], rtol=1e-12)
