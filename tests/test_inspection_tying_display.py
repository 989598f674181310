"""TyingPathDisplay: what it draws, where, and what it says."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie import TiedLogisticRegression
from sktie.inspection import TyingPathDisplay, tying_path

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
DOMAIN = np.array(["north", "east", "south"])[np.arange(150) % 3]
SCORE = X @ [1, 0.5, 0, 0] + (DOMAIN == "north") * X[:, 2] + RNG.logistic(size=150)
PAIR = np.array([[1.0, 0.5, 0.0, 0.0]]), np.zeros(1)


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def path_of(pair=None, y=SCORE > 0, domain=DOMAIN, **settings):
    more = {} if pair else {"sample_domain": domain}
    return tying_path(TiedLogisticRegression(pair), X, y, **more | settings)


def curves(ax):
    """The lines of an Axes that hold more than two points."""
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def test_a_panel_for_each_feature_and_one_for_the_score(plt):
    path = path_of()
    display = TyingPathDisplay(path).plot(features=["x2", 0])
    assert display.axes_.shape == (3,)
    assert display.lines_.shape == (2, 3)
    assert display.figure_.number in plt.get_fignums()
    titles = [ax.get_title("left") for ax in display.axes_]
    assert titles[:2] == ["coefficient of x2", "coefficient of x0"]
    assert titles[2].startswith("leave-one-out log loss ± error")
    assert titles[2].endswith("lower is better")
    for lines, feature in zip(display.lines_, (2, 0), strict=True):
        for t, line in enumerate(lines):
            assert line.get_label() == path.domains[t]
            assert_array_equal(line.get_ydata(), path.coefs[1:-1, t, 0, feature])
            assert_allclose(10 ** line.get_xdata(), path.ties[1:-1])
    (score,) = curves(display.axes_[2])
    assert_array_equal(score.get_ydata(), -path.scores[1:-1])
    band = display.axes_[2].collections[0].get_paths()[0].vertices[:, 1]
    low, high = (-path.scores + s * path.paired_errors for s in (-1, 1))
    assert_allclose([band.min(), band.max()], [low[1:-1].min(), high[1:-1].max()])


def test_zero_and_infinity_stand_apart_with_ticks_of_their_own(plt):
    path = path_of()
    display = TyingPathDisplay(path).plot()
    display.figure_.canvas.draw()
    for ax in display.axes_:
        first, *inner, last = ax.get_xticks()
        # The axis stops before them, and so do the lines.
        low, high = ax.spines["bottom"].get_bounds()
        assert_allclose([low, high], [-3, 4])
        assert first < low - 0.5 < low <= min(inner)
        assert max(inner) <= high < high + 0.5 < last
        left, right = ax.get_xlim()
        assert left < first < last < right
    labels = [label.get_text() for label in display.axes_[-1].get_xticklabels()]
    assert labels == ["0\nseparate", "0.001", "0.1", "10", "1000", "∞\nshared"]
    assert_allclose(display.axes_[-1].get_xticks()[1:-1], [-3, -1, 1, 3])
    assert display.axes_[-1].get_xlabel() == "tie"
    # What the ends hold is drawn there, a marker for each domain.
    ends = [line for line in display.axes_[0].lines if line.get_linestyle() == "None"]
    feature = int(display.axes_[0].get_title("left")[-1])
    found = sorted(line.get_ydata().tolist() for line in ends)
    assert_allclose(found, sorted(path.coefs[[0, -1], :, 0, feature].T.tolist()))
    for line in ends:
        assert_array_equal(line.get_xdata(), display.axes_[0].get_xticks()[[0, -1]])


def test_features_are_those_the_tie_moves_most_on_one_scale(plt):
    path = path_of()
    display = TyingPathDisplay(path).plot()
    moved = np.ptp(path.coefs[:, :, 0], axis=0).max(axis=0)
    expected = [f"coefficient of x{k}" for k in np.argsort(-moved)[:3]]
    assert [ax.get_title("left") for ax in display.axes_[:-1]] == expected
    (limits,) = {ax.get_ylim() for ax in display.axes_[:-1]}
    shown = path.coefs[:, :, 0, np.argsort(-moved)[:3]]
    assert limits[0] < shown.min() < shown.max() < limits[1]
    display = TyingPathDisplay(path).plot(features=["x3", "x0"])
    limits = display.axes_[0].get_ylim()
    assert limits[1] > path.coefs[..., 0].max() > path.coefs[..., 3].max()


def test_the_best_tie_is_marked_in_all_panels(plt):
    path = path_of()
    display = TyingPathDisplay(path).plot()
    assert 0 < path.best_tie < np.inf
    for ax in display.axes_:
        marks = [
            line.get_xdata()[0]
            for line in ax.lines
            if len(set(line.get_xdata())) == 1 and line.get_marker() == "None"
        ]
        assert_allclose(marks, [np.log10(path.best_tie)])
    (text,) = display.axes_[-1].texts
    assert text.get_text() == f"best: tie = {path.best_tie:.2g}"
    (star,) = [line for line in display.axes_[-1].lines if line.get_marker() == "*"]
    assert_allclose(star.get_ydata(), -path.scores.max())


def test_domains_can_be_told_apart_without_colours(plt):
    display = TyingPathDisplay(path_of()).plot()
    ways = {str(line._dash_pattern) for line in display.lines_[0]}
    assert len(ways) == 3
    colours = {line.get_color() for line in display.lines_[0]}
    assert len(colours) == 3
    names = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert names == ["east", "north", "south", "mean"]


def test_many_domains_are_drawn_alike(plt):
    path = path_of(domain=np.arange(150) % 10, ties=[1, 10])
    display = TyingPathDisplay(path).plot()
    assert len({line.get_color() for line in display.lines_[0]}) == 1
    names = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert names == ["10 domains", "mean"]
    labels = [label.get_text() for label in display.axes_[-1].get_xticklabels()]
    assert labels == ["0\nseparate", "1", "10", "∞\nshared"]


@pytest.mark.parametrize(
    ("ties", "labels"),
    [([2, 3, 5], ["2", "3", "5"]), ([], []), ([1e-8, 1e8], None)],
)
def test_any_ties_have_ticks(plt, ties, labels):
    display = TyingPathDisplay(path_of(ties=ties)).plot()
    found = [label.get_text() for label in display.axes_[-1].get_xticklabels()][1:-1]
    assert len(found) <= 6
    if labels is not None:
        assert found == labels
    for label, place in zip(found, display.axes_[-1].get_xticks()[1:-1], strict=True):
        assert_allclose(float(label), 10**place)


def test_a_fixed_pair_is_drawn_with_what_it_leads_to(plt):
    path = path_of(PAIR, scoring="accuracy")
    display = TyingPathDisplay(path).plot(features=1)
    assert display.lines_.shape == (1, 1)
    names = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert names == ["tied", "pair"]
    centre = curves(display.axes_[0])[-1]
    assert set(centre.get_ydata()) == {0.5}
    labels = [label.get_text() for label in display.axes_[-1].get_xticklabels()]
    assert [labels[0], labels[-1]] == ["0\nfree", "∞\nthe pair"]
    title = display.axes_[-1].get_title("left")
    assert title.startswith("leave-one-out accuracy")
    assert title.endswith("higher is better")
    (score,) = curves(display.axes_[-1])
    assert_array_equal(score.get_ydata(), path.scores[1:-1])


def test_without_scores_there_is_no_panel_of_scores(plt, monkeypatch):
    monkeypatch.setattr("sktie.inspection._tied.MOST_NUMBERS", 1)
    display = TyingPathDisplay(path_of(ties=3)).plot(features=["x0"])
    assert display.axes_.shape == (1,)
    assert display.axes_[0].get_xticklabels()[0].get_text() == "0\nseparate"


def test_a_strength_that_failed_leaves_a_gap(plt):
    y = (SCORE > 0) | (DOMAIN == "east")
    display = TyingPathDisplay(path_of(y=y)).plot()
    display.figure_.canvas.draw()
    assert all(np.isfinite(ax.get_ylim()).all() for ax in display.axes_)


def test_a_class_of_several_is_named(plt):
    path = path_of(y=np.array(["a", "b", "c"])[np.digitize(SCORE, [-1, 1])], ties=5)
    display = TyingPathDisplay(path).plot(features=["x0"], target="c")
    assert_array_equal(display.lines_[0, 1].get_ydata(), path.coefs[1:-1, 1, 2, 0])
    assert display.axes_[0].get_title("left") == "coefficient of x0, class c"
    for target in (None, "d"):
        with pytest.raises(ValueError, match=r"one of the classes \['a', 'b', 'c'\]"):
            TyingPathDisplay(path).plot(target=target)


@pytest.mark.parametrize("features", ["x9", [4], [-5], [None]])
def test_features_that_do_not_exist_are_refused(plt, features):
    with pytest.raises(ValueError, match=r"positions from 0 to 3.*\['x0', 'x1'"):
        TyingPathDisplay(path_of(ties=2)).plot(features=features)
    with pytest.raises(ValueError, match="features is empty"):
        TyingPathDisplay(path_of(ties=2)).plot(features=[])
    with pytest.raises(ValueError, match="target=0; expected None or True"):
        TyingPathDisplay(path_of(ties=2)).plot(target=0)


def test_it_draws_inside_an_axes_that_is_given(plt):
    figure, axes = plt.subplots(1, 2, figsize=(10, 6))
    display = TyingPathDisplay.from_estimator(
        TiedLogisticRegression(), X, SCORE > 0, sample_domain=DOMAIN, ties=5, ax=axes[1]
    )
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1
    figure.canvas.draw()
    box = axes[1].get_window_extent().padded(1)
    for ax in display.axes_:
        own = ax.get_window_extent()
        assert box.x0 <= own.x0 < own.x1 <= box.x1
        assert box.y0 <= own.y0 < own.y1 <= box.y1
    assert not axes[0].child_axes
    again = display.plot()
    assert again is display
    assert again.figure_ is not figure


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    path = path_of(ties=2)
    for module in list(sys.modules):
        if module.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'matplotlib.*pip install "sktie\[plot'):
        TyingPathDisplay(path).plot()
