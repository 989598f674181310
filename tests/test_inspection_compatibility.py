"""compatibility_test: against explicit designs, linear programs and enumeration."""

import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.stats import binom, chi2, kstest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktie import TiedLogisticRegression
from sktie._parallel import workers
from sktie.inspection import compatibility_test
from sktie.inspection._compatibility import _model, _read
from sktie.inspection._equality import holm
from sktie.inspection._nested import Nested
from sktie.model_selection import TiedLogisticRegressionCV


def sample(sizes=(60, 90, 120), n_features=2, n_classes=2, apart=0.4, seed=0):
    """Rows of domains with related coefficients, interleaved."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(domain), n_features)) + 0.3
    coef = rng.normal(size=(n_classes, n_features + 1))
    coef = coef + apart * rng.normal(size=(len(sizes), *coef.shape))
    rows = np.column_stack([X, np.ones(len(X))])
    raw = np.einsum("ij,ikj->ik", rows, coef[domain])
    y = np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)
    order = rng.permutation(len(y))
    return X[order], y[order], domain[order]


def run(X, y, domain, sample_weight=None, n_bootstrap=0, random_state=0, **settings):
    options = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    if "method" in settings:
        options["method"] = settings.pop("method")
    return compatibility_test(
        TiedLogisticRegression(**settings),
        X,
        y,
        sample_weight=sample_weight,
        sample_domain=domain,
        **options,
    )


def rows_of(report):
    return (report.overall, *report.coefficients)


def numbers(report):
    """All numbers of a report."""
    names = ("df", "likelihood_ratio", "expected", "score", "pvalue", "adjusted_pvalue")
    return np.array([[getattr(row, n) for n in names] for row in rows_of(report)])


# ---- oracles: explicit design matrices -----------------------------------------------


def design(X, domain, shared, fit_intercept=True):
    """Columns of the model in which some coefficients are shared, others not."""
    rows = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    shared = np.asarray(shared, dtype=bool)
    own = np.eye(domain.max() + 1)[domain][:, :, None] * rows[:, None, ~shared]
    return np.hstack([rows[:, shared], own.reshape(len(X), -1)])


def maximum(columns, y, weight=None):
    """Log-likelihood and probabilities at scikit-learn's maximum.

    In an orthonormal basis of what the columns span: some may be collinear.
    """
    basis, lengths, _ = np.linalg.svd(columns, full_matrices=False)
    columns = np.sqrt(len(y)) * basis[:, lengths > 1e-9 * lengths[0]]
    model = LogisticRegression(
        C=np.inf,
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-10,
        max_iter=200,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(columns, y, sample_weight=weight)
    chance = model.predict_proba(columns)
    weight = np.ones(len(y)) if weight is None else weight
    return weight @ np.log(chance[np.arange(len(y)), y]), chance


def hypotheses(n_features, intercept=True):
    """Which coefficients each row of a report says to be shared."""
    n = n_features + 1
    each = [np.arange(n) == j for j in range(n_features + intercept)]
    return [np.arange(n) < n_features + intercept, *each]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_likelihood_ratios_are_those_of_explicit_designs(n_classes, intercept):
    X, y, domain = sample(n_classes=n_classes)
    weight = np.random.default_rng(1).integers(0, 3, size=len(y))
    report = run(X, y, domain, weight, tie_intercept=intercept, tie=3.0, C=0.1)
    separate = maximum(design(X, domain, [0, 0, 0]), y, weight)[0]
    shares = hypotheses(2, intercept)
    assert len(rows_of(report)) == len(shares)
    for row, shared in zip(rows_of(report), shares, strict=True):
        null = maximum(design(X, domain, shared), y, weight)[0]
        assert_allclose(row.likelihood_ratio, 2 * (separate - null), rtol=1e-6)
        assert row.df == 2 * (n_classes - 1) * shared.sum()
        assert row.method == "likelihood ratio"
        corrected = row.likelihood_ratio * row.df / row.expected
        assert_allclose(row.likelihood_ratio_pvalue, chi2.sf(corrected, row.df))
        assert_allclose(row.statistic, corrected)
        assert row.pvalue == row.likelihood_ratio_pvalue


def cumulants(chance):
    """Cumulants 2 to 4 of the indicators of all classes but the first, for a row."""
    k = len(chance) - 1
    values = np.vstack([np.zeros(k), np.eye(k)]) - chance[1:]
    second = np.einsum("c,ca,cb->ab", chance, values, values)
    third = np.einsum("c,ca,cb,cd->abd", chance, *[values] * 3)
    fourth = np.einsum("c,ca,cb,cd,ce->abde", chance, *[values] * 4)
    for pairs in ("ab,de->abde", "ad,be->abde", "ae,bd->abde"):
        fourth = fourth - np.einsum(pairs, second, second)
    return second, third, fourth


def derivatives(columns, chance, weight):
    """Cumulants of the score of all rows, by explicit sums over explicit designs."""
    k, q = chance.shape[1] - 1, columns.shape[1]
    sums = [np.zeros((k * q,) * order) for order in (2, 3, 4)]
    for x, p, w in zip(columns, chance, weight, strict=True):
        basis = np.kron(np.eye(k), x)
        second, third, fourth = cumulants(p)
        sums[0] += w * basis.T @ second @ basis
        sums[1] += w * np.einsum(
            "abc,ai,bj,ck->ijk", third, *[basis] * 3, optimize=True
        )
        sums[2] += w * np.einsum(
            "abcd,ai,bj,ck,dl->ijkl", fourth, *[basis] * 4, optimize=True
        )
    return sums


def lawley(columns, chance, weight):
    """Lawley's term for a model, as the sums over indices read."""
    second, third, fourth = derivatives(columns, chance, weight)
    inverse = np.linalg.pinv(second, rcond=1e-10)
    bent = np.einsum("rtv,rs->stv", third, inverse)
    total = -np.einsum("rstu,rs,tu->", fourth, inverse, inverse) / 4
    total += (
        np.einsum("stv,tu,vw,suw->", bent, inverse, inverse, third, optimize=True) / 6
    )
    return total + (
        np.einsum("stu,tu,svw,vw->", bent, inverse, third, inverse, optimize=True) / 4
    )


def score_statistic(columns, chance, y, weight):
    """``U' K^-1 U`` with explicit matrices."""
    errors = np.eye(chance.shape[1])[y] - chance
    gradient = np.einsum("i,ia,ip->ap", weight, errors[:, 1:], columns).ravel()
    information = np.zeros((gradient.size,) * 2)
    for x, p, w in zip(columns, chance, weight, strict=True):
        information += w * np.kron(
            np.diag(p[1:]) - np.outer(p[1:], p[1:]), np.outer(x, x)
        )
    return gradient @ np.linalg.pinv(information, rcond=1e-10) @ gradient


@pytest.mark.parametrize(
    ("n_classes", "n_features", "intercept"),
    [(2, 2, True), (3, 1, True), (2, 1, False)],
)
def test_score_and_expected_ratio_are_those_of_explicit_sums(
    n_classes, n_features, intercept
):
    X, y, domain = sample((25, 35), n_features, n_classes, seed=3)
    weight = np.random.default_rng(1).integers(1, 3, size=len(y)).astype(float)
    report = run(X, y, domain, weight, tie_intercept=intercept)
    full = design(X, domain, [0] * (n_features + 1))
    shares = hypotheses(n_features, intercept)
    for row, shared in zip(rows_of(report), shares, strict=True):
        columns = design(X, domain, shared)
        chance = maximum(columns, y, weight)[1]
        expected = lawley(full, chance, weight) - lawley(columns, chance, weight)
        assert_allclose(row.expected, row.df + expected, rtol=1e-5)
        assert_allclose(row.score, score_statistic(full, chance, y, weight), rtol=1e-5)
        assert_allclose(row.score_pvalue, chi2.sf(row.score, row.df))


@pytest.mark.parametrize("sizes", [(30, 40), (60, 80)])
def test_the_expected_ratio_is_near_the_mean_over_all_outcomes(sizes):
    # Two binomials are two domains of one constant feature: 0.4 in both.
    counts = [np.arange(n + 1) for n in sizes]
    k = np.stack(np.meshgrid(*counts, indexing="ij"), axis=-1)
    mass = np.prod([binom.pmf(k[..., t], n, 0.4) for t, n in enumerate(sizes)], axis=0)

    def log_likelihood(k, n):
        p = np.clip(k / n, 1e-300, 1 - 1e-16)
        return k * np.log(p) + (n - k) * np.log1p(-p)

    ratio = sum(log_likelihood(k[..., t], n) for t, n in enumerate(sizes))
    ratio = 2 * (ratio - log_likelihood(k.sum(axis=-1), sum(sizes)))
    exact = float(np.sum(mass * ratio))
    domain = np.repeat([0, 1], sizes)
    y = np.concatenate([np.arange(n) < 0.4 * n for n in sizes])
    report = run(np.ones((len(y), 1)), y, domain, fit_intercept=False)
    assert_allclose(report.overall.likelihood_ratio, 0, atol=1e-9)
    assert exact > 1.01
    # The next term is of the order 1/n^2.
    assert abs(report.overall.expected - exact) < 1 / min(sizes) ** 1.5
    assert abs(report.overall.expected - exact) < 0.2 * (exact - 1)


# ---- degrees of freedom --------------------------------------------------------------


def degenerate(kind):
    """Rows in which some domain does not identify some coefficient."""
    X, y, domain = sample((50, 60, 70, 60), n_features=3)
    if kind == "constant":
        X[domain == 1, 0] = 2.0
    elif kind == "collinear":
        X[domain == 1, 0] = X[domain == 1, 1] - 3 * X[domain == 1, 2] + 1
    elif kind == "everywhere":
        X[:, 0] = X[:, 1] + X[:, 2]
    elif kind == "nearly everywhere":
        X[domain != 1, 0] = X[domain != 1, 1]
    elif kind == "zero":
        X[domain != 0, 2] = 0.0
    return X, y, domain


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    "kind", ["constant", "collinear", "everywhere", "nearly everywhere", "zero"]
)
def test_df_are_differences_of_ranks(kind, intercept, n_classes):
    X, y, domain = degenerate(kind)
    if n_classes == 3:
        y = np.where(np.arange(len(y)) % 3 == 2, 2, y)
    report = run(X, y, domain, tie_intercept=intercept)
    rank = np.linalg.matrix_rank(design(X, domain, [0] * 4))
    for row, shared in zip(rows_of(report), hypotheses(3, intercept), strict=True):
        null = design(X, domain, shared)
        assert row.df == (n_classes - 1) * (rank - np.linalg.matrix_rank(null))
        if row.df:
            ratio = maximum(design(X, domain, [0] * 4), y)[0] - maximum(null, y)[0]
            assert_allclose(row.likelihood_ratio, 2 * ratio, rtol=1e-5, atol=1e-6)
            assert 0 <= row.pvalue <= row.adjusted_pvalue <= 1 or row is report.overall
        else:
            assert row.method == "none"
            assert "fewer than two domains" in row.reason
            assert np.isnan([row.pvalue, row.adjusted_pvalue]).all()


# ---- calibration ---------------------------------------------------------------------


def test_p_values_are_uniform_under_the_hypothesis():
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(4), 40)
    found = []
    for _ in range(150):
        X = rng.normal(size=(len(domain), 1))
        y = 0.3 + 0.8 * X[:, 0] + rng.logistic(size=len(domain)) > 0
        found.append([row.pvalue for row in rows_of(run(X, y, domain))])
    for pvalues in np.array(found).T:
        # A degree of freedom more or less, of 3 or 6, shifts the mean by 0.1 and more.
        assert abs(pvalues.mean() - 0.5) < 3 * np.sqrt(1 / 12 / len(pvalues))
        assert kstest(pvalues, "uniform").pvalue > 0.01
        assert np.mean(pvalues < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(pvalues))


def test_what_differs_is_found_and_what_does_not_is_not():
    rng = np.random.default_rng(0)
    domain = np.arange(900) % 3
    X = rng.normal(size=(900, 3))
    y = X @ [1, 1, 0] + (domain - 1) * X[:, 2] + rng.logistic(size=900) > 0
    report = run(X, y, domain)
    assert report.pvalue < 1e-6
    assert report.adjusted_pvalues["x2"] < 1e-6
    for name in ("x0", "x1", "intercept"):
        assert report.adjusted_pvalues[name] > 0.05


# ---- where no maximum exists ---------------------------------------------------------


def separable(columns, y, n_classes):
    """Whether classes are separable, quasi-completely too, by a linear program."""
    margins = []
    for x, c in zip(columns, y, strict=True):
        for other in set(range(n_classes)) - {c}:
            scores = np.zeros((n_classes, len(x)))
            scores[c], scores[other] = x, -x
            margins.append(scores.ravel())
    margins = np.array(margins)
    found = linprog(
        -margins.sum(axis=0), -margins, np.zeros(len(margins)), bounds=(-1, 1)
    )
    return -found.fun > 1e-7


def small_problem(rng):
    """A few rows, sometimes separable; which coefficients are shared."""
    n_domains, p, n_classes = rng.integers(1, 4), rng.integers(1, 4), rng.integers(2, 4)
    domain = np.repeat(np.arange(n_domains), rng.integers(4, 20, size=n_domains))
    X = rng.normal(size=(len(domain), p))
    if rng.random() < 0.5:  # ties, hence rows on separating planes
        X = rng.integers(-1, 2, size=X.shape).astype(float)
    raw = X @ rng.normal(size=(p, n_classes)) * rng.choice([0.3, 1.0, 3.0])
    y = np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)
    if rng.random() < 0.3:
        y = np.where(domain == 0, np.argmax(raw, axis=1), y)
    y[:n_classes] = np.arange(n_classes)
    return X, y, domain, rng.random(p + 1) < 0.5


def test_a_maximum_exists_where_a_linear_program_finds_no_separation():
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for _ in range(80):
        X, y, domain, shared = small_problem(rng)
        model = TiedLogisticRegression()
        rows = model._read(X, y, None, domain, None)
        with workers(1, 1) as crew:
            nested = Nested(model._problem(rows, crew))
            pooled = nested.fit(nested.hypothesis(np.ones_like(shared)))
            fit = nested.fit(nested.hypothesis(shared), pooled)
        for found, which in ((pooled, np.ones_like(shared)), (fit, shared)):
            exists = not separable(design(X, domain, which), y, y.max() + 1)
            assert found.exists == exists
            seen[exists] += 1
    assert min(seen.values()) > 40


def one_separable():
    """Three domains; the rows of the last are separable by the first feature."""
    X, y, domain = sample((60, 60, 40), apart=0.2, seed=1)
    y = np.where(domain == 2, X[:, 0] > 0.3, y)
    return X, y, np.array(["a", "b", "c"])[domain]


def test_the_score_decides_where_one_domain_is_separable():
    X, y, domain = one_separable()
    report = run(X, y, domain)
    assert report.overall.method == "score"
    assert "['c']" in report.overall.reason
    assert "['c']" in str(report)
    assert report.overall.df == 6
    assert np.isnan(report.overall.likelihood_ratio_pvalue)
    code = np.unique(domain, return_inverse=True)[1]
    chance = maximum(design(X, code, [1, 1, 1]), y)[1]
    score = score_statistic(design(X, code, [0, 0, 0]), chance, y, np.ones(len(y)))
    assert_allclose(report.overall.score, score, rtol=1e-5)
    assert report.pvalue == report.overall.score_pvalue == report.overall.score_pvalue
    assert report.overall.statistic == report.overall.score
    # Of x0 all but the coefficient in question is shared or not: with x1 free, the
    # rows of c are separable under the hypothesis, if x0 alone is not.
    by_name = {row.coefficient: row for row in report.coefficients}
    assert by_name["x1"].method == "none"
    assert "n_bootstrap=0" in by_name["x1"].reason
    assert np.isnan(by_name["x1"].pvalue)


def test_the_bootstrap_decides_where_no_maximum_exists_at_all():
    X, _, domain = sample((40, 40), seed=1)
    y = X[:, 0] > 0.2
    report = run(X, y, domain, n_bootstrap=19)
    assert {row.method for row in rows_of(report)} == {"bootstrap"}
    assert "separable" in report.overall.reason
    # One vector predicts every row: nothing speaks against it.
    assert [row.pvalue for row in rows_of(report)] == [1.0] * 4


def test_a_domain_without_a_class_has_no_maximum():
    X, y, domain = sample((60, 60), apart=0)
    y = np.where(domain == 1, 1, y)
    report = run(X, y, domain, tie_intercept=False, n_bootstrap=19)
    assert report.overall.method == "bootstrap"
    assert "[1]" in report.overall.reason
    report = run(X, y, domain)
    assert report.overall.method == "score"
    assert report.pvalue < 0.001


def test_the_bootstrap_agrees_with_chi_square():
    X, y, domain = sample((80, 80), apart=0.3, n_features=1, seed=4)
    chi_square = run(X, y, domain)
    found = run(X, y, domain, method="bootstrap", n_bootstrap=99)
    for row, expected in zip(rows_of(found), rows_of(chi_square), strict=True):
        assert row.method == "bootstrap"
        error = np.sqrt(expected.pvalue * (1 - expected.pvalue) / 99)
        assert abs(row.pvalue - expected.pvalue) < 3 * error + 0.02
        assert row.pvalue * 100 == pytest.approx(round(row.pvalue * 100))


def test_the_bootstrap_can_be_repeated():
    X, y, domain = sample((30, 40), n_features=1)
    found, again, other = (
        run(X, y, domain, method="bootstrap", n_bootstrap=19, random_state=seed).pvalues
        for seed in (0, 0, 1)
    )
    assert found == again != other


def test_the_bootstrap_takes_a_row_of_weight_2_for_two_rows():
    X, y, domain = sample((30, 40), n_features=1)
    weight = np.random.default_rng(0).integers(0, 3, size=len(y))
    options = {"method": "bootstrap", "n_bootstrap": 29}
    found = run(X, y, domain, weight, **options)
    parts = (np.repeat(part, weight, axis=0) for part in (X, y, domain))
    assert_allclose(numbers(found), numbers(run(*parts, **options)), rtol=1e-6)
    assert found.n_samples == weight.sum()


# ---- invariances ---------------------------------------------------------------------


def test_the_order_and_the_names_of_things_do_not_matter():
    X, y, domain = sample(n_classes=3)
    expected = numbers(run(X, y, domain))
    order = np.random.default_rng(0).permutation(len(y))
    assert_allclose(
        numbers(run(X[order], y[order], domain[order])), expected, rtol=1e-6
    )
    names = np.array(["zoo", "bar", "all"])
    assert_allclose(numbers(run(X, y, names[domain])), expected, rtol=1e-6)
    assert_allclose(numbers(run(X, names[y], domain)), expected, rtol=1e-6)
    assert_allclose(numbers(run(X * [1e3, 1e-3], y, domain)), expected, rtol=1e-6)
    assert_allclose(numbers(run(sp.csr_array(X), y, domain)), expected, rtol=1e-6)


def test_a_column_names_the_domains_as_well():
    X, y, domain = sample()
    expected = numbers(run(X, y, domain))
    for place in (0, 1, -1):
        whole = np.insert(X, place if place >= 0 else X.shape[1], domain, axis=1)
        report = compatibility_test(TiedLogisticRegression(pair=place), whole, y)
        assert_allclose(numbers(report), expected, rtol=1e-6)
        assert list(report.pvalues) == ["x0", "x1", "intercept"]


def test_rows_of_weight_zero_do_not_count():
    X, y, domain = sample()
    weight = np.ones(len(y))
    weight[::3] = 0
    spoilt = np.where(weight[:, None] > 0, X, 1e6)
    kept = weight > 0
    expected = numbers(run(X[kept], y[kept], domain[kept]))
    assert_allclose(numbers(run(spoilt, y, domain, weight)), expected, rtol=1e-6)


def test_float32_rows_are_taken_exactly():
    X, y, domain = sample()
    X = X.astype(np.float32)
    assert_allclose(
        numbers(run(X, y, domain)), numbers(run(X.astype(float), y, domain)), rtol=1e-12
    )


def test_settings_that_say_nothing_about_the_likelihood_do_not_count():
    X, y, domain = sample()
    expected = numbers(run(X, y, domain))
    model = TiedLogisticRegression(
        tie=7, C=0.01, decay="shared", class_weight="balanced"
    )
    before = model.get_params()
    found = compatibility_test(model, X, y, sample_domain=domain)
    assert_allclose(numbers(found), expected, rtol=1e-12)
    assert model.get_params() == before
    assert vars(model) == vars(clone(model))
    model.fit(X, y, sample_domain=domain)
    coef = model.coef_.copy()
    found = compatibility_test(model, X, y, sample_domain=domain)
    assert_allclose(numbers(found), expected, rtol=1e-12)
    assert_allclose(model.coef_, coef, rtol=0)
    found = compatibility_test(TiedLogisticRegressionCV(), X, y, sample_domain=domain)
    assert_allclose(numbers(found), expected, rtol=1e-12)


def test_threads_do_not_change_a_bit():
    X, y, domain = sample((80_000, 100_000), n_features=3)
    one = run(X, y, domain, n_jobs=1)
    assert (numbers(run(X, y, domain, n_jobs=2))[:, :5] == numbers(one)[:, :5]).all()


def test_centred_features_change_no_test_but_that_of_the_intercept():
    X, y, domain = sample()
    found = numbers(run(X, y, domain))
    moved = numbers(run(StandardScaler().fit_transform(X), y, domain))
    assert_allclose(moved[:3, :5], found[:3, :5], rtol=1e-6)
    assert abs(moved[3, 1] - found[3, 1]) > 0.1


# ---- the report ----------------------------------------------------------------------


def test_p_values_are_adjusted_by_holm():
    found = holm([0.01, 0.04, 0.03, 0.005, np.nan])
    assert_allclose(found, [0.03, 0.06, 0.06, 0.02, np.nan])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    report = run(*sample())
    assert list(report.adjusted_pvalues.values()) == holm(list(report.pvalues.values()))


def test_the_frame_and_the_text_have_a_row_for_every_hypothesis():
    pandas = pytest.importorskip("pandas")
    X, y, domain = sample()
    frame = pandas.DataFrame(X, columns=["age", "dose"]).assign(site=domain)
    report = compatibility_test(TiedLogisticRegression(pair="site"), frame, y)
    names = ["all", "age", "dose", "intercept"]
    table = report.to_frame()
    assert list(table.index) == names
    assert_allclose(table["pvalue"], [report.pvalue, *report.pvalues.values()])
    assert_allclose(table["statistic"], [row.statistic for row in rows_of(report)])
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == names
    assert lines[5:] == ["3 domains, 270 rows"]


def test_a_frame_without_pandas_says_how_to_get_it(monkeypatch):
    report = run(*sample())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_frame()


# ---- errors --------------------------------------------------------------------------


X_2, Y_2, DOMAIN_2 = sample((30, 30))


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (TiedLogisticRegression(), {}, "X has no domains.*sample_domain"),
        (
            TiedLogisticRegression(),
            {"sample_domain": ["a"] * 60},
            "one domain, 'a'; expected two",
        ),
        (
            TiedLogisticRegression(pair=(np.ones((1, 2)), [0.0])),
            {},
            "a fixed model; expected domains",
        ),
        (
            TiedLogisticRegression(),
            {"sample_domain": DOMAIN_2, "sample_weight": DOMAIN_2},
            r"domains \[0\] have weight zero",
        ),
        (
            TiedLogisticRegression(),
            {"sample_domain": DOMAIN_2, "sample_weight": np.full(60, 0.5)},
            "sample_weight holds 0.5; expected whole numbers",
        ),
        (
            TiedLogisticRegression(),
            {"sample_domain": DOMAIN_2, "method": "wald"},
            "method='wald'; expected 'auto' or 'bootstrap'",
        ),
        (
            TiedLogisticRegression(),
            {"sample_domain": DOMAIN_2, "n_bootstrap": -1},
            "n_bootstrap=-1; expected a non-negative",
        ),
        (
            TiedLogisticRegression(),
            {"sample_domain": DOMAIN_2, "n_bootstrap": 0, "method": "bootstrap"},
            "n_bootstrap=0; expected a positive",
        ),
        (
            TiedLogisticRegression(tie_intercept=-1),
            {"sample_domain": DOMAIN_2},
            "'tie_intercept' parameter",
        ),
    ],
)
def test_errors_say_what_to_do(estimator, options, message):
    with pytest.raises(ValueError, match=message):
        compatibility_test(estimator, X_2, Y_2, **options)


def test_other_estimators_are_no_tied_models():
    with pytest.raises(TypeError, match="is of type LogisticRegression; expected"):
        compatibility_test(LogisticRegression(), X_2, Y_2, sample_domain=DOMAIN_2)


def test_there_must_be_a_coefficient_to_compare():
    X = np.where(DOMAIN_2[:, None] == 0, [1.0, 1.0], X_2)
    with pytest.raises(ValueError, match="identified by the rows of two domains"):
        run(X, Y_2, DOMAIN_2, tie_intercept=False)


def test_too_many_features_are_refused_before_memory_runs_out():
    X = sp.csr_array((60, 200_000))
    with pytest.raises(ValueError, match=r"X has 200000 features.*Select"):
        run(X, Y_2, DOMAIN_2)


def test_bootstrap_draws_have_the_probabilities_of_the_fit():
    X, y, domain = sample((40, 50), n_classes=3)
    model = _model(TiedLogisticRegression())
    rows = _read(model, X, y, None, domain)
    with workers(1, 1) as crew:
        nested = Nested(model._problem(rows, crew))
        fit = nested.fit(nested.hypothesis(np.ones(3, dtype=bool)))
        draws = nested.draws(fit, 2000, np.random.RandomState(0))
        drawn = np.mean([np.eye(3)[draw.problem.rows.y] for draw in draws], axis=0)
    chance = maximum(design(X, domain, [1, 1, 1]), y)[1][rows.design.order]
    assert_allclose(drawn, chance, atol=5 * np.sqrt(0.25 / 2000))
