"""What notebooks show: estimators with links to our docs, and reports as tables."""

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktie
from sktie import SharedConvClassifier, TiedLogisticRegression, TiedPair
from sktie._compat import DOCS_URL
from sktie.inspection import compatibility_test, sharing_report, tying_report
from sktie.model_selection import LabeledSplit

ESTIMATORS = [
    getattr(sktie, name)
    for name in sktie.__all__
    if hasattr(getattr(sktie, name), "get_params")
]


def made(cls):
    return cls(LogisticRegression(), Ridge()) if cls is TiedPair else cls()


@pytest.mark.parametrize("cls", [*ESTIMATORS, LabeledSplit])
def test_the_html_of_an_estimator_links_to_its_page(cls, root):
    place = "sktie" if cls is not LabeledSplit else "sktie.model_selection"
    name = f"{place}.{cls.__name__}"
    url = f"{DOCS_URL}/generated/{name}.html"
    assert made(cls)._get_doc_link() == url
    assert f'href="{url}"' in made(cls)._repr_html_()
    api = root / "docs" / "api.rst"
    if api.exists():  # The page is made of what this list names.
        assert f"\n   {name}\n" in api.read_text("utf-8")


def test_all_estimators_were_found():
    assert len(ESTIMATORS) >= 10


def test_a_pipeline_links_to_the_pages_of_its_steps():
    html = make_pipeline(StandardScaler(), TiedLogisticRegression())._repr_html_()
    assert f"{DOCS_URL}/generated/sktie.TiedLogisticRegression.html" in html
    assert "https://scikit-learn.org" in html


def test_a_class_of_somebody_else_has_no_page_here():
    class Own(TiedLogisticRegression):
        pass

    assert Own()._get_doc_link() == ""


def _rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    domain = np.array(["north", "<south> & west"])[np.arange(120) % 2]
    return X, X[:, 0] + rng.logistic(size=120) > 0, domain


def report_of_sharing():
    X = np.random.default_rng(0).normal(size=(20, 64))
    return sharing_report(SharedConvClassifier(2, max_iter=1).fit(X, np.arange(20) % 2))


def report_of_tying():
    X, y, domain = _rows()
    model = TiedLogisticRegression().fit(X, y, sample_domain=domain)
    return tying_report(model, X, y, sample_domain=domain)


def report_of_coefficients():
    X, y, domain = _rows()
    model = TiedLogisticRegression(store_covariance=True)
    return model.fit(X, y, sample_domain=domain).summary()


def report_of_compatibility():
    X, y, domain = _rows()
    return compatibility_test(TiedLogisticRegression(), X, y, sample_domain=domain)


def report_with_reasons():
    X, y, domain = _rows()
    y[domain == "north"] = X[domain == "north", 0] > 0  # Separable there.
    return compatibility_test(TiedLogisticRegression(), X, y, sample_domain=domain)


@pytest.mark.parametrize(
    "make",
    [
        report_of_sharing,
        report_of_tying,
        report_of_coefficients,
        report_of_compatibility,
        report_with_reasons,
    ],
)
def test_reports_are_tables_in_notebooks(make):
    report = make()
    html = report._repr_html_()
    page = ElementTree.fromstring(html)
    (table,) = [part for part in page.iter() if part.tag == "table"]
    cells = report._cells()
    assert [[c.text or "" for c in tr] for tr in table.find("tbody")] == cells[1:]
    names = table.find("thead")[-1]
    assert [cell.text or "" for cell in names] == cells[0]
    # Every word of the text is on the page, and nothing from elsewhere.
    shown = " ".join(page.itertext())
    for word in str(report).split():
        assert word in shown
    for outside in ("http", "<script", "<style", "url("):
        assert outside not in html
    # Both colours are the page's own, light or dark.
    assert "color:inherit" in html
    assert "background:none" in html
    assert "#" not in html.replace("&#", "")
    # One rule, across a row; a table that is no sum has none.
    ruled = sum("border-top" in cell.get("style", "") for cell in table.iter())
    assert ruled == (0 if make is report_of_coefficients else len(cells[0]))
