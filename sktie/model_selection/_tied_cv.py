"""Choosing the tie by cross-validation, from one path of fits."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing, indexable

from sktie._compat import (
    Interval,
    StrOptions,
    fit_callbacks,
    n_samples_of,
    with_callbacks,
)
from sktie._graph import DomainGraph
from sktie._parallel import workers
from sktie._prior import find_prior
from sktie._typing import FloatArray, IntArray, IterationHook
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._classifier import TiedLinearClassifier
from sktie.linear_model._logistic import TiedLogisticRegression
from sktie.linear_model._path import NoMinimum, Path, Stop
from sktie.model_selection._scores import Held, Scores, choose, held_rows

#: Folds where leave-one-out would not be honest, or is out of reach.
FOLDS = 5
#: Strengths between 0 and infinity, where only their number is given.
WEAKEST, STRONGEST = 1e-3, 1e4
#: Numbers that the Hessians of leave-one-out may hold.
MOST_NUMBERS = 1 << 27
#: What is passed on to the model.
PASSED = (
    "pair",
    "graph",
    "decay",
    "tie_intercept",
    "fit_intercept",
    "class_weight",
    "unlabeled",
    "handle_unknown",
    "solver",
    "tol",
    "max_iter",
    "n_jobs",
)


class TiedLogisticRegressionCV(TiedLinearClassifier):
    """`TiedLogisticRegression` with `tie` and `C` chosen by cross-validation.

    For every C a path of fits runs from separate to shared, each from where the last
    one ended. ``cv="loo"`` takes each row out of each fit by one Newton step (Rad and
    Maleki 2020), so that choosing costs little more than the path; rows of a leverage
    above 0.4 are taken out exactly, by fits of their own.

    Parameters
    ----------
    pair : str, int, estimator, tuple or None, default=None
        What the coefficients are tied to, as in `TiedLogisticRegression`. A fixed
        model must come from other rows: rows that made it favour strong ties.
    graph : array-like, sparse matrix, dict, networkx graph or None, default=None
        Which domains are related, as in `TiedLogisticRegression`. Folds may lack
        domains of it.
    ties : int or array-like of float, default=10
        Strengths to try. 0 and infinity are always among them; an integer is the
        number of strengths, the others evenly spaced from 1e-3 to 1e4 in logarithm.
    Cs : float or array-like of float, default=(0.01, 0.1, 1.0, 10.0, 100.0)
        Inverse strengths of the weight decay to try.
    cv : "loo", int, splitter, iterable or None, default="loo"
        How rows are held out. An integer is the number of stratified folds (None is 5);
        a splitter of scikit-learn splits the labelled rows; an iterable holds
        (training, test) positions among all rows, as a list where groups are needed.
        With a prior as ``pair``, whose anchor knows the labels, with a ``graph``, or
        with members of too many coefficients for Hessians, "loo" becomes 5 folds; see
        ``cv_``.
    stratify_domains : bool, default=False
        Whether folds (of an integer ``cv``) hold equal shares of each class of each
        domain, instead of each class.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn; None is "neg_log_loss". Sample weights count in
        "neg_log_loss" and "accuracy" alone.
    one_standard_error : bool, default=False
        Choose the strongest tie whose score is within one standard error of the best,
        at the C of the best.
    refit : bool, default=True
        Whether to fit the model on all rows with what was chosen.
    decay : {"each", "shared"}, default="each"
        What is decayed, as in `TiedLogisticRegression`.
    tie_intercept : bool or float, default=True
        Whether, or how strongly, intercepts are tied, as there.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    class_weight : dict, "balanced" or None, default=None
        Factors for the classes, in the fits alone. With "loo", those of "balanced"
        are counted once, from all rows.
    unlabeled : int, str or None, default=None
        The label in y of rows that have none, for a prior as ``pair``. They are in
        every training set and in no score.
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see. A domain that is missing in
        the training rows of a fold is predicted by the shared centre in any case.
    solver : {"auto", "newton-cholesky", "lbfgs", "newton-cg"}, default="auto"
        How to minimise, as in `TiedLogisticRegression`.
    tol : float, default=1e-8
        Relative gap to the minimum at which a fit ends.
    max_iter : int, default=1000
        Steps of the solver at most, in every fit.
    verbose : int, default=0
        Print the score of every setting if positive.
    n_jobs : int or None, default=None
        Threads, as in `TiedLogisticRegression`.

    Attributes
    ----------
    tie_, C_ : float
        What was chosen. Of equal scores the strongest tie, then the smallest C.
    best_score_ : float
        Its score; of the grid, so somewhat flattering.
    ties_, Cs_ : ndarray of shape (n_ties,) and (n_Cs,)
        All that was tried, ascending.
    scores_ : ndarray of shape (n_Cs, n_ties)
        Mean score of the rows or folds held out; -inf where nothing could be fitted.
    standard_errors_ : ndarray of shape (n_Cs, n_ties)
        Their standard errors: over the rows for "loo" (NaN for scores that are no
        means over rows), otherwise over the folds.
    domain_scores_ : ndarray of shape (n_domains, n_Cs, n_ties)
        Mean score of the rows of each domain. Only with domains, and for scores that
        are means over rows.
    failures_ : dict
        Why a setting (C, tie) could not be fitted.
    n_refitted_ : int
        Rows that were taken out exactly, over all settings. Only for "loo".
    cv_ : object
        How rows were held out.
    classes_, coef_, intercept_, domains_, domain_coef_, domain_intercept_ : ndarrays
        As in `TiedLogisticRegression`; coefficients only with ``refit=True``. So are
        what there is of graphs.
    n_features_in_, feature_names_in_ : int, ndarray
        As in `TiedLogisticRegression`.

    Raises
    ------
    ValueError
        For input that cannot be fitted, and if no setting can be.

    See Also
    --------
    TiedLogisticRegression : The model; its ``tie="auto"`` needs no rows held out.

    References
    ----------
    K. Rahnama Rad, A. Maleki (2020). A scalable estimate of the out-of-sample
    prediction error via approximate leave-one-out cross-validation. JRSS B.

    Examples
    --------
    Two domains that differ in one of three features.

    >>> import numpy as np
    >>> from sktie import TiedLogisticRegressionCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> domain = np.arange(200) % 2
    >>> score = 2 * X[:, 0] + (1 + domain) * X[:, 1] + rng.logistic(size=200)
    >>> model = TiedLogisticRegressionCV(ties=4).fit(
    ...     X, score > 0, sample_domain=domain
    ... )
    >>> model.scores_.shape
    (5, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "ties": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "Cs": [Interval(Real, 0, None, closed="right"), "array-like"],
        "cv": ["cv_object", StrOptions({"loo"})],
        "stratify_domains": ["boolean"],
        "scoring": [None, str, callable],
        "one_standard_error": ["boolean"],
        "refit": ["boolean"],
        **{
            name: TiedLogisticRegression._parameter_constraints[name] for name in PASSED
        },
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        graph: Any = None,
        ties: Any = 10,
        Cs: Any = (0.01, 0.1, 1.0, 10.0, 100.0),
        cv: Any = "loo",
        stratify_domains: bool = False,
        scoring: Any = None,
        one_standard_error: bool = False,
        refit: bool = True,
        decay: str = "each",
        tie_intercept: bool | float = True,
        fit_intercept: bool = True,
        class_weight: Any = None,
        unlabeled: Any = None,
        handle_unknown: str = "error",
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.pair = pair
        self.graph = graph
        self.ties = ties
        self.Cs = Cs
        self.cv = cv
        self.stratify_domains = stratify_domains
        self.scoring = scoring
        self.one_standard_error = one_standard_error
        self.refit = refit
        self.decay = decay
        self.tie_intercept = tie_intercept
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.unlabeled = unlabeled
        self.handle_unknown = handle_unknown
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_jobs = n_jobs

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        sample_domain: Any = None,
        X_unlabeled: Any = None,
    ) -> TiedLogisticRegressionCV:
        """Choose the strengths, and fit the model with them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one.
        y : array-like of shape (n_samples,)
            Class labels, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the fits and in the scores. A row of weight 2 is
            taken out as a whole.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.
        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            More rows without labels, for a prior as ``pair``.

        Returns
        -------
        TiedLogisticRegressionCV
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        data = _Data(X, y, sample_weight, sample_domain, X_unlabeled)
        with unchanged_on_error(self):
            for name in _fitted_names(self):
                delattr(self, name)
            self._check_cv()
            self.ties_, self.Cs_ = grid_of_ties(self.ties), grid_of_Cs(self.Cs)
            model = self._model(self.handle_unknown)
            rows = model._read(*data)
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, self.ties_.size * self.Cs_.size) as callback,
            ):
                path = Path(model, rows, crew)
                self._take(model)
                scores = self._scores(path, data, callback)
                self._conclude(scores)
                if self.refit:
                    stop = path.fit(self.tie_, self.C_)
                    model._store(stop.problem, stop.result)
                    self._take(model)
        return self

    def _check_cv(self) -> None:
        if self.stratify_domains and not isinstance(self.cv, Integral):
            raise ValueError(
                f"stratify_domains=True with cv={self.cv!r}; expected an integer cv, "
                "whose folds it makes. Use cv=5, or stratify_domains=False."
            )

    def _model(self, handle_unknown: str) -> TiedLogisticRegression:
        parameters = {name: getattr(self, name) for name in PASSED}
        return TiedLogisticRegression(**parameters | {"handle_unknown": handle_unknown})

    def _take(self, model: TiedLogisticRegression) -> None:
        """Take over what a model has read or fitted."""
        for name in _fitted_names(model):
            setattr(self, name, getattr(model, name))

    def _scores(
        self, path: Path, data: _Data, callback: IterationHook | None
    ) -> Scores:
        """Return the scores of all settings, by the rows that `cv` holds out."""
        design = path.rows.design
        shape = (self.Cs_.size, self.ties_.size)
        scores = Scores(self.scoring, self.classes_, shape, design.n_domains)
        held, places = held_rows(path.rows, data.n_rows, data.sample_weight)
        back = np.argsort(places)
        held, labelled = held.take(back), places[back]
        self.failures_: dict[tuple[float, float], str] = {}
        self.cv_ = self._scheme(path)
        if isinstance(self.cv_, str):
            self.n_refitted_ = 0
            scores.new_fold()
            for place, stop in self._walk(path):
                try:
                    raw, n_refitted = path.without_each_row(stop)
                except NoMinimum as error:
                    self.failures_[stop.C, stop.tie] = str(error)
                    continue
                self.n_refitted_ += n_refitted
                public = stop.problem.loss.expand(raw[back].T).T
                self._tell(stop, scores.add(place, public, held), callback)
            return scores
        for train, test in self._splits(data, labelled, held):
            scores.new_fold()
            self._score_fold(
                scores, data, train, test, held, labelled, path.rows.graph, callback
            )
        return scores

    def _score_fold(
        self,
        scores: Scores,
        data: _Data,
        train: IntArray,
        test: IntArray,
        held: Held,
        labelled: IntArray,
        graph: DomainGraph | None,
        callback: IterationHook | None,
    ) -> None:
        """Fit every setting to some of the rows, and score it on others."""
        model = self._model("shared")
        model.graph = graph  # a fold may lack domains: their labels must be known
        part = data.take(train)
        rows = model._read(*part)
        if not np.array_equal(model.classes_, self.classes_):
            raise ValueError(
                f"A training set of cv={self.cv!r} holds the classes "
                f"{model.classes_.tolist()} of {self.classes_.tolist()}; expected all. "
                "Use fewer folds, a stratified splitter, or cv='loo'."
            )
        rest = data.take(test)
        held = held.take(np.searchsorted(labelled, test))
        if not held.weight.sum() > 0:
            raise ValueError(
                f"The {len(test)} rows held out by a fold weigh nothing; expected some "
                "row of positive weight. Drop rows of weight zero, or shuffle folds."
            )
        with workers(self.n_jobs, rows.design.n_lanes) as crew:
            path = Path(model, rows, crew)
            for place, stop in self._walk(path):
                model._store(stop.problem, stop.result)
                raw = model._raw(rest.X, rest.sample_domain)
                self._tell(stop, scores.add(place, raw, held), callback)

    def _walk(self, path: Path) -> Iterator[tuple[tuple[int, int], Stop]]:
        """Yield the fits of all settings: up with the ties, and down again."""
        for i, C in enumerate(self.Cs_):
            there = range(self.ties_.size)
            for j in there if i % 2 == 0 else reversed(there):
                tie = float(self.ties_[j])
                try:
                    stop = path.fit(tie, float(C))
                except NoMinimum as error:
                    self.failures_[float(C), tie] = str(error)
                    continue
                yield (i, j), stop

    def _tell(self, stop: Stop, score: float, callback: IterationHook | None) -> None:
        if self.verbose:
            print(f"C {stop.C:8.3g}  tie {stop.tie:8.3g}  score {score:.6g}")  # noqa: T201
        if callback is not None:
            callback(stop.result.n_iter, stop.result.value, stop.result.gap)

    def _scheme(self, path: Path) -> Any:
        """Return what holds rows out: folds where leaving one out cannot."""
        if not isinstance(self.cv, str):
            return FOLDS if self.cv is None else self.cv
        knows = find_prior(self.pair) is not None or self.graph is not None
        return FOLDS if knows or path.n_numbers > MOST_NUMBERS else self.cv

    def _splits(
        self, data: _Data, labelled: IntArray, held: Held
    ) -> list[tuple[IntArray, IntArray]]:
        """Return training and test positions among all rows; the unlabelled train."""
        if isinstance(self.cv_, Integral):
            found = self._stratified(int(self.cv_), held)
        elif hasattr(self.cv_, "split"):
            known = data.take(labelled)
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
            # Positions of the user's, among all rows; only labelled ones are scored.
            place = np.full(data.n_rows, -1)
            place[labelled] = np.arange(len(labelled))
            pairs = [(place[train], place[test]) for train, test in self.cv_]
            found = [(train[train >= 0], test[test >= 0]) for train, test in pairs]
        if not found:
            raise ValueError(
                f"cv={self.cv!r} has no folds; expected pairs of training and test "
                "positions. A generator can be read once: pass list(...) of it."
            )
        rest = np.setdiff1d(np.arange(data.n_rows), labelled)
        return [
            (np.sort(np.concatenate([labelled[train], rest])), labelled[test])
            for train, test in found
        ]

    def _stratified(self, n_folds: int, held: Held) -> list[tuple[IntArray, IntArray]]:
        """Return folds with equal shares of each class, or each class of a domain."""
        strata = held.y
        if self.stratify_domains:
            strata = held.domain * len(self.classes_) + held.y
            least = np.unique(strata, return_counts=True)[1].min()
            if least < n_folds:
                raise ValueError(
                    f"stratify_domains=True with cv={n_folds}, but a domain has only "
                    f"{least} rows of some class; expected one for each fold. Use "
                    "fewer folds, cv='loo', or stratify_domains=False."
                )
        return list(StratifiedKFold(n_folds).split(strata[:, np.newaxis], strata))

    def _conclude(self, scores: Scores) -> None:
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
        i, j = choose(self.scores_, self.standard_errors_, self.one_standard_error)
        self.C_, self.tie_ = float(self.Cs_[i]), float(self.ties_[j])
        self.best_score_ = float(self.scores_[i, j])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")


class _Data(NamedTuple):
    """What `fit` was given, so that folds can be cut from it."""

    X: Any
    y: Any
    sample_weight: Any
    sample_domain: Any
    X_unlabeled: Any

    @property
    def n_rows(self) -> int:
        return n_samples_of(self.X)

    def take(self, rows: IntArray) -> _Data:
        """Return some of the rows."""
        parts = indexable(*self[:4])
        cut = [None if part is None else _safe_indexing(part, rows) for part in parts]
        return _Data._make([*cut, self.X_unlabeled])


def _fitted_names(estimator: Any) -> list[str]:
    """Return the names of what a fit has set."""
    names = vars(estimator)
    return [name for name in names if name.endswith("_") or name.startswith("_domain")]


def grid_of_ties(ties: Any) -> FloatArray:
    """Return the strengths to try, ascending, 0 and infinity among them."""
    if isinstance(ties, Integral):
        middle: FloatArray = np.geomspace(WEAKEST, STRONGEST, int(ties) - 2)
    else:
        middle = _strengths("ties", ties)
        if (middle < 0).any():
            raise ValueError(
                f"ties holds {middle.min():g}; expected strengths from 0 (separate) to "
                "inf (shared). Drop the negative ones."
            )
    return np.unique(np.concatenate([[0.0], middle, [np.inf]]))


def grid_of_Cs(Cs: Any) -> FloatArray:
    """Return the inverse decays to try, ascending."""
    found = np.unique(_strengths("Cs", Cs))
    if not len(found) or found[0] <= 0:
        raise ValueError(
            f"Cs={Cs!r}; expected positive numbers, at least one, as C of "
            "LogisticRegression. C=np.inf means no decay."
        )
    return found


def _strengths(name: str, values: Any) -> FloatArray:
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
