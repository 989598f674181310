"""The dial of TiedLogisticRegression: its two ends, and the way between them."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie import TiedLogisticRegression, tying_penalty
from tests.oracles import (
    centred,
    easyadapt_fit,
    fit_tied,
    make_instance,
    parameters,
    plain_decay,
    plain_fit,
    plain_loss,
    plain_objective,
    plain_tie,
    scipy_minimum,
    smooth_gradient,
)

LARGE = (50, 70, 120)
FORMS = ["column", "sample_domain"]
SOLVERS = ["newton-cholesky", "lbfgs", "newton-cg"]
DIAL = [0.0, *10.0 ** np.arange(-12, 13, 3), np.inf]


def one_domain(*args, **settings):
    """An instance with all rows in one domain: what scikit-learn fits."""
    case = make_instance(*args, **settings)
    return case.but(domain=np.zeros_like(case.domain))


def sklearn_parameters(case, **settings):
    """scikit-learn's fit in the shapes of `parameters`, centred over the classes."""
    model = plain_fit(case, **settings)
    return centred(case, model.coef_[None], model.intercept_[None])


def assert_parameters(model, expected, atol=1e-6):
    coef, intercept = parameters(model)
    assert_allclose(coef, np.broadcast_to(expected[0], coef.shape), atol=atol)
    assert_allclose(intercept, np.broadcast_to(expected[1], intercept.shape), atol=atol)


# ---- no pair: LogisticRegression -----------------------------------------------------


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("C", [1e-4, 1.0, 1e4, np.inf])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_pair_is_logistic_regression(n_classes, C, fit_intercept, weights):
    case = one_domain(LARGE, n_classes, weights=weights)
    case = case.but(C=C, fit_intercept=fit_intercept)
    expected = sklearn_parameters(case)
    model = fit_tied(case, "none")
    assert_parameters(model, expected)
    assert_allclose(model.objective_, plain_objective(case, *expected), rtol=1e-10)
    assert model.tie_gap_ == 0.0
    assert_allclose(
        model.predict_proba(case.X), plain_fit(case).predict_proba(case.X), atol=1e-7
    )


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.2, 1: 3.0}])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_pair_class_weight(n_classes, class_weight, solver):
    case = one_domain(LARGE, n_classes, weights=True)
    expected = sklearn_parameters(case, class_weight=class_weight)
    model = fit_tied(case, "none", class_weight=class_weight, solver=solver)
    assert_parameters(model, expected)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_pair_more_features_than_rows(n_classes, solver):
    case = one_domain((20,), n_classes, 50)
    assert_parameters(fit_tied(case, "none", solver=solver), sklearn_parameters(case))


@pytest.mark.parametrize("settings", [{"tie": 1e6}, {"tie_intercept": 3.0}])
def test_no_pair_has_nothing_to_tie(settings):
    case = one_domain(LARGE, 3)
    model = fit_tied(case.but(**settings), "none")
    assert_parameters(model, sklearn_parameters(case))


@pytest.mark.parametrize("tie", [0.0, 1.0, np.inf])
@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("form", FORMS)
def test_one_domain_is_logistic_regression(form, decay, tie):
    case = one_domain(LARGE, 3, C=0.4)
    model = fit_tied(case.but(tie=tie, decay=decay), form)
    assert_parameters(model, sklearn_parameters(case))
    assert model.domain_coef_.shape == (1, 3, case.n_features)


# ---- tie=0 and tie=inf ---------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_zero_tie_is_separate_fits(n_classes, fit_intercept, solver):
    case = make_instance((8, 40, 200), n_classes, weights=True, tie=0.0, C=0.8)
    case = case.but(fit_intercept=fit_intercept)
    alone = [sklearn_parameters(case.rows_of(t)) for t in range(3)]
    expected = [np.concatenate(part) for part in zip(*alone, strict=True)]
    model = fit_tied(case, solver=solver)
    assert_parameters(model, expected)
    total = sum(
        plain_objective(case.rows_of(t), *fitted) for t, fitted in enumerate(alone)
    )
    assert_allclose(model.objective_, total, rtol=1e-10)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_infinite_tie_is_the_pooled_fit(n_classes, fit_intercept, decay, solver):
    case = make_instance((5, 40, 200), n_classes, weights=True, C=0.8)
    case = case.but(tie=np.inf, decay=decay, fit_intercept=fit_intercept)
    expected = sklearn_parameters(case, C=case.C / 3 if decay == "each" else case.C)
    model = fit_tied(case, solver=solver)
    assert_parameters(model, expected)
    # Shared is one stored parameter, not three that nearly agree.
    assert model.tie_gap_ == 0.0
    assert_array_equal(model.domain_coef_, model.domain_coef_[[0, 0, 0]])
    assert_array_equal(model.domain_intercept_, model.domain_intercept_[[0, 0, 0]])
    pooled = one_domain((5, 40, 200), n_classes, weights=True)
    pooled = pooled.but(C=case.C / 3 if decay == "each" else case.C)
    assert_allclose(model.objective_, plain_objective(pooled, *expected), rtol=1e-10)


def test_infinite_tie_balances_the_classes_of_all_rows():
    case = make_instance((5, 40, 200), 3, tie=np.inf, decay="shared")
    model = fit_tied(case, class_weight="balanced")
    assert_parameters(model, sklearn_parameters(case, class_weight="balanced"))


def test_stored_parameters_are_counted_once():
    case = make_instance((5, 40, 200), 3)  # 3 domains, 3 classes, 4 features
    for settings, expected in [
        ({"tie": 1.0}, 3 * 3 * 5),
        ({"tie": np.inf}, 3 * 5),
        ({"tie": np.inf, "tie_intercept": False}, 3 * 4 + 3 * 3),
        ({"tie": 1.0, "tie_intercept": np.inf}, 3 * 3 * 4 + 3),
        ({"tie": np.inf, "fit_intercept": False}, 3 * 4),
    ]:
        assert fit_tied(case.but(**settings)).n_stored_parameters_ == expected, settings


# ---- between the ends ----------------------------------------------------------------


@cache
def sweep(n_classes, decay):
    """(instance, fitted model) for each strength of the dial."""
    case = make_instance(LARGE, n_classes, weights=True, decay=decay)
    cases = [case.but(tie=float(tie)) for tie in DIAL]
    return [(case, fit_tied(case)) for case in cases]


def each_sweep(test):
    test = pytest.mark.parametrize("decay", ["each", "shared"])(test)
    return pytest.mark.parametrize("n_classes", [2, 3])(test)


def omega_of(case, coef, intercept):
    return plain_tie(2.0, coef) + plain_tie(2.0, intercept)


@each_sweep
def test_sweep_matches_the_oracles(n_classes, decay):
    for case, model in sweep(n_classes, decay):
        oracles = [scipy_minimum(case)]
        # EasyAdapt is good at large ties; small ones blow up its indicator columns.
        if 1.0 <= case.tie < np.inf:
            oracles.append(easyadapt_fit(case))
        for oracle in oracles:
            best = plain_objective(case, *oracle)
            assert_allclose(model.objective_, best, rtol=1e-12, err_msg=f"{case.tie}")
            assert_parameters(model, oracle, atol=1e-7)


@each_sweep
def test_sweep_is_monotone(n_classes, decay):
    # For a minimum of functions that are linear in tie, with slope Omega/2, the value
    # is concave, Omega falls and loss plus decay rises; the slopes bracket each step.
    fits = sweep(n_classes, decay)
    for (case, model), (after, next_model) in pairwise(fits):
        here, there = parameters(model), parameters(next_model)
        omega, next_omega = omega_of(case, *here), omega_of(after, *there)
        assert next_omega <= omega * (1 + 1e-9), case.tie
        free = plain_loss(case, *here) + plain_decay(case, here[0])
        next_free = plain_loss(after, *there) + plain_decay(after, there[0])
        rounding = 1e-13 * free
        assert next_free >= free - rounding, case.tie
        if np.isfinite(after.tie):
            step = after.tie - case.tie
            rise = next_model.objective_ - model.objective_
            assert rise <= omega / 2 * step + rounding, case.tie
            assert rise >= next_omega / 2 * step - rounding, case.tie


@each_sweep
def test_small_ties_are_close_to_separate(n_classes, decay):
    (case, separate), *rest = sweep(n_classes, decay)
    omega = omega_of(case, *parameters(separate))
    for case, model in rest[:3]:
        assert case.tie <= 1e-6
        rise = model.objective_ - separate.objective_
        rounding = 1e-13 * separate.objective_
        assert -rounding <= rise <= case.tie * omega / 2 + rounding
        # First order: parameters move by tie times something of the size of the
        # inverse Hessian (at most 1/0.01 here) times the deviations (below 10).
        assert_parameters(model, parameters(separate), atol=1e4 * case.tie + 1e-9)


def pooled_pull(case, model):
    """Gradient of loss and decay of each domain at the pooled fit, coef and intercept.

    At a large tie, 2 tie (w_t - mean) balances it: the deviations are its -1/(2 tie).
    """
    coef, intercept = smooth_gradient(case, *parameters(model))
    return coef - coef.mean(axis=0), intercept - intercept.mean(axis=0)


@each_sweep
def test_large_ties_are_close_to_pooled(n_classes, decay):
    *rest, (case, pooled) = sweep(n_classes, decay)
    pull = pooled_pull(case, pooled)
    for case, model in rest[-3:]:
        assert case.tie >= 1e6
        rise = pooled.objective_ - model.objective_
        # By convexity, the pull against tie |deviation|^2 can win this much at most.
        most = sum(np.sum(part**2) for part in pull) / (4 * case.tie)
        rounding = 1e-13 * pooled.objective_
        assert -rounding <= rise <= most + rounding
        assert_parameters(model, parameters(pooled), atol=1e4 / case.tie + 1e-9)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@each_sweep
def test_gap_shrinks_like_one_over_tie(n_classes, decay, solver):
    case = make_instance(LARGE, n_classes, weights=True, decay=decay)
    # The constant comes from scikit-learn's pooled fit, not from a fit under test.
    C = case.C / 3 if decay == "each" else case.C
    fitted = sklearn_parameters(case, C=C)
    at_pooled = [np.repeat(part, 3, axis=0) for part in fitted]
    pull = smooth_gradient(case, *at_pooled)
    pull = [part - part.mean(axis=0) for part in pull]
    limit = max(np.abs(part).max() for part in pull) / 2
    n = case.weight.sum()
    # A value to rounding leaves the square root of rounding in the mean, where the
    # pull is taken: what first-order steps and inexact Newton steps reach.
    place = 1e-5 if solver in ["lbfgs", "newton-cg"] else 1e-7
    for tie in 10.0 ** np.arange(4, 13):
        model = fit_tied(case.but(tie=tie), solver=solver)
        # n/tie: the next order is the Hessian over the tie. 3e-17 tie: parameters of
        # size one carry 1e-16, deviations of size 1e-11 are then known to 1e-5.
        rtol = n / tie + 3e-17 * tie + place
        assert_allclose(model.tie_gap_ * tie, limit, rtol=rtol)
        deviation = model.domain_coef_ - model.coef_
        assert_allclose(
            deviation * tie,
            -pull[0] / 2,
            atol=limit * (10 * n / tie + place) + 3e-16 * tie,
        )


# ---- a fixed model -------------------------------------------------------------------


def fixed_case(n_classes, **settings):
    rng = np.random.default_rng(5)
    case = make_instance((80,), n_classes, weights=True, **settings)
    anchor = rng.normal(size=(case.n_rows, case.n_features))
    return case.but(anchor=(anchor, rng.normal(size=case.n_rows)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fixed_pair_ends(n_classes):
    case = fixed_case(n_classes)
    plain = sklearn_parameters(case)
    anchor = [part[None] for part in case.centred_anchor]
    assert_parameters(fit_tied(case.but(tie=0.0), "none"), plain)
    stiff = fit_tied(case.but(tie=np.inf), "none")
    assert_parameters(stiff, anchor, atol=1e-14)
    assert stiff.tie_gap_ <= 1e-15
    assert_allclose(stiff.objective_, plain_objective(case, *anchor), rtol=1e-12)
    near_plain = fit_tied(case.but(tie=1e-12), "none")
    assert_parameters(near_plain, plain, atol=1e-9)
    near_anchor = fit_tied(case.but(tie=1e12), "none")
    assert_parameters(near_anchor, anchor, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fixed_pair_gap_shrinks_like_one_over_tie(n_classes):
    case = fixed_case(n_classes)
    anchor = [part[None] for part in case.centred_anchor]
    pull = smooth_gradient(case, *anchor)
    limit = max(np.abs(part).max() for part in pull)
    n = case.weight.sum()
    for tie in 10.0 ** np.arange(4, 13):
        model = fit_tied(case.but(tie=tie), "none")
        assert_allclose(model.tie_gap_ * tie, limit, rtol=n / tie + 3e-17 * tie)


@pytest.mark.parametrize("tie", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fixed_pair_effective_anchor(n_classes, tie):
    # Decay to zero and a tie to w_A are together one tie to w_A tie/(tie + 1/C).
    case = fixed_case(n_classes, C=0.5, tie=tie)
    together = tie + 1 / case.C
    w_a, b_a = case.centred_anchor
    moved = case.but(C=np.inf, tie=together, tie_intercept=tie)
    moved = moved.but(anchor=(w_a * tie / together, b_a))
    expected = scipy_minimum(moved)
    model = fit_tied(case, "none")
    assert_parameters(model, expected)
    constant = np.sum(w_a**2) * tie / case.C / together / 2
    value = plain_objective(moved, *expected) + constant
    assert_allclose(model.objective_, value, rtol=1e-10)


# ---- the book's penalty --------------------------------------------------------------


def test_tying_penalty_is_omega_of_two_domains():
    case = make_instance((30, 50), 3, tie=2.0)
    model = fit_tied(case)
    parts = parameters(model)
    for part in parts:
        assert_allclose(tying_penalty(*part), plain_tie(2.0, part), rtol=1e-14)
    free = plain_loss(case, *parts) + plain_decay(case, parts[0])
    omega = sum(tying_penalty(*part) for part in parts)
    assert_allclose(model.objective_, free + case.tie / 2 * omega, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
def test_tying_penalty_shapes(shape):
    rng = np.random.default_rng(0)
    w_a, w_b = rng.normal(size=(2, *shape))
    expected = sum((a - b) ** 2 for a, b in zip(w_a.flat, w_b.flat, strict=True))
    assert_allclose(tying_penalty(w_a, w_b), expected, rtol=1e-14)
    assert tying_penalty(w_a, w_a) == 0.0


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((3,), (1, 3)), ((3, 1), (1, 3))])
def test_tying_penalty_never_broadcasts(shapes):
    w_a, w_b = (np.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"shape"):
        tying_penalty(w_a, w_b)


def test_dial_default_is_finite_and_tied():
    # The defaults of the constructor are part of the specification.
    expected = {"tie": 1.0, "C": 1.0, "decay": "each", "tie_intercept": True}
    given = TiedLogisticRegression().get_params()
    assert {name: given[name] for name in expected} == expected
