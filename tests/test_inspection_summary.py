"""Tests of the table of coefficients: `summary`."""

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge

from sktie import (
    KMeansPrior,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedPoissonRegressor,
    TiedRidge,
    TiedRidgeCV,
)
from sktie.inspection import coef_summary
from tests.tied import rows

KEPT = {"store_covariance": True}


def domains_model(n_classes=2, **settings):
    X, y, domain = rows(n=120, n_classes=n_classes)
    model = TiedLogisticRegression(tie=2.0, **KEPT, **settings)
    return model.fit(X, y, sample_domain=domain)


def of(summary, domain="", output=""):
    """Return the numbers of one domain and output, a row for each coefficient."""
    return np.array(
        [
            [row.estimate, row.std_error, row.lower, row.upper, row.deviation]
            for row in summary.rows
            if (row.domain, row.output) == (domain, output)
        ]
    ).T


@pytest.mark.parametrize("kind", ["laplace", "sandwich"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_numbers_of_a_classifier_are_those_of_its_methods(n_classes, kind):
    model = domains_model(n_classes)
    summary = model.summary(coverage=0.8, kind=kind)
    centre = np.c_[model.coef_, model.intercept_]
    for domain in [None, *model.domains_]:
        members = centre
        if domain is not None:
            place = model.domains_.tolist().index(domain)
            members = np.c_[model.domain_coef_[place], model.domain_intercept_[place]]
        error = np.sqrt(np.diag(model.coef_covariance(domain, kind=kind)))
        lower, upper = model.coef_interval(domain, 0.8, kind=kind)
        for k, row in enumerate(members):
            output = "" if n_classes == 2 else str(model.classes_[k])
            found = of(summary, domain or "shared", output)
            assert_allclose(found[0], row)
            assert_allclose(found[1], error.reshape(centre.shape)[k])
            assert_allclose(found[2:4], [lower[k], upper[k]])
            if domain is not None:
                assert_allclose(found[4], row - centre[k], atol=1e-12)
            else:
                assert np.isnan(found[4]).all()


def test_numbers_of_least_squares_are_those_of_the_textbook():
    rng = np.random.default_rng(0)
    X, n, p = rng.normal(size=(50, 3)), 50, 4
    y = X @ [1.0, 0.0, -2.0] + rng.normal(size=n)
    summary = TiedRidge(alpha=0.0, **KEPT).fit(X, y).summary()
    wide = np.c_[X, np.ones(n)]
    w, residual, *_ = np.linalg.lstsq(wide, y, rcond=None)
    error = np.sqrt(np.diag(np.linalg.inv(wide.T @ wide)) * residual[0] / (n - p))
    width = scipy.stats.t.ppf(0.975, n - p) * error
    found = of(summary)
    assert_allclose(found[:4], [w, error, w - width, w + width])
    assert_allclose([row.statistic for row in summary.rows], w / error)
    assert summary.statistic == "t"
    names = [row.coefficient for row in summary.rows]
    assert names == ["x0", "x1", "x2", "intercept"]


def test_ridge_with_domains_and_targets():
    X, y, domain = rows(n=90)
    targets = np.c_[X[:, 0] + y, X[:, 1] - y]
    model = TiedRidge(tie=3.0, **KEPT).fit(X, targets, sample_domain=domain)
    summary = model.summary(["east"])
    place = model.domains_.tolist().index("east")
    for k in (0, 1):
        found = of(summary, "east", f"y{k}")
        own = np.append(model.domain_coef_[place][k], model.domain_intercept_[place][k])
        centre = np.append(model.coef_[k], model.intercept_[k])
        assert_allclose(found[0], own)
        assert_allclose(found[4], own - centre, atol=1e-12)
    assert {row.domain for row in summary.rows} == {"shared", "east"}


@pytest.mark.parametrize("tie", [0.0, 2.0, np.inf])
def test_deviations_from_a_fixed_pair(tie):
    X, y, _ = rows(n=90)
    old = LogisticRegression().fit(X[:30], y[:30])
    new = TiedLogisticRegression(FrozenEstimator(old), tie=tie, **KEPT).fit(X, y)
    summary = new.summary()
    assert summary.reference == "the pair"
    found = of(summary)
    apart = np.append(new.coef_ - old.coef_, new.intercept_ - old.intercept_)
    assert_allclose(found[4], apart, atol=1e-12)
    if np.isinf(tie):
        assert_array_equal(found[1], 0)
        assert all(np.isnan(row.statistic) for row in summary.rows)
        assert " - " in str(summary)
    score = X[:, 0] + y
    old = Ridge().fit(X[:30], score[:30])
    new = TiedRidge(FrozenEstimator(old), tie=tie, **KEPT).fit(X, score)
    apart = np.append(new.coef_ - old.coef_, new.intercept_ - old.intercept_)
    assert_allclose(of(new.summary())[4], apart, atol=1e-12)


def test_deviations_from_a_prior_and_with_shared_features():
    X, y, _ = rows(n=90, n_features=4)
    seen = np.where(np.arange(90) < 40, y, -1)
    prior = KMeansPrior(4, random_state=0)
    model = TiedLogisticRegression(
        prior, unlabeled=-1, tie=np.inf, feature_shares=[[0, 1]], **KEPT
    )
    found = of(model.fit(X, seen).summary())
    assert_allclose(found[0][0], found[0][1])
    assert_allclose(found[4], 0, atol=1e-8)


def test_domains_not_seen_have_the_shared_estimate_and_more_doubt():
    model = domains_model(handle_unknown="shared")
    summary = model.summary(["elsewhere"])
    shared, other = of(summary, "shared"), of(summary, "elsewhere")
    assert_allclose(other[0], shared[0])
    assert_allclose(other[4], 0, atol=1e-12)
    assert (other[1] > shared[1]).all()


def test_no_intercept_no_row_of_it():
    X, y, _ = rows()
    model = TiedLogisticRegression(fit_intercept=False, **KEPT).fit(X, y)
    assert [row.coefficient for row in model.summary().rows] == ["x0", "x1"]


def test_names_are_those_of_the_columns():
    pandas = pytest.importorskip("pandas")
    X, y, domain = rows()
    frame = pandas.DataFrame(X, columns=["age", "dose <mg>"]).assign(site=domain)
    model = TiedLogisticRegression("site", **KEPT).fit(frame, y)
    summary = model.summary()
    assert {row.coefficient for row in summary.rows} == {
        "age",
        "dose <mg>",
        "intercept",
    }
    html = summary._repr_html_()
    assert "dose &lt;mg&gt;" in html
    assert html.count("<tr>") == 2 + 4 * (1 + 3)


def test_text_says_model_groups_and_numbers_to_two_digits_of_the_error():
    text = str(domains_model(3).summary(["east"], coverage=0.9))
    lines = text.split("\n")
    assert lines[0] == "TiedLogisticRegression: tie=2, C=1, 3 domains"
    assert "90 % interval" in lines[2]
    assert "shared, 0" in lines
    assert "east, 2" in lines
    assert all(line == line.rstrip() for line in lines)
    row = lines[lines.index("east, 0") + 1].split()
    name, _, error, *_ = row
    assert name == "x0"
    assert len(error.strip("0.")) == 2
    assert len(row) == 7


def test_frame_has_all_numbers():
    pytest.importorskip("pandas")
    summary = domains_model(3).summary()
    frame = summary.to_frame()
    assert frame.index.names == ["domain", "output", "coefficient"]
    assert len(frame) == len(summary.rows) == 4 * 3 * 3
    row = frame.loc[("east", "1", "x1")]
    assert row["lower"] < row["estimate"] < row["upper"]


def test_strengths_of_their_own_are_in_the_title():
    X, y, domain = rows()
    model = TiedLogisticRegression(tie={0: 1.0, 1: 5.0}, tie_intercept=0.5, **KEPT)
    summary = model.fit(X, y, sample_domain=domain).summary()
    assert summary.title.startswith("TiedLogisticRegression: tie=1 to 5, C=1")


def test_what_has_no_summary_says_so():
    X, y, _ = rows()
    with pytest.raises(TypeError, match="of type TiedPoissonRegressor"):
        coef_summary(TiedPoissonRegressor().fit(X, y))
    with pytest.raises(NotFittedError):
        TiedRidge(**KEPT).summary()
    with pytest.raises(ValueError, match="store_covariance=True"):
        TiedLogisticRegression().fit(X, y).summary()
    plain = TiedLogisticRegression(**KEPT).fit(X, y)
    with pytest.raises(ValueError, match="without domains"):
        plain.summary(["east"])
    with pytest.raises(ValueError, match="coverage=2"):
        plain.summary(coverage=2)
    with pytest.raises(ValueError, match="kind='other'"):
        plain.summary(kind="other")
    tied = domains_model()
    with pytest.raises(ValueError, match=r"is a word.*\['east'\]"):
        tied.summary("east")
    with pytest.raises(ValueError, match=r"domains=3 .*expected a list of labels"):
        tied.summary(3)
    with pytest.raises(ValueError, match=r"expected a list of labels"):
        tied.summary([["east"]])
    with pytest.raises(ValueError, match="which fit did not see"):
        tied.summary(["elsewhere"])


@pytest.mark.parametrize("regression", [False, True])
def test_a_search_is_the_model_it_chose(regression):
    X, y, domain = rows(n=120)
    if regression:
        search, model, decay = TiedRidgeCV(**KEPT), TiedRidge(**KEPT), "alpha"
    else:
        search = TiedLogisticRegressionCV(ties=3, Cs=[1.0], **KEPT)
        model, decay = TiedLogisticRegression(**KEPT), "C"
    search.fit(X, y, sample_domain=domain)
    chosen = {"tie": search.tie_, decay: getattr(search, f"{decay}_")}
    model.set_params(**chosen).fit(X, y, sample_domain=domain)
    for name in ("shared", *map(str, search.domains_)):
        assert_allclose(
            of(search.summary(), name), of(model.summary(), name), rtol=1e-4, atol=1e-6
        )
