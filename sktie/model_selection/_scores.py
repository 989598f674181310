"""Scores of rows held out: by row, by domain, by fold, for every setting of a grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, final

import numpy as np
from scipy.special import xlogy
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import check_scoring

from sktie._loss import log_probability, most_probable, probability
from sktie._typing import Array, FloatArray, IntArray


@dataclass(frozen=True)
class Held:
    """Rows that a fit has not seen.

    Attributes
    ----------
    y : ndarray of shape (n,) or (n, n_targets)
        Class of each, as an index; or targets.
    weight : ndarray of shape (n,)
        Weights in the score.
    domain : ndarray of shape (n,)
        Number of each row's domain, 0 where there are none.
    """

    y: Array
    weight: FloatArray
    domain: IntArray

    def take(self, places: Any) -> Held:
        """Return some of the rows."""
        return Held(self.y[places], self.weight[places], self.domain[places])


def held_rows(rows: Any, n_rows: int, sample_weight: Any) -> tuple[Held, IntArray]:
    """Return the labelled rows as a model has read them, and their places among all.

    Parameters
    ----------
    rows : object
        What ``TiedLogisticRegression._read`` returns.
    n_rows : int
        Rows that were given, those without a label included.
    sample_weight : array-like of shape (n_rows,) or None
        Their weights, those of classes not included.
    """
    places = np.flatnonzero(rows.everything.y_index[:n_rows] >= 0)
    if rows.design.order is not None:
        places = places[rows.design.order]
    weight: FloatArray = np.ones(n_rows)
    if sample_weight is not None:
        weight[:] = sample_weight
    return Held(rows.y_index, weight[places], rows.domain), places


def held_targets(rows: Any) -> tuple[Held, IntArray]:
    """Return the rows of a regression, in the design's order, and their places."""
    order, weight = rows.design.order, rows.weight
    places = np.arange(rows.design.n_rows) if order is None else order
    if weight is None:
        weight = np.ones(len(places))
    return Held(rows.y, weight, rows.domain), places


def mean_and_error(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return the weighted mean of rows and its standard error."""
    mean, error = means_and_errors(values, weight)
    return float(mean), float(error)


def means_and_errors(
    values: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return weighted means along the last axis, of rows, and standard errors."""
    mass = weight.sum()
    means = np.asarray(values @ weight / mass)
    spread = np.square(values - means[..., np.newaxis]) @ np.square(weight)
    return means, np.asarray(np.sqrt(spread) / mass)


class Predicted(ClassifierMixin, BaseEstimator):
    """Stands for a fitted classifier before scorers: what it predicts is known."""

    def __init__(self, classes: Array, raw: FloatArray) -> None:
        self.classes = classes
        self.raw = raw

    @property
    def classes_(self) -> Array:
        """Class labels."""
        return self.classes

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of the rows held out."""
        return probability(self.raw)

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Return their logarithms."""
        return log_probability(self.raw)

    def decision_function(self, X: Any) -> FloatArray:
        """Return the raw predictions."""
        return self.raw[:, 0] if self.raw.shape[1] == 1 else self.raw

    def predict(self, X: Any) -> Array:
        """Return the most probable classes."""
        return np.asarray(self.classes[most_probable(self.raw)])


class Known(RegressorMixin, BaseEstimator):
    """Stands for a fitted regressor before scorers: what it predicts is known."""

    def __init__(self, predicted: FloatArray) -> None:
        self.predicted = predicted

    def predict(self, X: Any) -> FloatArray:
        """Return what is known."""
        return self.predicted


def _log_loss(raw: FloatArray, y: IntArray) -> FloatArray:
    if raw.shape[1] == 1:  # of both classes' logarithms one is enough
        margin = np.where(y == 1, raw[:, 0], -raw[:, 0])
        return np.asarray(np.minimum(margin, 0) - np.log1p(np.exp(-np.abs(margin))))
    return np.asarray(log_probability(raw)[np.arange(len(y)), y])


def _hits(raw: FloatArray, y: IntArray) -> FloatArray:
    return np.asarray(most_probable(raw) == y, dtype=np.float64)


def _brier(raw: FloatArray, y: IntArray) -> FloatArray:
    chances = probability(raw)
    n_classes = chances.shape[1]
    chances[np.arange(len(y)), y] -= 1.0
    # Of two classes both are equally far off, and one counts: as in scikit-learn.
    squares = np.square(chances).sum(axis=1)
    return np.asarray(-squares / 2 if n_classes == 2 else -squares)


#: Scores that are means over rows.
ROWWISE = {"neg_log_loss": _log_loss, "accuracy": _hits, "neg_brier_score": _brier}


def check_one_scorer(scoring: Any) -> None:
    """Check that a score is named, or worked out by something callable."""
    plain = callable(scoring) and not isinstance(scoring, type)
    if scoring is not None and not isinstance(scoring, str) and not plain:
        raise ValueError(
            f"scoring={scoring!r}; expected the name of a scorer, a callable "
            "(estimator, X, y), or None. Use one of "
            "sklearn.metrics.get_scorer_names()."
        )


def check_rowwise(scoring: Any) -> None:
    """Check that rows which are left out one by one can be scored.

    Each is predicted by a model of its own, without a row of its own class: scores that
    compare predictions of different rows, such as the area under the ROC curve, are
    misled by that. Callables are trusted.
    """
    if isinstance(scoring, str) and scoring not in ROWWISE:
        raise ValueError(
            f"scoring={scoring!r} with leave-one-out, which predicts each row by a "
            f"model of its own; expected a mean over rows: one of {sorted(ROWWISE)}. "
            "Use cv=5, or one of these."
        )


def _squares(raw: FloatArray, y: FloatArray) -> FloatArray:
    return -np.asarray(np.square(y - raw).mean(axis=-1))


def _distances(raw: FloatArray, y: FloatArray) -> FloatArray:
    return -np.asarray(np.abs(y - raw).mean(axis=-1))


def deviances(raw: FloatArray, y: FloatArray) -> FloatArray:
    """Return minus the Poisson deviance of each row, from logarithms of rates."""
    with np.errstate(over="ignore"):
        mean = np.exp(raw[:, 0].astype(np.float64))
    counts = y[:, 0].astype(np.float64)
    return -2.0 * np.asarray(xlogy(counts, counts) - counts * (raw[:, 0] + 1.0) + mean)


#: The same for regressors; targets count alike. They take stacks of predictions too.
ROWWISE_TARGETS = {
    "neg_mean_squared_error": _squares,
    "neg_mean_absolute_error": _distances,
}


#: Scores that differ by less, relatively, differ by where the fits stopped.
EQUAL = 1e-6


class GridScores(ABC):
    """Scores of every setting of a grid.

    Parameters
    ----------
    rowwise : callable or None
        Scores of rows, from raw predictions and targets, where their mean is the score.
    scorer : callable
        A scorer of scikit-learn, for other scores.
    shape : tuple of int
        Numbers of settings along each axis of the grid.
    n_domains : int
        Number of domains.
    """

    def __init__(
        self, rowwise: Any, scorer: Any, shape: tuple[int, int], n_domains: int
    ) -> None:
        self._rowwise = rowwise
        self._scorer = scorer
        self._folds: list[FloatArray] = []
        self._errors = np.full(shape, np.nan)
        self._shape = shape
        self._sums = np.zeros((n_domains, *shape))
        self._masses = np.zeros((n_domains, *shape))

    #: Relative difference below which scores are equal.
    slack = EQUAL

    @abstractmethod
    def _known(self, raw: FloatArray, y: Array) -> tuple[Any, Array]:
        """Return an estimator of known predictions, and the targets as they were."""

    @property
    def by_row(self) -> bool:
        """Whether the score is a mean over rows."""
        return self._rowwise is not None

    def new_fold(self) -> None:
        """Begin a fold; settings without a score count as failed."""
        self._folds.append(np.full(self._shape, -np.inf))

    def add(self, place: tuple[int, int], raw: FloatArray, held: Held) -> float:
        """Return the score of what a setting predicts for the rows held out."""
        if self._rowwise is None:
            predicted, y = self._known(raw, held.y)
            rows = np.arange(len(y))[:, np.newaxis]
            try:
                score = self._scorer(predicted, rows, y)
            except AttributeError as missing:
                raise ValueError(
                    f"scoring={self._scorer!r} asks for more than the predictions of "
                    f"rows held out: {missing} Expected a scorer of these, which for "
                    "numbers are those of predict, such as 'r2'; for anything else use "
                    "GridSearchCV."
                ) from None
            if not isinstance(score, Real):
                raise ValueError(
                    f"scoring={self._scorer!r} returned {score!r}; expected one "
                    "number. Return a float, larger where predictions are better."
                )
            self._folds[-1][place] = score
            return float(score)
        scores = self._rowwise(raw, held.y)
        mean, error = mean_and_error(scores, held.weight)
        self._folds[-1][place], self._errors[place] = mean, error
        size = len(self._sums)
        weighted = held.weight * scores
        self._sums[:, *place] += np.bincount(held.domain, weighted, minlength=size)
        self._masses[:, *place] += np.bincount(held.domain, held.weight, minlength=size)
        return mean

    def add_all(self, raws: FloatArray, held: Held) -> list[float]:
        """Return the scores of all settings of one tie, of regressors of one domain.

        ``raws`` has their predictions along its first axis; see `add`.
        """
        if self._rowwise is None:
            return [self.add((i, 0), raw, held) for i, raw in enumerate(raws)]
        means, errors = means_and_errors(self._rowwise(raws, held.y), held.weight)
        mass = held.weight.sum()
        self._folds[-1][:, 0], self._errors[:, 0] = means, errors
        self._sums[0, :, 0], self._masses[0, :, 0] = mass * means, mass
        return list(map(float, means))

    @property
    def means(self) -> FloatArray:
        """Mean over the folds."""
        if len(self._folds) == 1:
            return self._folds[0]
        return np.asarray(np.mean(self._folds, axis=0))

    @property
    def standard_errors(self) -> FloatArray:
        """Over the folds, or where there is one over its rows."""
        if len(self._folds) == 1:
            return self._errors
        folds = np.where(np.isfinite(self._folds), self._folds, np.nan)
        return np.asarray(np.std(folds, axis=0, ddof=1) / np.sqrt(len(folds)))

    @property
    def of_domains(self) -> FloatArray:
        """Mean score of the rows of each domain."""
        failed = np.isneginf(self.means)
        with np.errstate(invalid="ignore"):
            return np.where(failed, -np.inf, self._sums / self._masses)


@final
class Scores(GridScores):
    """Scores of classifiers.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer; None is "neg_log_loss".
    classes : ndarray of shape (n_classes,)
        Class labels.
    shape : tuple of int
        Numbers of settings along each axis of the grid.
    n_domains : int
        Number of domains.
    """

    def __init__(
        self, scoring: Any, classes: Array, shape: tuple[int, int], n_domains: int
    ) -> None:
        check_one_scorer(scoring)
        rowwise = ROWWISE.get(scoring or "neg_log_loss")
        scorer = None if rowwise else check_scoring(LogisticRegression(), scoring)
        super().__init__(rowwise, scorer, shape, n_domains)
        self._classes = classes

    def _known(self, raw: FloatArray, y: Array) -> tuple[Any, Array]:
        return Predicted(self._classes, raw), self._classes[y]


@final
class TargetScores(GridScores):
    """Scores of regressors, whose raw predictions are what they predict.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer; None is "neg_mean_squared_error".
    flat : bool
        Whether targets are one column, and were given as such.
    shape, n_domains : tuple of int, int
        As above.
    """

    # Exact fits: only rounding makes equal scores differ.
    slack = 1e-12

    def __init__(
        self, scoring: Any, flat: bool, shape: tuple[int, int], n_domains: int
    ) -> None:
        check_one_scorer(scoring)
        rowwise = ROWWISE_TARGETS.get(scoring or "neg_mean_squared_error")
        scorer = None if rowwise else check_scoring(Ridge(), scoring)
        super().__init__(rowwise, scorer, shape, n_domains)
        self._flat = flat

    def _known(self, raw: FloatArray, y: Array) -> tuple[Any, Array]:
        return (Known(raw[:, 0]), y[:, 0]) if self._flat else (Known(raw), y)


@final
class CountScores(GridScores):
    """Scores of regressors of counts, whose raw predictions are logarithms of rates.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer; None is "neg_mean_poisson_deviance".
    shape, n_domains : tuple of int, int
        As above.
    """

    def __init__(self, scoring: Any, shape: tuple[int, int], n_domains: int) -> None:
        check_one_scorer(scoring)
        default = "neg_mean_poisson_deviance"
        rowwise = deviances if (scoring or default) == default else None
        scorer = None if rowwise else check_scoring(Ridge(), scoring)
        super().__init__(rowwise, scorer, shape, n_domains)

    def _known(self, raw: FloatArray, y: Array) -> tuple[Any, Array]:
        return Known(np.exp(raw[:, 0])), y[:, 0]


def choose(
    means: FloatArray,
    errors: FloatArray,
    one_standard_error: bool,
    slack: float = EQUAL,
) -> tuple[int, int]:
    """Return the place of the best score: of equal ones the last tie, the first C.

    Parameters
    ----------
    means, errors : ndarrays of shape (n_Cs, n_ties)
        Scores and their standard errors; ties ascend.
    one_standard_error : bool
        Whether a stronger tie within one standard error of the best is preferred.
    slack : float, default=EQUAL
        Relative difference below which scores are equal.
    """
    means = np.where(np.isnan(means), -np.inf, means)  # no score is the worst
    best = means.max()
    equal = means >= best - slack * abs(best)
    tie = int(np.flatnonzero(equal.any(axis=0))[-1])
    C = int(np.flatnonzero(equal[:, tie])[0])
    if one_standard_error:
        near = np.flatnonzero(means[C] >= best - errors[C, tie])
        tie = int(near[-1])
    return C, tie
