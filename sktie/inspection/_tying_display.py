"""Pictures of a path from separate to shared."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.inspection._fitted import check_axes, optional
from sktie.inspection._tying_path import TyingPath, tying_path

#: Okabe and Ito's colours, the darkest first, with lines and markers that tell domains
#: apart in grey too. More domains than these are drawn alike.
STYLES = [
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "D"),
    ("#000000", (0, (1, 1)), "v"),
    ("#E69F00", (0, (8, 2)), "P"),
    ("#56B4E9", (0, (3, 1)), "X"),
]
MANY = ("0.7", "-", "")
CENTRE, SCORE, BEST = "0.2", "black", "0.5"
#: Features that are drawn if none are named.
N_SHOWN = 3
#: Decades from the last finite strength to 0 and to infinity, in shares of all decades,
#: and at least.
GAP, LEAST_GAP = 0.12, 0.35
#: Ticks between the ends, at most.
MOST_TICKS = 6
#: Inches: width, and height of a panel.
WIDTH, HEIGHT = 6.4, 1.5
#: Inches from the first panel to the legend above its title; letters that a row of the
#: legend has room for, and those that a line before a name takes.
ABOVE, LETTERS, HANDLE = 0.28, 72, 7


class TyingPathDisplay:
    """Draws coefficients and score of a model from separate to shared.

    Use `from_estimator`, which draws at once. There is a panel for each feature, with a
    line for each domain, and one for the score below. The axis of the tie is
    logarithmic; 0 and infinity stand beside it, each with a tick of its own. Panels of
    coefficients have one scale. The band of the score is the standard error of its
    difference from the best one, row by row.

    Parameters
    ----------
    path : TyingPath
        What `tying_path` returns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        A panel for each feature; then that of the score, if there is one.
    figure_ : matplotlib Figure
        What they are part of.
    lines_ : ndarray of matplotlib Line2D of shape (n_features_drawn, n_domains)
        The lines of the domains, between 0 and infinity.

    See Also
    --------
    tying_path : Computes what is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import TyingPathDisplay, tying_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> domain = np.arange(200) % 2
    >>> y = X[:, 0] + domain * X[:, 1] + rng.logistic(size=200) > 0
    >>> path = tying_path(TiedLogisticRegression(), X, y, sample_domain=domain)
    >>> display = TyingPathDisplay(path)  # .plot() draws it
    >>> display.path.best_tie is not None
    True
    """

    axes_: Any
    figure_: Any
    lines_: Any

    def __init__(self, path: TyingPath) -> None:
        self.path = path

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        ties: Any = None,
        scoring: Any = None,
        sample_weight: Any = None,
        sample_domain: Any = None,
        features: Any = None,
        target: Any = None,
        ax: Any = None,
    ) -> TyingPathDisplay:
        """Fit a model at many strengths, and draw it.

        Parameters
        ----------
        estimator : TiedLogisticRegression or TiedLogisticRegressionCV
            Its parameters count, but for ``tie``.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, as for its `fit`.
        y : array-like of shape (n_samples,)
            Class labels.
        ties : int, array-like of float or None, default=None
            Strengths, as in `tying_path`.
        scoring : str, callable or None, default=None
            The score, as in `tying_path`; None is "neg_log_loss".
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, where ``pair`` does not name a column.
        features : list of str or int, default=None
            Features to draw, as in `plot`.
        target : object, default=None
            Class to draw, as in `plot`.
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.

        Returns
        -------
        TyingPathDisplay
            What was drawn.
        """
        path = tying_path(
            estimator,
            X,
            y,
            ties=ties,
            scoring=scoring,
            sample_weight=sample_weight,
            sample_domain=sample_domain,
        )
        return cls(path).plot(ax, features=features, target=target)

    def plot(
        self, ax: Any = None, *, features: Any = None, target: Any = None
    ) -> TyingPathDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.
        features : list of str or int, default=None
            Names or positions of the features to draw. None: the three whose
            coefficients the tie moves most.
        target : object, default=None
            With more than two classes: the label of the one whose coefficients are
            drawn.

        Returns
        -------
        TyingPathDisplay
            The display itself, with ``axes_``, ``figure_`` and ``lines_``.
        """
        path = self.path
        row = self._row(target)
        chosen = self._features(features, row)
        scored = path.best_tie is not None
        axes = _panels(ax, len(chosen) + scored)
        dial = _Dial(path.ties)
        n_domains = path.coefs.shape[1]
        self.lines_ = np.empty((len(chosen), n_domains), dtype=object)
        for own, feature, lines in zip(axes, chosen, self.lines_, strict=False):
            self._draw_coefs(own, dial, row, feature, lines)
        drawn = [path.coefs[:, :, row, chosen], path.centre_coefs[:, row, chosen]]
        limits = _limits(np.concatenate([part.ravel() for part in drawn]))
        for own in axes[: len(chosen)]:
            own.set_ylim(limits)
        if scored:
            self._draw_score(axes[-1], dial)
            self._mark_best(axes, dial)
        ends = ("0\nfree", "∞\nthe pair")
        if path.domains is not None:
            ends = ("0\nseparate", "∞\nshared")
        for own in axes:
            dial.frame(own, ends if own is axes[-1] else None)
        self._legend(axes[0])
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _label(self, t: int) -> str:
        return "tied" if self.path.domains is None else str(self.path.domains[t])

    def _row(self, target: Any) -> int:
        """Return the row of coefficients of a class."""
        classes = self.path.classes.tolist()
        plain = isinstance(target, str | Real | np.bool_)
        if self.path.coefs.shape[2] == 1:
            if target is None or (plain and target == classes[1]):
                return 0
            expected = f"None or {classes[1]!r}, whose log-odds the coefficients are"
        else:
            if plain and target in classes:
                return int(classes.index(target))
            expected = f"one of the classes {classes}"
        raise ValueError(f"target={target!r}; expected {expected}.")

    def _features(self, features: Any, row: int) -> list[int]:
        """Return the positions of the features to draw."""
        names = self.path.feature_names.tolist()
        if features is None:
            coefs = self.path.coefs[:, :, row]
            moved = np.nanmax(coefs, axis=0) - np.nanmin(coefs, axis=0)
            most = np.argsort(-moved.max(axis=0), kind="stable")[:N_SHOWN]
            return [int(feature) for feature in most]
        if isinstance(features, (str, Integral)):
            features = [features]
        listed = isinstance(features, Sequence) or bool(getattr(features, "shape", ()))
        if not listed:
            raise ValueError(
                f"features={features!r}; expected a list of names or positions, or "
                "None for those that the tie moves most."
            )
        if not len(features):
            raise ValueError(
                "features is empty; expected names or positions, or None for those "
                "that the tie moves most."
            )
        found, places = [], range(-len(names), len(names))
        for feature in features:
            if isinstance(feature, str) and feature in names:
                found.append(names.index(feature))
            elif isinstance(feature, Integral) and int(feature) in places:
                found.append(int(feature) % len(names))
            else:
                raise ValueError(
                    f"features holds {feature!r}; expected names of features or "
                    f"positions from 0 to {len(names) - 1}. The names begin with "
                    f"{names[:5]}."
                )
        return found

    def _draw_coefs(
        self, ax: Any, dial: _Dial, row: int, feature: int, lines: Array
    ) -> None:
        """Draw the coefficients of all domains, and what they are tied to."""
        path = self.path
        ax.axhline(0, color="0.85", lw=0.8, zorder=0)
        many = len(lines) > len(STYLES)
        for t in range(len(lines)):
            style = MANY if many else STYLES[t]
            width = 0.7 if many else 1.6
            lines[t] = dial.draw(ax, path.coefs[:, t, row, feature], *style, lw=width)
            lines[t].set_label(self._label(t))
        values = path.centre_coefs[:, row, feature]
        centre = dial.draw(ax, values, CENTRE, ":", "", lw=1.0)
        centre.set_label("pair" if path.domains is None else "mean")
        title = f"coefficient of {path.feature_names[feature]}"
        if path.coefs.shape[2] > 1:
            title += f", class {path.classes[row]}"
        ax.set_title(title, **TITLE)

    def _draw_score(self, ax: Any, dial: _Dial) -> None:
        """Draw the score, how sure its differences are, and the best."""
        path = self.path
        name = path.scoring if isinstance(path.scoring, str) else "score"
        if path.scoring is None:
            name = "neg_log_loss"
        sign = -1.0 if name.startswith("neg_") else 1.0
        better = "lower" if sign < 0 else "higher"
        name = name.removeprefix("neg_").replace("_", " ")
        means, errors = sign * path.scores, path.paired_errors
        if np.isfinite(errors).any():
            dial.fill(ax, means - errors, means + errors)
            name += " ± error against the best"
        dial.draw(ax, means, SCORE, "-", "o")
        ax.set_title(f"leave-one-out {name}; {better} is better", **TITLE)
        best = int(np.flatnonzero(path.ties == path.best_tie)[0])
        ax.plot(dial.places[best], means[best], "*", color="black", ms=12, mec="white")

    def _mark_best(self, axes: Array, dial: _Dial) -> None:
        """Draw a line through all panels, with its strength below."""
        best = int(np.flatnonzero(self.path.ties == self.path.best_tie)[0])
        for ax in axes:
            ax.axvline(dial.places[best], color=BEST, lw=0.9, ls=(0, (6, 3)), zorder=0)
        side = ("left", "right")[best > len(dial.places) // 2]
        axes[-1].annotate(
            f"best: tie = {self.path.best_tie:.2g}".replace("inf", "∞"),
            (dial.places[best], 0.97),
            xycoords=axes[-1].get_xaxis_transform(),
            xytext=(5 if side == "left" else -5, 0),
            textcoords="offset points",
            ha=side,
            va="top",
        )

    def _legend(self, ax: Any) -> None:
        transforms = optional("matplotlib.transforms", "TyingPathDisplay.plot")
        scale = ax.figure.dpi_scale_trans
        above = transforms.ScaledTranslation(0, ABOVE, scale)
        handles, labels = ax.get_legend_handles_labels()
        if self.path.coefs.shape[1] > len(STYLES):
            handles, labels = handles[-2:], [f"{len(handles) - 1} domains", "mean"]
        ax.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            bbox_transform=ax.transAxes + above,
            ncols=max(1, LETTERS // (max(map(len, labels)) + HANDLE)),
            frameon=False,
            borderaxespad=0,
            borderpad=0,
            columnspacing=1.2,
            handlelength=2.6,
        )


TITLE: dict[str, Any] = {"loc": "left", "fontsize": "medium", "pad": 4}


def _limits(values: FloatArray) -> tuple[float, float]:
    """Return limits of an axis for values and 0, with room."""
    low, high = min(float(np.nanmin(values)), 0), max(float(np.nanmax(values)), 0)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


class _Dial:
    """The axis of the tie: logarithmic, with 0 and infinity beside it.

    Parameters
    ----------
    ties : ndarray of shape (n_ties,)
        Ascending, with 0 and inf.
    """

    def __init__(self, ties: FloatArray) -> None:
        self.ties = ties
        inner = np.log10(ties[1:-1])
        first, last = (inner[0], inner[-1]) if len(inner) else (0.0, 0.0)
        gap = max(GAP * (last - first), LEAST_GAP)
        #: Where each strength stands.
        self.places: FloatArray = np.concatenate([[first - gap], inner, [last + gap]])
        self.gap = gap

    def draw(
        self,
        ax: Any,
        values: FloatArray,
        color: str,
        line: Any,
        marker: str,
        **more: Any,
    ) -> Any:
        """Draw a line between 0 and infinity, and what becomes of it there."""
        more = {"lw": 1.6} | more
        (drawn,) = ax.plot(
            self.places[1:-1], values[1:-1], color=color, ls=line, marker="", **more
        )
        for ends in (slice(2), slice(-2, None)):
            ax.plot(
                self.places[ends], values[ends], color=color, ls=(0, (1, 2)), lw=0.9
            )
        if marker:
            both = self.places[[0, -1]], values[[0, -1]]
            ax.plot(*both, color=color, ls="none", marker=marker, ms=5)
        return drawn

    def fill(self, ax: Any, low: FloatArray, high: FloatArray) -> None:
        """Draw a band, and bars at 0 and infinity."""
        ax.fill_between(
            self.places[1:-1], low[1:-1], high[1:-1], color=SCORE, alpha=0.15, lw=0
        )
        ax.vlines(self.places[[0, -1]], low[[0, -1]], high[[0, -1]], color=SCORE, lw=1)

    def ticks(self) -> tuple[FloatArray, list[str]]:
        """Return places and labels of the ticks between 0 and infinity."""
        inner = self.places[1:-1]
        if not len(inner):
            return inner, []
        decades: Array = np.arange(np.ceil(inner[0] - 1e-9), np.floor(inner[-1]) + 1)
        if len(decades) < 2:
            few = inner[:: -(-len(inner) // MOST_TICKS)]
            return few, [f"{10**place:.3g}" for place in few]
        decades = decades[:: -(-len(decades) // MOST_TICKS)]
        return decades, [f"{10.0**decade:g}" for decade in decades]

    def frame(self, ax: Any, ends: tuple[str, str] | None) -> None:
        """Set ticks and limits; the axis is broken before 0 and infinity."""
        places, labels = self.ticks()
        first, last = self.places[[0, -1]]
        room = 0.25 * self.gap
        ax.set_xlim(first - room, last + room)
        if len(self.places) > 2:
            ax.spines["bottom"].set_bounds(*self.places[[1, -2]])
        else:
            ax.spines["bottom"].set_visible(False)
        ax.spines[["top", "right"]].set_visible(False)
        if ends is None:
            ax.set_xticks([first, *places, last], [""] * (len(places) + 2))
        else:
            ax.set_xticks([first, *places, last], [ends[0], *labels, ends[1]])
            ax.set_xlabel("tie")


def _panels(ax: Any, n_panels: int) -> Array:
    """Return panels, one below the other, inside an Axes if given."""
    check_axes(ax)
    if ax is not None:
        ax.set_axis_off()
        step = 1 / n_panels
        corners = [1 - (i + 0.9) * step for i in range(n_panels)]
        return np.array([ax.inset_axes([0, y, 1, 0.62 * step]) for y in corners])
    pyplot = optional("matplotlib.pyplot", "TyingPathDisplay.plot")
    _, axes = pyplot.subplots(
        n_panels,
        1,
        squeeze=False,
        sharex=True,
        figsize=(WIDTH, HEIGHT * n_panels + 0.9),
        layout="constrained",
    )
    return np.asarray(axes[:, 0])
