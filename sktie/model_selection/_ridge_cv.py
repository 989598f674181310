"""Choosing the tie of ridge regression by exact leave-one-out, or by folds."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.linear_model import Ridge

from sktie._compat import Interval, StrOptions, with_callbacks
from sktie._typing import Decay, FloatArray, HandleUnknown, MetricName
from sktie._validation import check_parameters
from sktie.linear_model._ridge import TiedRidge
from sktie.linear_model._ridge_inference import RidgeInference
from sktie.linear_model._ridge_updates import REMEDIES
from sktie.model_selection._holding_out import Data, HoldingOutNumbers
from sktie.model_selection._scores import (
    GridScores,
    TargetScores,
)
from sktie.streams._apply import check_at_hand

#: What is passed on to the model.
PASSED = (
    "pair",
    "graph",
    "metric",
    "decay",
    "tie_intercept",
    "feature_ties",
    "feature_tie",
    "feature_shares",
    "fit_intercept",
    "handle_unknown",
    "store_covariance",
    "n_jobs",
)


class TiedRidgeCV(HoldingOutNumbers, RidgeInference):
    """`TiedRidge` with `tie` and `alpha` chosen by exact leave-one-out or folds.

    Least squares predict by a linear smoother, so that leaving a row out takes its
    leverage and no other fit. The rows are read once for all settings, and once more
    for the leverages of each.

    Parameters
    ----------
    pair : str, int, estimator, tuple or None, default=None
        What the coefficients are tied to, as in `TiedRidge`. A fixed model must come
        from other rows: rows that made it favour strong ties.
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, as there; "learned" is learned in every fit. Folds
        may lack domains of it.
    ties : int or array-like of float, default=10
        Strengths to try. 0 and infinity are always among them; an integer is the
        number of strengths, the others evenly spaced from 1e-3 to 1e4 in logarithm.
    alphas : float or array-like of float, default=(0.1, 1.0, 10.0)
        Strengths of the weight decay to try.
    cv : "loo", int, splitter, iterable or None, default="loo"
        How rows are held out. An integer is the number of folds of consecutive rows
        (None is 5); a splitter of scikit-learn splits the rows; an iterable holds
        (training, test) positions, as a list where groups are needed. With a ``graph``
        "loo" becomes 5 folds; see ``cv_``.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn; None is "neg_mean_squared_error". Sample weights count
        in this one and in "neg_mean_absolute_error" alone.
    one_standard_error : bool, default=False
        Choose the strongest tie whose score is within one standard error of the best,
        at the alpha of the best.
    refit : bool, default=True
        Whether to fit the model on all rows with what was chosen.
    metric : {"identity", "fisher"}, default="identity"
        How the distance from a fixed pair is measured, as in `TiedRidge`.
    decay : {"each", "shared"}, default="each"
        What is decayed, as in `TiedRidge`.
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
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see. A domain that is missing in
        the training rows of a fold is predicted by the shared centre in any case.
    store_covariance : bool, default=False
        Whether the refit keeps what `coef_covariance`, `coef_interval` and
        `predict_interval` need, as in `TiedRidge`. What was chosen
        counts as known.
    verbose : int, default=0
        Print the score of every setting if positive.
    n_jobs : int or None, default=None
        Threads, as in `TiedRidge`.

    Attributes
    ----------
    tie_, alpha_ : float
        What was chosen. Of equal scores the strongest tie, then the smallest alpha.
    best_score_ : float
        Its score; of the grid, so somewhat flattering.
    ties_, alphas_ : ndarray of shape (n_ties,) and (n_alphas,)
        All that was tried, ascending.
    scores_ : ndarray of shape (n_alphas, n_ties)
        Mean score of the rows or folds held out; -inf where nothing could be fitted.
    standard_errors_ : ndarray of shape (n_alphas, n_ties)
        Their standard errors: over the rows for "loo" (NaN for scores that are no
        means over rows), otherwise over the folds.
    domain_scores_ : ndarray of shape (n_domains, n_alphas, n_ties)
        Mean score of the rows of each domain. Only with domains, and for scores that
        are means over rows.
    failures_ : dict
        Why a setting (alpha, tie) could not be fitted or scored.
    refits_, n_refitted_ : ndarray of shape (n_samples,), int
        Fits of their own that rows took: 0. Only for "loo".
    cv_ : object
        How rows were held out.
    coef_, intercept_, domains_, domain_coef_, domain_intercept_, sigma2_ : ndarrays
        As in `TiedRidge`; coefficients only with ``refit=True``.
    n_features_in_, feature_names_in_ : int, ndarray
        As in `TiedRidge`.

    Raises
    ------
    ValueError
        For input that cannot be fitted, and if no setting can be.

    See Also
    --------
    TiedRidge : The model; its ``tie="auto"`` needs no rows held out.
    sklearn.linear_model.RidgeCV : The same for one model.

    Notes
    -----
    Without row i the residual of a linear smoother is ``r_i / (1 - h_i)``, with its
    leverage ``h_i = s_i x_i' K^-1 x_i`` and K half the Hessian over all domains, of
    which only the block of the row's domain counts.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani, J. Friedman (2009). The Elements of Statistical
       Learning, section 7.10.

    Examples
    --------
    Two domains that differ in one of three features.

    >>> import numpy as np
    >>> from sktie import TiedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> domain = np.arange(100) % 2
    >>> y = 2 * X[:, 0] + (1 + 0.3 * domain) * X[:, 1] + rng.normal(size=100)
    >>> model = TiedRidgeCV().fit(X, y, sample_domain=domain)
    >>> model.scores_.shape
    (3, 10)
    """

    _decay_name, _peer = "alpha", "Ridge"
    _multi_output = True

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "ties": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "alphas": [Interval(Real, 0, None, closed="left"), "array-like"],
        "cv": ["cv_object", StrOptions({"loo"})],
        "scoring": [None, str, callable],
        "one_standard_error": ["boolean"],
        "refit": ["boolean"],
        **{name: TiedRidge._parameter_constraints[name] for name in PASSED},
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        graph: Any = None,
        ties: Any = 10,
        alphas: Any = (0.1, 1.0, 10.0),
        cv: Any = "loo",
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
        handle_unknown: HandleUnknown = "error",
        store_covariance: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.pair = pair
        self.graph = graph
        self.ties = ties
        self.alphas = alphas
        self.cv = cv
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
        self.handle_unknown = handle_unknown
        self.store_covariance = store_covariance
        self.verbose = verbose
        self.n_jobs = n_jobs

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> TiedRidgeCV:
        """Choose the strengths, and fit the model with them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the fits and in the scores. A row of weight 2 is
            taken out as a whole.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.

        Returns
        -------
        TiedRidgeCV
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        check_at_hand(
            X,
            type(self).__name__,
            "Choose the strengths on a sample of the rows, and give them to TiedRidge.",
        )
        self._choose(Data(X, y, sample_weight, sample_domain))
        return self

    def _model(self, handle_unknown: str) -> TiedRidge:
        parameters = {name: getattr(self, name) for name in PASSED}
        return TiedRidge(**parameters | {"handle_unknown": handle_unknown})

    def _path(self, model: Any, rows: Any, crew: Any) -> Any:
        return model._path(rows, crew)

    def _new_scores(self, shape: tuple[int, int], n_domains: int) -> GridScores:
        return TargetScores(self.scoring, self._flat_target, shape, n_domains)

    def _can_leave_out(self, path: Any) -> bool:
        return self.graph is None

    def _check_target(self, y: FloatArray, weight: FloatArray | None) -> None:
        """Accept every number."""

    def _inverse_link(self, raw: FloatArray) -> FloatArray:
        return raw

    def _plain(self) -> Ridge:
        return Ridge(alpha=self.alpha_, fit_intercept=self.fit_intercept)

    def _unbounded(self) -> str:
        raise NotImplementedError

    def _undecayed(self) -> str:
        raise NotImplementedError
