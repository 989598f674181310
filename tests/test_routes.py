"""Everything of scikit-learn that takes an estimator: what works, what the others say.

The rows of the table are the `ROUTES`, its columns how a model is told what it is tied
to, with metadata routing off and on; every estimator goes through every row. What works
equals the same computation by hand; what does not raises, and says what to do instead.
The same table stands in docs/routes.rst, and a test holds the two together.
"""

import doctest

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression

from sktie import KMeansPrior
from tests.kinds import KINDS, SITE, P, X, Y, form_of
from tests.routes import ROUTES, WORKS


def cells():
    """Yield route, kind, form and routing; of one kind all, else where they differ."""
    for name, route in ROUTES.items():
        for label, kind in KINDS.items():
            if not kind.traits.issuperset(route.needs.split()):
                continue
            for form in kind.forms:
                both = form == "sample_domain" or label == "TiedLogisticRegression"
                for routing in (False, True) if both else (False,):
                    title = f"{name}-{label}-{form}" + routing * "-routing"
                    yield pytest.param(name, label, form, routing, id=title)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "label", "form", "routing"), list(cells()))
def test_the_route_works_or_says_what_to_do_instead(name, label, form, routing):
    route, kind = ROUTES[name], KINDS[label]
    outcome = route.outcome(form, routing)
    if form == "model" and hasattr(kind.pair, "linear_anchor"):
        outcome = WORKS  # A prior is fitted to whatever features are left.
    with config_context(enable_metadata_routing=routing):
        if outcome == WORKS:
            route.run(form_of(form, KINDS[label]), routing)
            return
        with pytest.raises((ValueError, IndexError)) as caught:
            route.run(form_of(form, KINDS[label]), routing)
    message = str(caught.value)
    if form != "sample_domain":
        assert route.errors[form] in message
    elif "extra keyword arguments" in message:  # scikit-learn's own.
        assert not routing
        assert "enable_metadata_routing=True" in message
    else:
        for words in ("sample_domain", "column of X", "pair="):
            assert words in message


# --- What to do instead, where it does not.

LOGISTIC = KINDS["TiedLogisticRegression"]


def test_the_boundary_of_one_domain_is_drawn_from_its_own_model():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    model = LOGISTIC.make(pair=None).fit(X[:, 1:], Y, sample_domain=SITE)
    with pytest.raises(ValueError, match=r"domain_estimator\(label\)"):
        DecisionBoundaryDisplay.from_estimator(model, X[:, 1:])
    alone = model.domain_estimator(1)
    display = DecisionBoundaryDisplay.from_estimator(
        alone, X[:, 1:], response_method="predict", grid_resolution=5
    )
    plt.close(display.figure_)
    grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    expected = model.predict(grid, sample_domain=np.ones(len(grid), int))
    assert_array_equal(display.response.ravel(), expected)


def keeping(place):
    """Return the importance of columns, that of the domains above all."""

    def importance(model):
        size = np.abs(model.coef_).max(axis=0)
        return np.insert(size, place % (len(size) + 1), size.max() + 1)

    return importance


@pytest.mark.parametrize("place", [0, 2, -1])
def test_features_are_chosen_beside_a_column_by_an_importance_that_keeps_it(place):
    own = np.delete(np.arange(P + 1), place)
    data = np.empty((len(X), P + 1))
    data[:, own], data[:, place] = X, SITE
    model, getter = LOGISTIC.make(pair=place), keeping(place)
    chooser = SelectFromModel(
        model, max_features=2, threshold=-np.inf, importance_getter=getter
    ).fit(data, Y)
    largest = np.abs(form_of("column", LOGISTIC).by_hand().coef_).argmax()
    assert_array_equal(np.flatnonzero(chooser.get_support()[own]), [largest])
    if place == 2:  # A position that moves as features are dropped is none for RFE.
        return
    chooser = RFE(model, n_features_to_select=2, importance_getter=getter)
    plain = RFE(LOGISTIC.make(pair=None), n_features_to_select=1)
    expected = plain.fit(X, Y, sample_domain=SITE).support_
    assert_array_equal(chooser.fit(data, Y).support_[own], expected)


def test_bags_of_features_may_lack_the_column_and_say_so():
    bag = BaggingClassifier(
        LOGISTIC.make(pair="site"), max_features=0.5, n_estimators=3, random_state=0
    )
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(site=SITE)
    with pytest.raises(ValueError, match="pair='site' names a column"):
        bag.fit(frame, Y)


# --- What an estimator cannot be tied to.

PRIOR = KMeansPrior(2, n_init=1, random_state=0)
CLASSIFIER = FrozenEstimator(LogisticRegression().fit(X, Y))
WRONG = {
    "TiedRidge": [(PRIOR, "A prior serves classifiers")],
    "TiedRidgeCV": [(PRIOR, "A prior serves classifiers")],
    "TiedPoissonRegressor": [
        (PRIOR, "A prior serves classifiers"),
        (FrozenEstimator(PRIOR), "A prior serves classifiers"),
    ],
    "TiedPair, two classifiers": [
        (CLASSIFIER, "Name the column of X"),
        (PRIOR, "Name the column of X"),
    ],
    "TiedMLPClassifier": [
        (-1, r"Use None, KMeansPrior\(\.\.\.\)"),
        (CLASSIFIER, r"Use None, KMeansPrior\(\.\.\.\)"),
    ],
    "SharedConvClassifier": [
        (PRIOR, r"Use FrozenEstimator\(fitted\)"),
        (CLASSIFIER, r"Use FrozenEstimator\(fitted\)"),
    ],
}


@pytest.mark.parametrize("label", WRONG)
def test_what_an_estimator_cannot_be_tied_to_is_refused_with_what_it_can(label):
    for pair, words in WRONG[label]:
        with pytest.raises(ValueError, match=words):
            KINDS[label].make(pair=pair).fit(X, KINDS[label].y)


# --- The page.


@pytest.fixture
def page(root):
    """The source of docs/routes.rst."""
    path = root / "docs" / "routes.rst"
    if not path.exists():
        pytest.skip("the docs are not part of this tree")
    return path


def read_list_tables(source):
    """Return the list-tables of a page, each as rows of plain text."""
    for part in source.split(".. list-table::")[1:]:
        rows = []
        for line in part.splitlines()[1:]:
            text = line.strip()
            if line and not line.startswith(" "):
                break
            if text.startswith("* - "):
                rows.append([text[4:]])
            elif text.startswith("- ") and rows:
                rows[-1].append(text[2:])
            elif text and rows:
                rows[-1][-1] += " " + text
        yield [[" ".join(c.replace("`", "").split()) for c in row] for row in rows]


def test_the_table_of_the_page_is_this_table(page):
    (header, *rows), *_ = read_list_tables(page.read_text("utf-8"))
    assert len(header) == 5
    expected = [
        [
            name,
            route.outcome("column"),
            *route.sample_domain,
            route.outcome("model"),
        ]
        for name, route in ROUTES.items()
    ]
    assert rows == expected


def test_the_table_of_estimators_is_that_of_the_tests(page):
    _, (header, *rows) = read_list_tables(page.read_text("utf-8"))
    assert header[1:3] == ["column", "sample_domain"]
    listed = set()
    for names, *cells in rows:
        for name in names.split(", "):
            kinds = [k for label, k in KINDS.items() if label.split(",")[0] == name]
            forms = {form for kind in kinds for form in kind.forms}
            pairs = [kind.pair for kind in kinds if "model" in kind.forms]
            prior = any(hasattr(pair, "linear_anchor") for pair in pairs)
            fixed = any(not hasattr(pair, "linear_anchor") for pair in pairs)
            expected = ["column" in forms, "sample_domain" in forms, fixed, prior]
            if name != "TiedLogisticRegressionCV":  # Shares a row with its sibling.
                assert cells[:4] == ["yes" if cell else "no" for cell in expected]
            listed.add(name)
    assert {label.split(",")[0] for label in KINDS} < listed


def test_the_snippets_of_the_page_run(page):
    pytest.importorskip("pandas")
    results = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert results.attempted > 10
    assert results.failed == 0
