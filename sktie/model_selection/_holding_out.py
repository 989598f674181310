"""Choosing tie and decay by rows held out: what classifiers and regressors share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold
from sklearn.utils import _safe_indexing, indexable

from sktie._compat import fit_callbacks, n_samples_of
from sktie._parallel import workers
from sktie._typing import FloatArray, IntArray, IterationHook
from sktie._validation import unchanged_on_error
from sktie.linear_model._path import NoMinimum
from sktie.model_selection._scores import GridScores, Held, choose, held_targets

#: Folds where leave-one-out would not be honest, or is out of reach.
FOLDS = 5
#: Strengths between 0 and infinity, where only their number is given.
WEAKEST, STRONGEST = 1e-3, 1e4


class HoldingOut(BaseEstimator):
    """Base of estimators that choose a tie and a decay from a grid.

    An estimator says which model it chooses for and how a grid of decays is called,
    and how its rows are held out, scored and told of.
    """

    #: Name of the decay.
    _decay_name: str
    #: Strengths between 0 and infinity, where only their number is given.
    _tie_range = WEAKEST, STRONGEST

    @abstractmethod
    def _decay_grid(self) -> FloatArray:
        """Return the decays to try, ascending."""

    @abstractmethod
    def _model(self, handle_unknown: str) -> Any:
        """Return the model whose strengths are chosen, not fitted."""

    @abstractmethod
    def _path(self, model: Any, rows: Any, crew: Any) -> Any:
        """Return the path of a model that has read its rows."""

    @abstractmethod
    def _new_scores(self, shape: tuple[int, int], n_domains: int) -> GridScores:
        """Return scores of a grid, all of them missing."""

    @abstractmethod
    def _held_rows(self, path: Any, data: Data) -> tuple[Held, IntArray]:
        """Return the rows that can be scored, and their places among all rows.

        Both are in the design's order.
        """

    @abstractmethod
    def _scheme(self, path: Any) -> Any:
        """Return what holds rows out: folds where leaving one out cannot."""

    @abstractmethod
    def _folds(self, n_folds: int, held: Held) -> list[tuple[IntArray, IntArray]]:
        """Return training and test positions of the rows held, in so many folds."""

    @abstractmethod
    def _check_training(self, model: Any) -> None:
        """Check that a training set is good enough."""

    def _choose(self, data: Data) -> None:
        """Choose the strengths, and fit the model with them."""
        if getattr(self, "store_covariance", False) and not self.refit:
            raise ValueError(
                "store_covariance=True with refit=False fits no model, so that there "
                "is nothing to keep. Use refit=True, or store_covariance=False."
            )
        with unchanged_on_error(self):
            for name in _fitted_names(self):
                delattr(self, name)
            self.ties_ = grid_of_ties(self.ties, *self._tie_range)
            decays = self._decay_grid()
            setattr(self, f"{self._decay_name}s_", decays)
            model = self._model(self.handle_unknown)
            rows = model._read(*data.known())
            n_settings = self.ties_.size * decays.size
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, data.X, data.y, n_settings) as callback,
            ):
                path = self._path(model, rows, crew)
                if not path.is_tied:
                    # All strengths are the same model.
                    self.ties_ = self.ties_[-1:]
                self._take(model)
                scores = self._scored(path, data, callback)
                self._conclude(scores)
                if self.refit:
                    decay = getattr(self, f"{self._decay_name}_")
                    stop = path.fit(self.tie_, decay)
                    path.keep(stop)
                    path.store(stop)
                    self._take(model)

    @property
    def _decays_tried(self) -> FloatArray:
        found: FloatArray = getattr(self, f"{self._decay_name}s_")
        return found

    def _take(self, model: Any) -> None:
        """Take over what a model has read or fitted."""
        for name in _fitted_names(model):
            setattr(self, name, getattr(model, name))

    def _scored(
        self, path: Any, data: Data, callback: IterationHook | None
    ) -> GridScores:
        """Return the scores of all settings, by the rows that `cv` holds out."""
        design = path.rows.design
        scores = self._new_scores(
            (self._decays_tried.size, self.ties_.size), design.n_domains
        )
        held, in_design = self._held_rows(path, data)
        back: Any = slice(None) if design.order is None else np.argsort(in_design)
        held, places = held.take(back), in_design[back]
        self.failures_: dict[tuple[float, float], str] = {}
        self.cv_ = self._scheme(path)
        if isinstance(self.cv_, str):
            self.refits_ = np.zeros(data.n_rows, dtype=np.intp)
            scores.new_fold()
            at_once = None
            if self.ties_.size == 1:
                at_once = path.without_each_row_at(self._decays_tried)
            if at_once is not None:
                raws, values = at_once
                for i, score in enumerate(scores.add_all(raws[:, back], held)):
                    self._tell((i, 0), (0, float(values[i]), 0.0), score, callback)
            for place, stop in self._walk(path) if at_once is None else ():
                try:
                    # A fit that ran out of steps may leave no numbers: no score.
                    with np.errstate(invalid="ignore"):
                        raw, refitted = path.without_each_row(stop)
                        shown = path.public(stop, raw)[back]
                        score = scores.add(place, shown, held)
                except NoMinimum as error:
                    self.failures_[self._setting(place)] = str(error)
                    continue
                self.refits_[in_design[refitted]] += 1
                self._tell(place, stop.progress, score, callback)
            self.n_refitted_ = int(self.refits_.sum())
            return scores
        for train, test in self._splits(data, places, held):
            scores.new_fold()
            model = self._fold_model(path)
            self._score_fold(model, scores, data, train, test, held, places, callback)
        return scores

    def _fold_model(self, path: Any) -> Any:
        """Return a model for the rows of a fold."""
        model = self._model("shared")
        if path.rows.graph is not None:
            # A fold may lack domains: their labels must be known.
            model.graph = path.rows.graph
        return model

    def _score_fold(
        self,
        model: Any,
        scores: GridScores,
        data: Data,
        train: IntArray,
        test: IntArray,
        held: Held,
        places: IntArray,
        callback: IterationHook | None,
    ) -> None:
        """Fit every setting to some of the rows, and score it on others."""
        rows = model._read(*data.take(train).known())
        self._check_training(model)
        rest = data.take(test)
        held = held.take(np.searchsorted(places, test))
        if not held.weight.sum() > 0:
            raise ValueError(
                f"The {len(test)} rows held out by a fold weigh nothing; expected some "
                "row of positive weight. Drop rows of weight zero, or shuffle folds."
            )
        with workers(self.n_jobs, rows.design.n_lanes) as crew:
            path = self._path(model, rows, crew)
            for place, stop in self._walk(path):
                path.store(stop)
                raw = model._raw(rest.X, rest.sample_domain)
                score = scores.add(place, raw, held)
                self._tell(place, stop.progress, score, callback)

    def _setting(self, place: tuple[int, int]) -> tuple[float, float]:
        """Return decay and tie at a place of the grid."""
        return float(self._decays_tried[place[0]]), float(self.ties_[place[1]])

    def _walk(self, path: Any) -> Iterator[tuple[tuple[int, int], Any]]:
        """Yield the fits of all settings: up with the ties, and down again."""
        for i in range(self._decays_tried.size):
            there = range(self.ties_.size)
            for j in there if i % 2 == 0 else reversed(there):
                decay, tie = self._setting((i, j))
                try:
                    stop = path.fit(tie, decay)
                except NoMinimum as error:
                    self.failures_[decay, tie] = str(error)
                    continue
                yield (i, j), stop

    def _tell(
        self,
        place: tuple[int, int],
        progress: tuple[int, float, float],
        score: float,
        callback: IterationHook | None,
    ) -> None:
        if self.verbose:
            decay, tie = self._setting(place)
            print(  # noqa: T201
                f"{self._decay_name} {decay:8.3g}  tie {tie:8.3g}  score {score:.6g}"
            )
        if callback is not None:
            callback(*progress)

    def _splits(
        self, data: Data, places: IntArray, held: Held
    ) -> list[tuple[IntArray, IntArray]]:
        """Return training and test positions among all rows.

        Rows that cannot be scored, having no label, train.
        """
        if isinstance(self.cv_, Integral):
            found = self._folds(int(self.cv_), held)
        elif hasattr(self.cv_, "split"):
            known = data.take(places)
            try:
                found = list(self.cv_.split(known.X, np.asarray(known.y)))
            except (TypeError, ValueError) as error:
                if "groups" not in str(error):
                    raise
                name = type(self.cv_).__name__
                raise ValueError(
                    f"cv={name}() needs groups, which fit does not take. Pass the "
                    f"folds themselves: cv=list({name}(...).split(X, y, groups))."
                ) from None
        else:
            # Positions of the user's, among all rows; only known ones are scored.
            place = np.full(data.n_rows, -1)
            place[places] = np.arange(len(places))
            folds = positions_of(self.cv_, data.n_rows)
            pairs = [(place[train], place[test]) for train, test in folds]
            found = [(train[train >= 0], test[test >= 0]) for train, test in pairs]
        if not found:
            raise ValueError(
                f"cv={self.cv!r} has no folds; expected pairs of training and test "
                "positions. A generator can be read once: pass list(...) of it."
            )
        rest = np.setdiff1d(np.arange(data.n_rows), places)
        return [
            (np.sort(np.concatenate([places[train], rest])), places[test])
            for train, test in found
        ]

    def _conclude(self, scores: GridScores) -> None:
        """Set the scores and the choice."""
        self.scores_, self.standard_errors_ = scores.means, scores.standard_errors
        if scores.by_row and hasattr(self, "domains_"):
            self.domain_scores_ = scores.of_domains
        if not np.isfinite(self.scores_).any():
            raise ValueError(
                f"None of {self.scores_.size} settings could be fitted and scored. "
                f"The first failure: {next(iter(self.failures_.values()), 'no score')}"
            )
        if self.one_standard_error and np.isnan(self.standard_errors_).all():
            raise ValueError(
                f"one_standard_error=True, but scoring={self.scoring!r} with "
                f"cv={self.cv!r} has no standard error; expected a mean over rows or "
                "folds. Use scoring=None or 'accuracy', or cv=5."
            )
        i, j = choose(
            self.scores_, self.standard_errors_, self.one_standard_error, scores.slack
        )
        decay, self.tie_ = self._setting((i, j))
        setattr(self, f"{self._decay_name}_", decay)
        self.best_score_ = float(self.scores_[i, j])

    def __sklearn_is_fitted__(self) -> bool:
        if hasattr(self, "scores_") and not hasattr(self, "coef_"):
            raise NotFittedError(
                f"This {type(self).__name__} has chosen with refit=False, and fitted "
                "no model. Fit it with refit=True."
            )
        return hasattr(self, "coef_")


class HoldingOutNumbers(HoldingOut):
    """Base of those that choose for regressors."""

    alphas: Any
    cv: Any
    #: The regressor of scikit-learn that has such an alpha.
    _peer: str

    def _decay_grid(self) -> FloatArray:
        found = np.unique(strengths_of("alphas", self.alphas))
        if not len(found) or found[0] < 0 or np.isinf(found[-1]):
            raise ValueError(
                f"alphas={self.alphas!r}; expected numbers from 0 up, at least one, as "
                f"alpha of {self._peer}. alpha=0 means no decay."
            )
        return found

    def _held_rows(self, path: Any, data: Data) -> tuple[Held, IntArray]:
        return held_targets(path.rows)

    def _scheme(self, path: Any) -> Any:
        if not isinstance(self.cv, str):
            return FOLDS if self.cv is None else self.cv
        if path.rows.design.n_rows < 2:
            raise ValueError(
                "X has n_samples=1, and cv='loo' leaves one out; expected at least "
                f"two rows. Add rows, or use Tied{self._peer}."
            )
        return self.cv if self._can_leave_out(path) else FOLDS

    @abstractmethod
    def _can_leave_out(self, path: Any) -> bool:
        """Whether single rows can be left out, and not folds alone."""

    def _folds(self, n_folds: int, held: Held) -> list[tuple[IntArray, IntArray]]:
        return list(KFold(n_folds).split(held.y))

    def _check_training(self, model: Any) -> None:
        """Accept every training set."""


class Data(NamedTuple):
    """What `fit` was given, so that folds can be cut from it."""

    X: Any
    y: Any
    sample_weight: Any
    sample_domain: Any
    more: tuple[Any, ...] = ()

    @property
    def n_rows(self) -> int:
        return n_samples_of(self.X)

    def known(self) -> tuple[Any, ...]:
        """Return all of it, as a model reads it."""
        return *self[:4], *self.more

    def take(self, rows: IntArray) -> Data:
        """Return some of the rows."""
        parts = indexable(*self[:4])
        cut = [None if part is None else _safe_indexing(part, rows) for part in parts]
        return Data._make([*cut, self.more])


def _fitted_names(estimator: Any) -> list[str]:
    """Return the names of what a fit has set."""
    names = vars(estimator)
    own = ("_domain", "_flat_target", "_curvature")
    return [name for name in names if name.endswith("_") or name.startswith(own)]


def grid_of_ties(
    ties: Any, weakest: float = WEAKEST, strongest: float = STRONGEST
) -> FloatArray:
    """Return the strengths to try, ascending, 0 and infinity among them."""
    if isinstance(ties, Integral) and not isinstance(ties, bool):
        if ties < 2:
            raise ValueError(
                f"ties={ties}; expected at least 2 strengths, 0 and infinity among "
                "them. Use ties=10, or list the strengths."
            )
        return _even(weakest, strongest, int(ties) - 2).copy()
    given = strengths_of("ties", ties)
    if (given < 0).any():
        raise ValueError(
            f"ties holds {given.min():g}; expected strengths from 0 (separate) to "
            "inf (shared). Drop the negative ones."
        )
    return _with_limits(given)


def positions_of(cv: Any, n_rows: int) -> list[tuple[IntArray, IntArray]]:
    """Return the folds that a user gave as positions of rows, or as masks.

    Parameters
    ----------
    cv : iterable of pairs
        Training and test rows of each fold.
    n_rows : int
        How many rows there are.
    """
    found: list[tuple[IntArray, IntArray]] = []
    try:
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in cv]
    except (TypeError, ValueError):
        raise ValueError(
            f"cv={cv!r}; expected a number of folds, a splitter, or pairs (training "
            "rows, test rows) of arrays of positions. Pass cv=5, or a list of pairs."
        ) from None
    for pair in pairs:
        both = []
        for part in pair:
            rows = part
            if part.dtype == bool and part.shape == (n_rows,):
                rows = np.flatnonzero(part)
            good = rows.ndim == 1 and (rows.dtype.kind in "iu" or not rows.size)
            if not good or (
                rows.size and not -n_rows <= rows.min() <= rows.max() < n_rows
            ):
                raise ValueError(
                    f"cv has a fold with the rows {_shown(part)}; expected positions "
                    f"from 0 to {n_rows - 1}, as whole numbers in one row. Take them "
                    "from splitter.split(X, y) of the same X."
                )
            both.append(rows.astype(np.intp) % n_rows)
        if not all(rows.size for rows in both):
            raise ValueError(
                f"cv has a fold of {both[0].size} training and {both[1].size} test "
                "rows; expected some of both. Drop this fold."
            )
        found.append((both[0], both[1]))
    return found


def _shown(part: Any) -> str:
    """Return some of an array, for a message."""
    first = str(part.ravel()[:4].tolist())
    return f"{first[:-1]}, ...] (shape {part.shape}, dtype {part.dtype})"


def _with_limits(strengths: FloatArray) -> FloatArray:
    return np.unique(np.concatenate([[0.0], strengths, [np.inf]]))


@lru_cache(maxsize=64)
def _even(weakest: float, strongest: float, number: int) -> FloatArray:
    """Return strengths evenly spaced in logarithm, 0 and infinity; not to be changed.

    Worked out once: for one model, whose tie does not count, it would be felt.
    """
    return _with_limits(np.geomspace(weakest, strongest, number))


def strengths_of(name: str, values: Any) -> FloatArray:
    """Return numbers of the user's as an array of one axis."""
    try:
        found: FloatArray = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name}={values!r}; expected an array of numbers.") from None
    if found.ndim > 1 or np.isnan(found).any():
        raise ValueError(
            f"{name} has shape {found.shape} and {int(np.isnan(found).sum())} NaN; "
            "expected one row of numbers. Flatten it, and drop what is missing."
        )
    return found
