"""Choosing the tie by cross-validation, from one path of fits."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import StratifiedKFold

from sktie._compat import Interval, StrOptions, with_callbacks
from sktie._prior import find_prior
from sktie._typing import (
    ClassWeight,
    Decay,
    FloatArray,
    HandleUnknown,
    IntArray,
    MetricName,
    Solver,
)
from sktie._validation import check_parameters
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._classifier import TiedLinearClassifier
from sktie.linear_model._inference import InferenceMixin
from sktie.linear_model._logistic import TiedLogisticRegression
from sktie.linear_model._path import Path
from sktie.model_selection._holding_out import FOLDS, Data, HoldingOut, strengths_of
from sktie.model_selection._scores import (
    GridScores,
    Held,
    Scores,
    check_rowwise,
    held_rows,
)
from sktie.streams._apply import check_at_hand

#: Numbers that the Hessians of leave-one-out may hold.
MOST_NUMBERS = 1 << 27
#: What is passed on to the model.
PASSED = (
    "pair",
    "metric",
    "graph",
    "decay",
    "tie_intercept",
    "feature_ties",
    "feature_tie",
    "feature_shares",
    "fit_intercept",
    "class_weight",
    "unlabeled",
    "handle_unknown",
    "store_covariance",
    "solver",
    "tol",
    "max_iter",
    "n_jobs",
)


class TiedLogisticRegressionCV(HoldingOut, InferenceMixin, TiedLinearClassifier):
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
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, as in `TiedLogisticRegression`; "learned" is learned
        in every fit. Folds may lack domains of it.
    ties : int or array-like of float, default=17
        Strengths to try. 0 and infinity are always among them; an integer is the
        number of strengths, the others evenly spaced from 1e-3 to 1e4 in logarithm: 17
        are two to a decade.
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
        "neg_log_loss", "accuracy" and "neg_brier_score" alone, and "loo" takes no
        other names, for want of a mean over rows; a callable is shown all rows at
        once, as they are predicted by the models that have not seen them.
    one_standard_error : bool, default=False
        Choose the strongest tie whose score is within one standard error of the best,
        at the C of the best.
    refit : bool, default=True
        Whether to fit the model on all rows with what was chosen.
    metric : {"identity", "fisher"}, default="identity"
        How the distance from a fixed pair is measured, as in `TiedLogisticRegression`.
    decay : {"each", "shared"}, default="each"
        What is decayed, as in `TiedLogisticRegression`.
    tie_intercept : bool or float, default=True
        Whether, or how strongly, intercepts are tied, as there.
    feature_ties : list, array or sparse matrix, default=None
        Features whose coefficients are close, as there.
    feature_tie : float, default=1.0
        Factor of their strengths, as there; it is not chosen here.
    feature_shares : list of lists or dicts, default=None
        Features whose coefficients are equal, as there.
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
    store_covariance : bool, default=False
        Whether the refit keeps what `coef_covariance`, `coef_interval` and
        `predict_interval` need, as in `TiedLogisticRegression`. What was chosen
        counts as known.
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
    refits_ : ndarray of shape (n_samples,)
        For how many settings each row was taken out exactly, by a fit of its own: rows
        of high leverage and far outliers. Only for "loo".
    n_refitted_ : int
        Their sum. Only for "loo".
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

    _decay_name = "C"

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
        ties: Any = 17,
        Cs: Any = (0.01, 0.1, 1.0, 10.0, 100.0),
        cv: Any = "loo",
        stratify_domains: bool = False,
        scoring: Any = None,
        one_standard_error: bool = False,
        refit: bool = True,
        metric: MetricName = "identity",
        decay: Decay = "each",
        tie_intercept: bool | float = True,
        feature_ties: Any = None,
        feature_tie: float = 1.0,
        feature_shares: Any = None,
        fit_intercept: bool = True,
        class_weight: ClassWeight = None,
        unlabeled: int | str | None = None,
        handle_unknown: HandleUnknown = "error",
        store_covariance: bool = False,
        solver: Solver = "auto",
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
        self.metric = metric
        self.decay = decay
        self.tie_intercept = tie_intercept
        self.feature_ties = feature_ties
        self.feature_tie = feature_tie
        self.feature_shares = feature_shares
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.unlabeled = unlabeled
        self.handle_unknown = handle_unknown
        self.store_covariance = store_covariance
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_jobs = n_jobs

    @with_callbacks
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
        check_at_hand(
            X,
            type(self).__name__,
            "Choose the strengths on a sample of the rows, and give them to "
            "TiedLogisticRegression.",
        )
        self._check_cv()
        self._choose(Data(X, y, sample_weight, sample_domain, (X_unlabeled,)))
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

    def _decay_grid(self) -> FloatArray:
        return grid_of_Cs(self.Cs)

    def _path(self, model: Any, rows: Any, crew: Any) -> Path:
        found = Path(model, rows, crew)
        model._check_room(found.problem(1.0, 1.0))
        return found

    def _new_scores(self, shape: tuple[int, int], n_domains: int) -> GridScores:
        return Scores(self.scoring, self.classes_, shape, n_domains)

    def _held_rows(self, path: Any, data: Data) -> tuple[Held, IntArray]:
        return held_rows(path.rows, data.n_rows, data.sample_weight)

    def _scheme(self, path: Any) -> Any:
        if not isinstance(self.cv, str):
            return FOLDS if self.cv is None else self.cv
        knows = find_prior(self.pair) is not None or self.graph is not None
        if knows or path.n_numbers > MOST_NUMBERS:
            return FOLDS
        check_rowwise(self.scoring)
        return self.cv

    def _check_training(self, model: Any) -> None:
        if not np.array_equal(model.classes_, self.classes_):
            raise ValueError(
                f"A training set of cv={self.cv!r} holds the classes "
                f"{model.classes_.tolist()} of {self.classes_.tolist()}; expected all. "
                "Use fewer folds, a stratified splitter, or cv='loo'."
            )

    def _folds(self, n_folds: int, held: Held) -> list[tuple[IntArray, IntArray]]:
        """Return folds with equal shares of each class, or each class of a domain."""
        strata = held.y
        if self.stratify_domains:
            strata = held.domain * len(self.classes_) + held.y
            cells, sizes = np.unique(strata, return_counts=True)
            if sizes.min() < n_folds:
                few = int(np.argmin(sizes))
                domain, label = divmod(int(cells[few]), len(self.classes_))
                where = ""
                if hasattr(self, "domains_"):
                    where = f"domain {self.domains_[domain]!s} has "
                raise ValueError(
                    f"stratify_domains=True with cv={n_folds}, but {where}only "
                    f"{sizes[few]} rows of class {self.classes_[label]!s}; expected "
                    "one for each fold. Use fewer folds, cv='loo', or "
                    "stratify_domains=False."
                )
        return list(StratifiedKFold(n_folds).split(strata[:, np.newaxis], strata))


def grid_of_Cs(Cs: Any) -> FloatArray:
    """Return the inverse decays to try, ascending."""
    found = np.unique(strengths_of("Cs", Cs))
    if not len(found) or found[0] <= 0:
        raise ValueError(
            f"Cs={Cs!r}; expected positive numbers, at least one, as C of "
            "LogisticRegression. C=np.inf means no decay."
        )
    return found
