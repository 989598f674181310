"""tying_report against dense inverses, derivatives and fits without each row."""

import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.inspection import tying_path, tying_report
from tests.tied import INF, TIGHT, brute_force, given, model_of, pairs, rows

classes = pytest.mark.parametrize("n_classes", [2, 3])


def reported(kind, n_classes=2, n=70, **settings):
    X, y, domain = rows(n, n_classes=n_classes)
    model = model_of(kind, n_classes, **settings)
    more = given(model, domain)
    model.fit(X, y, **more)
    return tying_report(model, X, y, **more), model, X, y, domain


@classes
def test_without_penalties_all_parameters_are_in_effect(n_classes):
    report, *_ = reported("domains", n_classes, n=200, tie=0, C=INF)
    size = 3 * (n_classes - 1)
    for row in report.domains:
        assert_allclose(row.effective_parameters, size, rtol=1e-6)
        assert row.n_parameters == size
        assert_allclose([row.own, row.borrowed, row.decay], [1, 0, 0], atol=1e-6)
    assert_allclose(report.effective_parameters, 3 * size, rtol=1e-6)


@classes
def test_one_shared_vector_counts_once(n_classes):
    report, *_ = reported("domains", n_classes, n=200, tie=INF, C=INF)
    size = 3 * (n_classes - 1)
    assert_allclose(report.effective_parameters, size, rtol=1e-6)
    assert_allclose(sum(row.own for row in report.domains), 1, rtol=1e-6)
    for row in report.domains:
        assert_allclose(row.own + row.borrowed, 1, rtol=1e-6)


def dense(model, X, y, domain, tilts=0.0):
    """Newton's method on the objective written out, rows tilted by linear terms.

    Returns the coefficients (n_domains, 3) of two classes; ``tilts`` (n_domains, 3) is
    added to the gradient of the losses.
    """
    names = np.unique(domain)
    T, q = len(names), X.shape[1] + 1
    A = [np.column_stack([X[domain == n], np.ones((domain == n).sum())]) for n in names]
    decay = np.full(q, 1 / model.C)
    decay[-1] = 0
    centring = np.eye(T) - 1 / T
    penalty = np.kron(np.eye(T), np.diag(decay))
    penalty += 2 * model.tie * np.kron(centring, np.eye(q))
    if model.decay == "shared":
        penalty = np.kron(np.full((T, T), 1 / T**2), np.diag(decay))
        penalty += 2 * model.tie * np.kron(centring, np.eye(q))
    w = np.zeros((T, q))
    for _ in range(60):
        p = [1 / (1 + np.exp(-a @ v)) for a, v in zip(A, w, strict=True)]
        gradient = np.array(
            [
                a.T @ (p_t - y[domain == n])
                for a, p_t, n in zip(A, p, names, strict=True)
            ]
        )
        gradient = (gradient + tilts).ravel() + penalty @ w.ravel()
        hessian = penalty.copy()
        for t, (a, p_t) in enumerate(zip(A, p, strict=True)):
            part = slice(t * q, (t + 1) * q)
            hessian[part, part] += a.T @ (a * (p_t * (1 - p_t))[:, np.newaxis])
        w = w - np.linalg.solve(hessian, gradient).reshape(T, q)
    return w


@pytest.mark.parametrize("kind", ["domains", "shared decay"])
def test_shares_are_how_estimates_move_with_what_rows_say(kind):
    # Moving every target of a domain's quadratic by e moves its gradient by -H e.
    report, model, X, y, domain = reported(kind, n=150, tie=2.0, C=0.5)
    w = dense(model, X, y, domain)
    assert_allclose(w[:, :-1], model.domain_coef_[:, 0], rtol=1e-5, atol=1e-7)
    names, step = model.domains_, 1e-4
    moved = np.zeros((3, 3, 3))  # of estimate, by domain, by coefficient
    for s, name in enumerate(names):
        own = domain == name
        a = np.column_stack([X[own], np.ones(own.sum())])
        p = 1 / (1 + np.exp(-a @ w[s]))
        hessian = a.T @ (a * (p * (1 - p))[:, np.newaxis])
        for k in range(3):
            tilts = np.zeros((3, 3))
            tilts[s] = -step * hessian[:, k]
            up, down = (
                dense(model, X, y, domain, tilts),
                dense(model, X, y, domain, -tilts),
            )
            moved[:, s, k] = (up - down)[:, k] / (2 * step)
    shares = moved.mean(axis=2)
    for t, row in enumerate(report.domains):
        assert_allclose(row.own, shares[t, t], rtol=1e-5)
        assert_allclose(row.borrowed, shares[t].sum() - shares[t, t], rtol=1e-5)
        assert_allclose(row.effective_parameters, 3 * shares[t, t], rtol=1e-5)
        assert_allclose(row.own + row.borrowed + row.decay, 1, rtol=1e-12)
        assert row.pair == 0


@pytest.mark.parametrize("tie", [0, 0.5, 20, INF])
def test_shares_of_a_fixed_pair_are_those_of_a_ridge(tie):
    report, model, X, _, _ = reported("pair", tie=tie, C=2.0)
    a = np.column_stack([X, np.ones(len(X))])
    p = model.predict_proba(X)[:, 1]
    data = a.T @ (a * (p * (1 - p))[:, np.newaxis])
    decay = np.diag([0.5, 0.5, 0])
    inverse = np.zeros((3, 3))
    if tie < INF:
        inverse = np.linalg.inv(data + decay + tie * np.eye(3))
    own, pulled = np.trace(inverse @ data) / 3, np.trace(inverse @ decay) / 3
    row = report.total
    expected = [own, 0, pulled, 1 - own - pulled]
    found = [row.own, row.borrowed, row.decay, row.pair]
    assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    factor = {0: 0, INF: 1}.get(tie, tie / (tie + 0.5))
    assert_allclose(report.anchor_factor, factor)
    assert_allclose(report.effective_anchor, factor * pairs()[0])
    assert report.domains == ()


def test_the_effective_anchor_is_where_nothing_else_pulls():
    # Rows of weight nearly zero: tie and decay alone.
    X, y, _ = rows()
    weight = np.full(len(y), 1e-9)
    model = model_of("pair", tie=0.3, C=2.0).fit(X, y, sample_weight=weight)
    report = tying_report(model, X, y, sample_weight=weight)
    assert_allclose(model.coef_, report.effective_anchor, rtol=1e-6)


@pytest.mark.parametrize("kind", ["domains", "free intercepts", "pair"])
def test_gains_are_differences_of_losses_left_out(kind):
    report, model, X, y, domain = reported(kind, n=60, tie=4.0)
    fits = {"separate": 0, "pooled": INF}
    own = brute_force(model_of(kind, tie=4.0), X, y, domain)
    names = [] if kind == "pair" else list(model.domains_)
    places = [domain == name for name in names] + [np.ones(len(y), bool)]
    for name, tie in fits.items():
        gain = brute_force(model_of(kind, tie=tie), X, y, domain) - own
        for row, here in zip((*report.domains, report.total), places, strict=True):
            error = gain[here].std() / np.sqrt(here.sum())
            found = getattr(row, f"gain_over_{name}")
            assert_allclose(found, gain[here].mean(), atol=0.15 * error + 1e-4)
            assert_allclose(getattr(row, f"{name}_error"), error, rtol=0.15)
            assert row.n_samples == here.sum()


def test_a_model_gains_nothing_over_itself():
    for tie, name in ((0, "separate"), (INF, "pooled")):
        report, *_ = reported("domains", tie=tie)
        for row in (*report.domains, report.total):
            assert getattr(row, f"gain_over_{name}") == 0
            assert getattr(row, f"{name}_error") == 0


@pytest.mark.parametrize(
    ("kind", "n_classes", "tie", "stored", "logical"),
    [
        ("domains", 2, 1.0, 9, 9),
        ("domains", 2, INF, 3, 9),
        ("free intercepts", 2, INF, 2 + 3, 9),
        ("domains", 3, INF, 9, 27),
        ("no intercept", 2, 1.0, 6, 6),
        ("pair", 3, 1.0, 9, 9),
    ],
)
def test_parameters_are_counted(kind, n_classes, tie, stored, logical):
    report, *_ = reported(kind, n_classes, tie=tie)
    assert (report.stored_parameters, report.logical_parameters) == (stored, logical)


def test_the_report_of_a_search_is_that_of_what_it_chose():
    X, y, domain = rows()
    search = TiedLogisticRegressionCV(ties=4, Cs=[0.5, 2], **TIGHT)
    search.fit(X, y, sample_domain=domain)
    model = TiedLogisticRegression(tie=search.tie_, C=search.C_, **TIGHT)
    model.fit(X, y, sample_domain=domain)
    found, expected = (
        tying_report(m, X, y, sample_domain=domain) for m in (search, model)
    )
    assert (found.tie, found.C) == (search.tie_, search.C_)
    assert_allclose(found.effective_parameters, expected.effective_parameters)
    assert_allclose(found.total.gain_over_pooled, expected.total.gain_over_pooled)


OTHER_ROWS = {
    "fewer rows": lambda X, y, d: (X[1:], y[1:], d[1:]),
    "other labels": lambda X, y, d: (X, 1 - y, d),
    "other domains": lambda X, y, d: (X, y, np.roll(d, 1)),
    "names of domains swapped": lambda X, y, d: (
        X,
        y,
        np.where(d == "east", "north", np.where(d == "north", "east", d)),
    ),
    "other features": lambda X, y, d: (X[:, ::-1], y, d),
}


@pytest.mark.parametrize("change", OTHER_ROWS)
def test_rows_of_another_fit_are_refused(change):
    X, y, domain = rows()
    model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    X, y, domain = OTHER_ROWS[change](X, y, domain)
    with pytest.raises(ValueError, match=r"no fit to these rows.*there is score"):
        tying_report(model, X, y, sample_domain=domain)


def test_other_rows_are_refused_where_all_have_the_same_minimum():
    # At tie=inf a model is its pair, whatever the rows.
    X, y, _ = rows()
    model = model_of("pair", tie=INF).fit(X, y)
    tying_report(model, X, y)
    with pytest.raises(ValueError, match="no fit to these rows"):
        tying_report(model, X[5:], y[5:])


def test_other_weights_classes_and_domains_are_refused():
    X, y, domain = rows()
    model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="no fit to these rows"):
        tying_report(model, X, y, sample_weight=2 + 0 * y, sample_domain=domain)
    with pytest.raises(ValueError, match=r"the classes \[0, 2\].* to \[0, 1\]"):
        tying_report(model, X, 2 * y, sample_domain=domain)
    two = domain != "east"
    with pytest.raises(ValueError, match=r"the domains \['north', 'south'\]"):
        tying_report(model, X[two], y[two], sample_domain=domain[two])


def test_order_of_rows_and_single_precision_do_not_matter():
    report, model, X, y, domain = reported("domains", tie=3.0)
    shuffled = np.random.default_rng(0).permutation(len(y))
    other = tying_report(
        model, X[shuffled], y[shuffled], sample_domain=domain[shuffled]
    )
    assert_allclose(other.effective_parameters, report.effective_parameters)
    single = TiedLogisticRegression(tie=3.0).fit(
        X.astype(np.float32), y, sample_domain=domain
    )
    other = tying_report(single, X.astype(np.float32), y, sample_domain=domain)
    assert_allclose(other.effective_parameters, report.effective_parameters, rtol=1e-3)


def test_a_gain_that_cannot_be_computed_says_why():
    X, y, domain = rows()
    y[domain == "east"] = 1
    model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    report = tying_report(model, X, y, sample_domain=domain)
    assert list(report.unavailable) == ["separate"]
    assert np.isnan(report.total.gain_over_separate)
    assert np.isfinite(report.total.gain_over_pooled)
    assert "loss of tie=0: tie=0.0 with tie_intercept=True fits" in str(report)
    assert "'east': [1]" in str(report)


def test_separable_rows_without_decay_have_no_report():
    X, y, domain = rows()
    y = (X[:, 0] > 0).astype(int)
    model = TiedLogisticRegression(tie=3, C=INF)
    with pytest.warns(UserWarning, match="separable"):
        model.fit(X, y, sample_domain=domain)
    with pytest.raises(
        ValueError, match=r"no minimum to report on: .* without reaching"
    ):
        tying_report(model, X, y, sample_domain=domain)


def test_members_too_wide_for_hessians_name_the_remedy(monkeypatch):
    X, y, domain = rows()
    model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    monkeypatch.setattr("sktie.inspection._tied.MOST_NUMBERS", 26)
    with pytest.raises(ValueError, match=r"2\.7e\+01 numbers.*select features"):
        tying_report(model, X, y, sample_domain=domain)
    path = tying_path(model, X, y, ties=2, sample_domain=domain)
    assert np.isfinite(path.coefs).all()
    assert path.best_tie is None
    assert "select features" in path.failures[INF]


def test_the_table_aligns_its_columns_and_names_all():
    report, *_ = reported("domains", tie=INF)
    title, _, over, *lines = str(report).split("\n")
    assert title.startswith("tie=inf, C=1: ")
    assert title.endswith("parameters in effect, 3 stored, of 9")
    table = lines[: lines.index("")]
    assert len({len(line) for line in table}) == 1
    for caption, column in (("parameters", "in effect"), ("share of", "own")):
        assert over.index(caption) <= table[0].index(column)
    assert [line.split()[0] for line in table[1:]] == ["east", "north", "south", "all"]
    assert [line.split()[-1] for line in table[1:]] == ["0"] * 4
    shares = [cell for cell in table[-1].split() if cell.endswith("%")]
    assert shares[2] == f"{report.total.decay:.0%}"


def test_the_table_of_a_pair():
    report, *_ = reported("pair", tie=3.0, C=1.0)
    text = str(report)
    assert "pull to 0.75 times the coefficients of the pair" in text
    assert "borrowed" not in text
    assert "no tie" in text


def test_the_frame_has_a_row_for_each_domain():
    pytest.importorskip("pandas")
    report, *_ = reported("domains", tie=3.0)
    frame = report.to_frame()
    assert list(frame.index) == ["east", "north", "south", "all"]
    parts = frame.drop("all")
    assert_allclose(
        frame.loc["all", "effective_parameters"], report.effective_parameters
    )
    for name in ("n_samples", "n_parameters", "effective_parameters"):
        assert_allclose(frame.loc["all", name], parts[name].sum())
    assert_allclose(frame[["own", "borrowed", "decay", "pair"]].sum(axis=1), 1)


def test_a_frame_without_pandas_says_how_to_get_it(monkeypatch):
    report, *_ = reported("domains", tie=3.0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_frame()


def test_the_html_escapes_names_and_needs_nothing_else():
    X, y, domain = rows()
    domain = np.where(domain == "east", "<b>&", domain)
    model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    html = tying_report(model, X, y, sample_domain=domain)._repr_html_()
    page = ElementTree.fromstring(html)
    body = page.find("table").find("tbody")
    assert ["".join(row[0].itertext()) for row in body] == [
        "<b>&",
        "north",
        "south",
        "all",
    ]
    assert {len(row) for row in body} == {9}
    for outside in ("http", "src=", "<script", "class=", "#"):
        assert outside not in html


def test_accuracy_of_scores_does_not_hide_in_the_mean():
    # The log-loss of rows left out is above that of rows seen.
    report, model, X, y, domain = reported("domains", tie=1.0)
    path = tying_path(model, X, y, ties=[1.0], sample_domain=domain)
    seen = log_loss(y, model.predict_proba(X, sample_domain=domain))
    assert -path.scores[1] > seen + 0.01
    gain = report.total.gain_over_pooled
    assert_allclose(gain, path.scores[1] - path.scores[-1], rtol=1e-4)
