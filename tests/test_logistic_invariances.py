"""What must not matter to TiedLogisticRegression, and Hypothesis over what may."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie import TiedLogisticRegression
from tests.oracles import (
    Instance,
    domain_names,
    fit_tied,
    make_instance,
    parameters,
    plain_objective,
    remaining_gap,
)

SETTINGS = {
    "finite": {"tie": 2.0},
    "shared decay": {"tie": 2.0, "decay": "shared"},
    "huge tie": {"tie": 1e9, "tie_intercept": 1e-3},
    "separate": {"tie": 0.0},
    "pooled": {"tie": np.inf},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
each_classes = pytest.mark.parametrize("n_classes", [2, 3])


def instance(n_classes, settings):
    return make_instance((30, 50, 70), n_classes, weights=True, **settings)


def assert_same(model, expected, atol=1e-8):
    """The same minimum: both fits go to rounding."""
    assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
    for part, other in zip(parameters(model), parameters(expected), strict=True):
        assert_allclose(part, other, atol=atol)


# ---- rows ----------------------------------------------------------------------------


@each_setting
@each_classes
def test_order_of_rows(n_classes, settings):
    case = instance(n_classes, settings)
    # Sorted by domain against interleaved: rows are gathered by domain inside.
    order = np.argsort(case.domain, kind="stable")
    moved = case.but(
        X=case.X[order],
        y=case.y[order],
        domain=case.domain[order],
        weight=case.weight[order],
    )
    assert_same(fit_tied(moved), fit_tied(case))


@each_setting
@each_classes
def test_weight_two_is_a_row_twice(n_classes, settings):
    case = instance(n_classes, settings)
    times = np.random.default_rng(2).integers(1, 4, size=case.y.size)
    repeated = case.but(
        X=np.repeat(case.X, times, axis=0),
        y=np.repeat(case.y, times),
        domain=np.repeat(case.domain, times),
        weight=np.repeat(case.weight, times),
    )
    assert_same(fit_tied(case.but(weight=case.weight * times)), fit_tied(repeated))


@each_setting
@each_classes
def test_weight_zero_is_no_row(n_classes, settings):
    case = instance(n_classes, settings)
    keep = np.random.default_rng(2).random(case.y.size) < 0.8
    dropped = case.but(
        X=case.X[keep],
        y=case.y[keep],
        domain=case.domain[keep],
        weight=case.weight[keep],
    )
    # Rows of weight zero may hold anything finite.
    X = np.where(keep[:, None], case.X, 1e6)
    zero = case.but(X=X, weight=np.where(keep, case.weight, 0.0))
    assert_same(fit_tied(zero), fit_tied(dropped))


@each_setting
@each_classes
def test_scale_of_weights(n_classes, settings):
    # Loss, decay and ties times 7: the same minimum, the objective times 7.
    case = instance(n_classes, settings)
    free = case.tie_intercept if isinstance(case.tie_intercept, bool) else None
    scaled = case.but(
        weight=7 * case.weight,
        C=case.C / 7,
        tie=7 * case.tie,
        tie_intercept=7 * case.tie_intercept if free is None else free,
    )
    model, expected = fit_tied(scaled), fit_tied(case)
    assert_allclose(model.objective_, 7 * expected.objective_, rtol=1e-12)
    assert_allclose(model.domain_coef_, expected.domain_coef_, atol=1e-8)


# ---- features ------------------------------------------------------------------------


@each_setting
@each_classes
def test_order_and_rotation_of_features(n_classes, settings):
    case = instance(n_classes, settings)
    expected = fit_tied(case)
    p = case.n_features
    rng = np.random.default_rng(2)
    rotation = np.linalg.qr(rng.normal(size=(p, p)))[0]
    for turn in [np.eye(p)[[2, 0, 3, 1]], rotation]:
        model = fit_tied(case.but(X=case.X @ turn))
        assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
        assert_allclose(model.domain_coef_, expected.domain_coef_ @ turn, atol=1e-8)
        assert_allclose(model.domain_intercept_, expected.domain_intercept_, atol=1e-8)


@each_setting
@each_classes
def test_unit_of_features(n_classes, settings):
    # x in a unit 1000 times smaller: coefficients, decay and tie follow.
    case = instance(n_classes, settings)
    tie_intercept = case.intercept_strength
    case = case.but(tie_intercept=tie_intercept)
    scaled = case.but(X=1e3 * case.X, C=1e-6 * case.C, tie=1e6 * case.tie)
    model, expected = fit_tied(scaled), fit_tied(case)
    assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
    assert_allclose(1e3 * model.domain_coef_, expected.domain_coef_, atol=1e-8)


@each_setting
@each_classes
def test_common_shift_of_features_moves_only_free_intercepts(n_classes, settings):
    # An intercept takes up x - c as b + c'w where it is free to do so in each domain.
    case = instance(n_classes, settings).but(tie_intercept=False)
    shift = np.array([3.0, -1.0, 0.5, 2.0])
    model, expected = fit_tied(case.but(X=case.X - shift)), fit_tied(case)
    assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
    assert_allclose(model.domain_coef_, expected.domain_coef_, atol=1e-8)
    moved = expected.domain_intercept_ + expected.domain_coef_ @ shift
    assert_allclose(model.domain_intercept_, moved, atol=1e-7)


# ---- names ---------------------------------------------------------------------------


@each_setting
@each_classes
def test_names_of_domains(n_classes, settings):
    case = instance(n_classes, settings)
    expected = fit_tied(case)
    order = [2, 0, 1]  # new name of domain t sorts at place order[t]
    estimator = TiedLogisticRegression(tol=1e-20, **settings)
    for names in [["c", "a", "b"], [11, -3, 4], [2, 0, 1]]:
        given = np.array(names)[case.domain]
        model = estimator.fit(
            case.X, case.y, sample_weight=case.weight, sample_domain=given
        )
        assert_array_equal(model.domains_, sorted(names))
        coef, intercept = parameters(model)
        assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
        assert_allclose(coef[order], expected.domain_coef_, atol=1e-8)
        assert_allclose(intercept[order], expected.domain_intercept_, atol=1e-8)
        assert_allclose(model.coef_, expected.coef_, atol=1e-8)


@each_setting
def test_names_of_classes(settings):
    case = instance(3, settings)
    expected = fit_tied(case)
    names = np.array(["maybe", "yes", "no"])  # sorted: maybe, no, yes
    order = np.argsort(np.argsort(names))
    model = TiedLogisticRegression(-1, tol=1e-20, **settings)
    X = np.column_stack([case.X, case.domain])
    model.fit(X, names[case.y], sample_weight=case.weight)
    assert_array_equal(model.classes_, ["maybe", "no", "yes"])
    assert_allclose(model.domain_coef_[:, order], expected.domain_coef_, atol=1e-8)
    assert_allclose(model.coef_[order], expected.coef_, atol=1e-8)
    proba = model.predict_proba(X)[:, order]
    assert_allclose(proba, expected.predict_proba(X), atol=1e-8)
    assert_array_equal(model.predict(X), names[expected.predict(X)])


@each_setting
def test_order_of_two_classes_is_the_sign(settings):
    case = instance(2, settings)
    model, expected = fit_tied(case.but(y=1 - case.y)), fit_tied(case)
    assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
    for part, other in zip(parameters(model), parameters(expected), strict=True):
        assert_allclose(part, -other, atol=1e-8)


@each_classes
def test_fixed_pair_follows_the_classes(n_classes):
    rng = np.random.default_rng(4)
    case = make_instance((60,), n_classes, tie=2.0)
    anchor = rng.normal(size=(case.n_rows, 4)), rng.normal(size=case.n_rows)
    expected = fit_tied(case.but(anchor=anchor), "none")
    back = np.arange(n_classes)[::-1]
    if n_classes == 2:
        turned = -anchor[0], -anchor[1]
    else:
        turned = anchor[0][back], anchor[1][back]
    model = fit_tied(case.but(y=back[case.y], anchor=turned), "none")
    assert_allclose(model.objective_, expected.objective_, rtol=1e-12)
    proba = model.predict_proba(case.X)[:, back]
    assert_allclose(proba, expected.predict_proba(case.X), atol=1e-8)


# ---- the place of the domain ---------------------------------------------------------


@each_setting
@each_classes
def test_place_of_the_domain_column(n_classes, settings):
    case = instance(n_classes, settings)
    expected = fit_tied(case, "sample_domain")
    features = ["a", "b", "c", "d"]
    given = {"sample_weight": case.weight}
    for place in range(-5, 5):
        # np.insert counts a negative place before the insertion, pair after it.
        X = np.insert(case.X, place % 5, case.domain, axis=1)
        model = TiedLogisticRegression(place, tol=1e-20, **settings)
        assert_same(model.fit(X, case.y, **given), expected, atol=1e-10)
        assert model.n_features_in_ == 5
        proba = expected.predict_proba(case.X, sample_domain=domain_names(case))
        assert_allclose(model.predict_proba(X), proba, atol=1e-10)
    for place in [0, 2, 4]:
        X = pd.DataFrame(case.X, columns=features)
        X.insert(place, "site", domain_names(case))
        model = TiedLogisticRegression("site", tol=1e-20, **settings)
        assert_same(model.fit(X, case.y, **given), expected, atol=1e-10)
        assert_array_equal(model.domains_, expected.domains_)
        assert_array_equal(model.coef_feature_names_, features)


# ---- Hypothesis ----------------------------------------------------------------------

strengths = st.one_of(
    st.sampled_from([0.0, np.inf]),
    st.floats(-12, 12).map(lambda exponent: 10.0**exponent),
)


@st.composite
def instances(draw):
    """Any small instance with a finite minimum that the specification promises."""
    n_domains, n_classes = draw(st.integers(1, 5)), draw(st.integers(2, 3))
    n, p = draw(st.integers(5, 40)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Each code at least once, in an order of its own.
    domain = rng.permutation(np.arange(n) % n_domains)
    if draw(st.booleans()):  # unequal domains
        domain = np.where(rng.random(n) < 0.5, 0, domain)
        domain[:n_domains] = np.arange(n_domains)
    y = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, p)) * draw(st.sampled_from([0.1, 1.0, 10.0]))
    X += draw(st.sampled_from([0.0, 3.0]))
    if draw(st.booleans()):  # repeated rows and ties among features
        X = np.round(X)
    weight = rng.uniform(0.1, 5.0, size=n) if draw(st.booleans()) else np.ones(n)
    case = Instance(
        X,
        y,
        domain,
        weight,
        tie=draw(strengths),
        C=10.0 ** draw(st.floats(-3, 3)),
        decay=draw(st.sampled_from(["each", "shared"])),
        tie_intercept=draw(st.one_of(st.booleans(), strengths)),
        fit_intercept=draw(st.booleans()),
    )
    # What has no finite minimum, or may be refused: a domain that has to be fitted
    # alone and misses a class, or whose rows nothing but the tie would hold back.
    alone = case.tie == 0 or (case.fit_intercept and case.intercept_strength == 0)
    if alone:
        for t in range(n_domains):
            assume(len(np.unique(y[domain == t])) == n_classes)
    assume(case.tie > 0 or case.decay == "each" or n_domains == 1)
    return case


@given(instances(), st.sampled_from(["column", "sample_domain"]))
def test_any_instance_is_at_its_minimum(case, form):
    model = fit_tied(case, form)
    coef, intercept = parameters(model)
    assert np.isfinite(coef).all()
    assert np.isfinite(intercept).all()
    # Absolute floors for minima near zero: the rounding of sums of losses.
    reported, weight = plain_objective(case, coef, intercept), case.weight.sum()
    assert_allclose(model.objective_, reported, rtol=1e-8, atol=1e-14 * weight)
    gap = reported * remaining_gap(case, coef, intercept)
    assert gap <= 1e-10 * reported + 1e-16 * weight


@given(instances())
def test_solvers_agree_on_any_instance(case):
    # Conditioning is bounded by that of the separate and the pooled fits; with the
    # decay shared and next to no tie, separate fits of so few rows have no minimum.
    # The solver with the Hessian goes there too (above), the first-order one cannot.
    assume(case.decay == "each" or case.tie >= 0.01)
    values = [
        fit_tied(case, solver=solver, tol=1e-9, max_iter=20_000).objective_
        for solver in ["newton-cholesky", "lbfgs", "newton-cg"]
    ]
    assert_allclose(values, values[0], rtol=1e-8, atol=1e-14 * case.weight.sum())
