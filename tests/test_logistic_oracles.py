"""TiedLogisticRegression against solvers that share no line with it."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from tests.oracles import (
    domain_names,
    easyadapt_fit,
    fit_tied,
    make_instance,
    parameters,
    plain_gradient,
    plain_loss,
    plain_objective,
    remaining_gap,
    row_losses,
    scipy_minimum,
)

SIZES = {2: (40, 200), 3: (5, 40, 200), 8: (5, 40, 200, 12, 60, 8, 100, 30)}
# decay="shared" leaves the deviations to the ties: without one, each domain's rows
# have to bound its coefficients, so these do not separate.
LARGE = (50, 70, 120)
FORMS = ["column", "sample_domain"]
SOLVERS = ["newton-cholesky", "lbfgs", "newton-cg"]

# Every way in which coefficients and intercepts can be tied, beyond what EasyAdapt
# can say: (name, settings).
TREATMENTS = {
    "tied": {"tie": 2.0},
    "free intercept": {"tie": 2.0, "tie_intercept": False},
    "weak intercept tie": {"tie": 2.0, "tie_intercept": 0.05},
    "strong intercept tie": {"tie": 2.0, "tie_intercept": 500.0},
    "zero intercept tie": {"tie": 2.0, "tie_intercept": 0.0},
    "one intercept": {"tie": 2.0, "tie_intercept": np.inf},
    "no intercept": {"tie": 2.0, "fit_intercept": False},
    "separate": {"tie": 0.0},
    "separate, tied intercept": {"tie": 0.0, "tie_intercept": 3.0},
    "separate, one intercept": {"tie": 0.0, "tie_intercept": np.inf},
    "separate, no intercept": {"tie": 0.0, "fit_intercept": False},
    "pooled": {"tie": np.inf},
    "pooled, free intercept": {"tie": np.inf, "tie_intercept": False},
    "pooled, tied intercept": {"tie": np.inf, "tie_intercept": 3.0},
    "pooled, no intercept": {"tie": np.inf, "fit_intercept": False},
    "strong decay": {"tie": 0.3, "C": 0.01},
    "weak decay": {"tie": 0.3, "C": 100.0},
    "huge tie, weak intercept tie": {"tie": 1e9, "tie_intercept": 1e-9},
    "tiny tie, strong intercept tie": {"tie": 1e-9, "tie_intercept": 1e9},
}


def treatments(*names):
    """Parametrise over some or all of the treatments of the table."""
    rows = [pytest.param(TREATMENTS[name], id=name) for name in names or TREATMENTS]
    return pytest.mark.parametrize("settings", rows)


def assert_at_minimum(model, case, oracle, atol=1e-5, gap=1e-12):
    """The value, the place, and the derivative there, against the formula."""
    coef, intercept = parameters(model)
    assert_allclose(model.objective_, plain_objective(case, *oracle), rtol=1e-8)
    # Not only the minimum's value: it is the value at the reported parameters.
    reported = plain_objective(case, coef, intercept)
    assert_allclose(model.objective_, reported, rtol=1e-10)
    assert remaining_gap(case, coef, intercept) <= gap
    assert_allclose(coef, oracle[0], atol=atol)
    assert_allclose(intercept, oracle[1], atol=atol)
    assert_allclose(model.coef_, oracle[0].mean(axis=0), atol=atol)
    assert_allclose(model.intercept_, oracle[1].mean(axis=0), atol=atol)


# ---- the oracles agree with each other, or nothing below means anything -------------


@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [0.3, 10.0, 1e6])
def test_oracles_agree(tie, n_classes, decay):
    C = 30.0  # decay="shared" as EasyAdapt needs C >= 1/(2 tie n_domains)
    case = make_instance(n_classes=n_classes, weights=True, tie=tie, C=C, decay=decay)
    one, other = easyadapt_fit(case), scipy_minimum(case)
    values = plain_objective(case, *one), plain_objective(case, *other)
    assert_allclose(*values, rtol=1e-13)
    assert_allclose(one[0], other[0], atol=1e-8)
    assert_allclose(one[1], other[1], atol=1e-8)


@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_oracle_gradient(n_classes, decay):
    rng = np.random.default_rng(0)
    settings = {"tie": 0.7, "tie_intercept": 0.2, "decay": decay}
    case = make_instance(n_classes=n_classes, weights=True, **settings)
    point = [
        rng.normal(size=(3, case.n_rows, case.n_features)),
        rng.normal(size=(3, case.n_rows)),
    ]
    way = [rng.normal(size=part.shape) for part in point]

    def value(step):
        moved = [p + step * d for p, d in zip(point, way, strict=True)]
        return plain_objective(case, *moved)

    h = 1e-3
    five_point = value(-2 * h) - 8 * value(-h) + 8 * value(h) - value(2 * h)
    gradient = plain_gradient(case, *point)
    slope = sum(np.sum(g * d) for g, d in zip(gradient, way, strict=True))
    assert_allclose(slope, five_point / (12 * h), rtol=1e-9)


# ---- EasyAdapt: plain LogisticRegression on augmented features -----------------------


@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("tie", [1e-3, 0.3, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_domains", [2, 3, 8])
def test_easyadapt(n_domains, n_classes, tie, weights):
    case = make_instance(SIZES[n_domains], n_classes, weights=weights, tie=tie)
    oracle = easyadapt_fit(case)
    for form in FORMS:
        model = fit_tied(case, form)
        assert_at_minimum(model, case, oracle)
        # Each row of the gradient is a sum over at most all rows.
        for part in plain_gradient(case, *parameters(model)):
            assert_allclose(part, 0.0, atol=1e-9 * (case.weight.sum() + tie))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_easyadapt_more_features_than_rows(fit_intercept, n_classes, solver):
    case = make_instance((7, 12), n_classes, 30, weights=True, C=0.5)
    case = case.but(fit_intercept=fit_intercept)
    assert_at_minimum(fit_tied(case, solver=solver), case, easyadapt_fit(case))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [0.3, 1e6])
def test_easyadapt_badly_scaled_features(tie, n_classes, solver):
    # Units differ in practice; 1e3 between the columns, and an offset of 10.
    case = make_instance(n_classes=n_classes, tie=tie)
    X = case.X * [1.0, 30.0, 0.03, 1.0] + [0.0, 0.0, 0.0, 10.0]
    case = case.but(X=X)
    model = fit_tied(case, solver=solver)
    # Condition 1e8: a value that is exact to rounding leaves more play in the place,
    # and the first-order solver stops there.
    loose = {"atol": 1e-4, "gap": 1e-11} if solver == "lbfgs" else {}
    assert_at_minimum(model, case, easyadapt_fit(case), **loose)


# ---- scipy on the plain objective: every other treatment -----------------------------


@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("n_classes", [2, 3])
@treatments()
def test_domains(settings, n_classes, decay):
    sizes = SIZES[3] if decay == "each" else LARGE
    case = make_instance(sizes, n_classes, weights=True, decay=decay, **settings)
    oracle = scipy_minimum(case)
    for form in FORMS:
        model = fit_tied(case, form)
        assert_at_minimum(model, case, oracle)
    if not case.fit_intercept:
        assert_array_equal(model.domain_intercept_, 0.0)
    if n_classes == 3:
        assert_allclose(model.domain_coef_.sum(axis=1), 0.0, atol=1e-10)
        assert_allclose(model.domain_intercept_.sum(axis=1), 0.0, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@treatments(
    "tied",
    "weak intercept tie",
    "separate",
    "pooled",
    "pooled, free intercept",
    "huge tie, weak intercept tie",
    "tiny tie, strong intercept tie",
)
def test_every_solver(settings, n_classes, solver):
    for decay in ["each", "shared"]:
        case = make_instance(LARGE, n_classes, decay=decay, **settings)
        model = fit_tied(case, solver=solver)
        assert_at_minimum(model, case, scipy_minimum(case))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("form", ["none", "column"])
def test_tol_bounds_the_gap(form, tol, solver):
    # The certificate is an estimate; ten times over would be no certificate.
    case = make_instance(SIZES[3], 3)
    if form == "none":
        case = case.but(domain=np.zeros_like(case.domain))
    model = fit_tied(case, form, tol=tol, solver=solver)
    best = plain_objective(case, *scipy_minimum(case))
    assert best * (1 - 1e-12) <= model.objective_ <= best * (1 + 10 * tol)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("tol", [1e-4, 1e-8])
def test_tol_bounds_the_gap_where_little_is_curved(tol, solver):
    # Separable rows and next to no decay: long flat valleys, where the curvature that
    # a first-order solver has met so far says least about what is left.
    case = make_instance((30, 50), n_features=60, tie=1e-2, C=1e4)
    case = case.but(X=10 * case.X)
    model = fit_tied(case, tol=tol, solver=solver)
    best = plain_objective(case, *scipy_minimum(case))
    assert best * (1 - 1e-12) <= model.objective_ <= best * (1 + 10 * tol)


@pytest.mark.parametrize("settings", [{"tie": 1.0}, {"tie": 1e-9}, {"tie": 1e9}])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_domains_that_miss_classes(n_classes, settings):
    case = make_instance((20, 30, 60), n_classes, weights=True, **settings)
    y = case.y.copy()
    y[case.domain == 0] = n_classes - 1  # one class
    if n_classes == 3:
        y[(case.domain == 1) & (y == 2)] = 0  # two of three
    case = case.but(y=y)
    # The intercept of the first domain runs off as -log(tie): its curvature is as
    # small as the tie, hence its place is known less well than its value.
    atol = 1e-5 if case.tie >= 1 else 1e-4
    assert_at_minimum(fit_tied(case), case, scipy_minimum(case), atol=atol)


def test_one_class_domain_without_decay():
    # Ties alone hold the domain's parameters as long as the pooled rows overlap.
    case = make_instance((20, 30, 60), tie=1.0, C=np.inf)
    case = case.but(y=np.where(case.domain == 1, 0, case.y))
    assert_at_minimum(fit_tied(case), case, scipy_minimum(case))


@pytest.mark.parametrize(
    "settings", [{"tie": 0.0}, {"tie": 1.0, "tie_intercept": False}]
)
def test_one_class_domain_without_ties_is_named(settings):
    case = make_instance((20, 30, 60), **settings)
    case = case.but(y=np.where(case.domain == 1, 0, case.y))
    with pytest.raises(ValueError, match="site 001"):
        fit_tied(case, "sample_domain")


# ---- a fixed model -------------------------------------------------------------------


def one_domain(n_classes=2, seed=3, **settings):
    """Rows of one domain, and a fixed model that is not centred over classes."""
    rng = np.random.default_rng(seed)
    case = make_instance((60,), n_classes, weights=True, **settings)
    anchor = rng.normal(size=(case.n_rows, case.n_features)) + 1.0
    return case.but(anchor=(anchor, rng.normal(size=case.n_rows) + 1.0))


@pytest.mark.parametrize("n_classes", [2, 3])
@treatments(*[name for name in TREATMENTS if "no intercept" not in name])
def test_fixed_pair(settings, n_classes):
    case = one_domain(n_classes, **settings)
    model = fit_tied(case, "none")
    assert_at_minimum(model, case, scipy_minimum(case))
    if case.tie > 0:  # what the gap of coefficients that nothing ties is, is open
        coef, intercept = case.centred_anchor
        gap = np.abs(model.coef_ - coef).max()
        if case.intercept_strength > 0:
            gap = max(gap, np.abs(model.intercept_ - intercept).max())
        assert_allclose(model.tie_gap_, gap, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [0.0, 2.0, np.inf])
def test_fixed_pair_without_intercept(tie, n_classes):
    case = one_domain(n_classes, tie=tie, fit_intercept=False)
    case = case.but(anchor=(case.anchor[0], np.zeros(case.n_rows)))
    model = fit_tied(case, "none")
    assert_at_minimum(model, case, scipy_minimum(case))
    assert_array_equal(model.intercept_, 0.0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@treatments("tied", "free intercept", "huge tie, weak intercept tie", "pooled")
def test_fixed_pair_every_solver(settings, n_classes, solver):
    case = one_domain(n_classes, **settings)
    model = fit_tied(case, "none", solver=solver)
    assert_at_minimum(model, case, scipy_minimum(case))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda fitted: fitted])
def test_fixed_pair_estimator(wrap, n_classes):
    other = make_instance((50,), n_classes, seed=8)
    fitted = LogisticRegression(C=2.0).fit(other.X, other.y)
    case = one_domain(n_classes, tie=2.0)
    case = case.but(anchor=(fitted.coef_, fitted.intercept_))
    model = fit_tied(case, "none", pair=wrap(fitted))
    assert_at_minimum(model, case, scipy_minimum(case))


# ---- data types and weights ----------------------------------------------------------


@pytest.mark.parametrize("container", ["csr", "csc"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
def test_sparse_equals_dense(solver, kind, container):
    for n_classes in [2, 3]:
        case = make_instance(LARGE, n_classes, weights=True, tie=2.0)
        case = case.but(X=np.where(np.abs(case.X) > 0.8, case.X, 0.0))
        dense = fit_tied(case)
        # Domain 0 is stored nowhere in the column: it must not be lost.
        X = np.column_stack([case.X, case.domain])
        X = getattr(sp, f"{container}_{kind}")(X)
        for rows, fit_params in [
            (X, {"sample_weight": case.weight}),
            (
                X[:, :-1],
                {"sample_weight": case.weight, "sample_domain": domain_names(case)},
            ),
        ]:
            pair = None if "sample_domain" in fit_params else -1
            model = dense.__class__(pair, tie=2.0, tol=1e-20, solver=solver)
            model.fit(rows, case.y, **fit_params)
            assert_at_minimum(model, case, parameters(dense), atol=1e-7)
            assert_allclose(
                model.predict_proba(rows, **_only_domain(fit_params)),
                dense.predict_proba(np.column_stack([case.X, case.domain])),
                atol=1e-7,
            )


def _only_domain(fit_params):
    return {k: v for k, v in fit_params.items() if k == "sample_domain"}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [1.0, 1e6])
def test_float32_is_close(tie, n_classes, solver):
    case = make_instance(LARGE, n_classes, tie=tie)
    narrow = case.X.astype(np.float32)
    case = case.but(X=narrow.astype(np.float64))
    single = fit_tied(case.but(X=narrow), "sample_domain", tol=1e-8, solver=solver)
    assert single.coef_.dtype == np.float32
    assert single.domain_coef_.dtype == np.float32
    oracle = scipy_minimum(case)
    assert_allclose(single.domain_coef_, oracle[0], atol=2e-3)
    assert_allclose(single.domain_intercept_, oracle[1], atol=2e-3)
    assert_allclose(single.objective_, plain_objective(case, *oracle), rtol=1e-5)


@pytest.mark.parametrize("form", ["none", *FORMS])
def test_class_weight_multiplies_sample_weight(form):
    case = make_instance(LARGE, 3, weights=True, tie=2.0)
    if form == "none":
        case = case.but(domain=np.zeros_like(case.domain))
    of_class = np.array([0.5, 1.0, 4.0])
    total = case.weight.sum()
    balanced = total / (3 * np.bincount(case.y, weights=case.weight))
    for class_weight, factor in [
        (dict(enumerate(of_class)), of_class),
        ("balanced", balanced),
    ]:
        weighted = case.but(weight=case.weight * factor[case.y])
        model = fit_tied(case, form, class_weight=class_weight)
        assert_at_minimum(model, weighted, scipy_minimum(weighted))


# ---- what is reported and predicted --------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_predictions_use_the_rows_domain(form, n_classes):
    case = make_instance(SIZES[3], n_classes, tie=2.0)
    coef, intercept = scipy_minimum(case)
    model = fit_tied(case, form)
    raw = np.einsum("ij,ikj->ik", case.X, coef[case.domain]) + intercept[case.domain]
    X, given = np.column_stack([case.X, case.domain]), {}
    if form == "sample_domain":
        X, given = case.X, {"sample_domain": domain_names(case)}
    decision = raw[:, 0] if n_classes == 2 else raw
    # Probabilities from the losses: the loss of class k is minus its log-probability.
    logs = [row_losses(np.full(case.y.size, k), raw) for k in range(n_classes)]
    logs = -np.column_stack(logs)
    winner = logs.argmax(axis=1)
    assert_allclose(model.decision_function(X, **given), decision, atol=1e-5)
    assert_allclose(model.predict_log_proba(X, **given), logs, atol=1e-5)
    assert_allclose(model.predict_proba(X, **given), np.exp(logs), atol=1e-5)
    assert_array_equal(model.predict(X, **given), winner)
    score = model.score(X, case.y, case.weight, **given)
    assert_allclose(score, np.average(winner == case.y, weights=case.weight))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_unseen_domain_uses_the_centre(n_classes):
    case = make_instance(LARGE, n_classes, tie=2.0)
    model = fit_tied(case, handle_unknown="shared")
    coef, intercept = scipy_minimum(case)
    raw = case.X @ coef.mean(axis=0).T + intercept.mean(axis=0)
    X = np.column_stack([case.X, np.full(case.y.size, 7)])
    decision = raw[:, 0] if n_classes == 2 else raw
    assert_allclose(model.decision_function(X), decision, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_domain_estimator_is_the_domains_model(n_classes):
    case = make_instance(LARGE, n_classes, tie=2.0)
    model = fit_tied(case, "sample_domain")
    for t, label in enumerate(model.domains_):
        own = model.domain_estimator(label)
        rows = case.domain == t
        assert type(own) is LogisticRegression
        given = {"sample_domain": domain_names(case)[rows]}
        assert_allclose(
            own.predict_proba(case.X[rows]),
            model.predict_proba(case.X[rows], **given),
            rtol=1e-12,
        )


@pytest.mark.parametrize("n_classes", [2, 3])
@treatments("tied", "free intercept", "one intercept", "pooled", "no intercept")
def test_reported_centre_gap_and_sizes(settings, n_classes):
    case = make_instance(SIZES[3], n_classes, **settings)
    model = fit_tied(case, "sample_domain")
    rows, p = case.n_rows, case.n_features
    assert model.domain_coef_.shape == (3, rows, p)
    assert model.domain_intercept_.shape == (3, rows)
    assert model.coef_.shape == (rows, p)
    assert model.intercept_.shape == (rows,)
    assert_array_equal(model.domains_, ["site 000", "site 001", "site 002"])
    assert_allclose(model.coef_, model.domain_coef_.mean(axis=0), rtol=1e-12)
    mean = model.domain_intercept_.mean(axis=0)
    assert_allclose(model.intercept_, mean, rtol=1e-12)
    gap = np.abs(model.domain_coef_ - model.coef_).max()
    if case.intercept_strength > 0:
        gap = max(gap, np.abs(model.domain_intercept_ - mean).max())
    assert_allclose(model.tie_gap_, gap, rtol=1e-10, atol=1e-14)


def test_objective_parts_add_up():
    # Guards the factors of the table by hand: two domains, book's Omega.
    case = make_instance((30, 50), tie=3.0, C=0.7, tie_intercept=0.4)
    model = fit_tied(case)
    (w_a, w_b), (b_a, b_b) = model.domain_coef_, model.domain_intercept_
    total = plain_loss(case, model.domain_coef_, model.domain_intercept_)
    total += (np.sum(w_a**2) + np.sum(w_b**2)) / (2 * 0.7)
    total += 3.0 / 2 * np.sum((w_a - w_b) ** 2) + 0.4 / 2 * np.sum((b_a - b_b) ** 2)
    assert_allclose(model.objective_, total, rtol=1e-12)
