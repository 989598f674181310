"""Choosing the tie of Poisson regression by rows held out."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_array

from sktie._compat import Interval, StrOptions, with_callbacks
from sktie._labels import check_exposure, check_weight
from sktie._typing import Decay, HandleUnknown, Solver
from sktie._validation import check_parameters
from sktie.linear_model._counts import (
    POISSON_REMEDIES,
    CountPath,
    TiedCountRegressor,
    as_rates,
)
from sktie.linear_model._poisson import TiedPoissonRegressor
from sktie.model_selection._holding_out import Data, HoldingOutNumbers
from sktie.model_selection._scores import CountScores, GridScores
from sktie.model_selection._tied_cv import MOST_NUMBERS
from sktie.streams._apply import check_at_hand

#: What is passed on to the model.
PASSED = (
    "pair",
    "graph",
    "decay",
    "tie_intercept",
    "feature_ties",
    "feature_tie",
    "feature_shares",
    "fit_intercept",
    "handle_unknown",
    "solver",
    "tol",
    "max_iter",
    "n_jobs",
)


class TiedPoissonRegressorCV(HoldingOutNumbers, TiedCountRegressor):
    """`TiedPoissonRegressor` with `tie` and `alpha` chosen by cross-validation.

    For every alpha a path of fits runs from separate to shared, each from where the
    last one ended. ``cv="loo"`` takes each row out of each fit by one Newton step, as
    in `TiedLogisticRegressionCV`; rows of high leverage are taken out exactly, by fits
    of their own.

    Parameters
    ----------
    pair : str, int, estimator, tuple or None, default=None
        What the coefficients are tied to, as in `TiedPoissonRegressor`. A fixed model
        must come from other rows: rows that made it favour strong ties.
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, as there; "learned" is learned in every fit. Folds
        may lack domains of it.
    ties : int or array-like of float, default=10
        Strengths to try. 0 and infinity are always among them; an integer is the
        number of strengths, the others evenly spaced from 1e-5 to 1e2 in logarithm:
        the loss is a mean over rows.
    alphas : float or array-like of float, default=(0.0001, 0.001, 0.01, 0.1, 1.0)
        Strengths of the weight decay to try.
    cv : "loo", int, splitter, iterable or None, default="loo"
        How rows are held out. An integer is the number of folds of consecutive rows
        (None is 5); a splitter of scikit-learn splits the rows; an iterable holds
        (training, test) positions, as a list where groups are needed. With a ``graph``,
        or with members of too many coefficients for Hessians, "loo" becomes 5 folds;
        see ``cv_``.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn; None is "neg_mean_poisson_deviance". Sample weights
        and exposures count in this one alone; others score rates.
    one_standard_error : bool, default=False
        Choose the strongest tie whose score is within one standard error of the best,
        at the alpha of the best.
    refit : bool, default=True
        Whether to fit the model on all rows with what was chosen.
    decay : {"each", "shared"}, default="each"
        What is decayed, as in `TiedPoissonRegressor`.
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
    solver : {"auto", "newton-cholesky", "lbfgs", "newton-cg"}, default="auto"
        How to minimise, as in `TiedPoissonRegressor`.
    tol : float, default=1e-8
        Relative gap to the minimum at which a fit ends.
    max_iter : int, default=1000
        Steps of the solver at most, in every fit.
    verbose : int, default=0
        Print the score of every setting if positive.
    n_jobs : int or None, default=None
        Threads, as in `TiedPoissonRegressor`.

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
    n_refitted_ : int
        Rows that were taken out exactly, over all settings. Only for "loo".
    refits_ : ndarray of int of shape (n_samples,)
        How often each row was. Only for "loo".
    cv_ : object
        How rows were held out.
    coef_, intercept_, domains_, domain_coef_, domain_intercept_ : ndarrays
        As in `TiedPoissonRegressor`; coefficients only with ``refit=True``. So are what
        there is of graphs and of shared features.
    n_features_in_, feature_names_in_ : int, ndarray
        As in `TiedPoissonRegressor`.

    Raises
    ------
    ValueError
        For input that cannot be fitted, and if no setting can be.

    See Also
    --------
    TiedPoissonRegressor : The model.

    Notes
    -----
    Without a row the others keep their weights, 1/S each: the decay is then stronger
    beside the loss by the share of one row, which "loo" neglects and folds do not.

    References
    ----------
    K. Rahnama Rad, A. Maleki (2020). A scalable estimate of the out-of-sample
    prediction error via approximate leave-one-out cross-validation. JRSS B.

    Examples
    --------
    Two domains that differ in one of three features.

    >>> import numpy as np
    >>> from sktie import TiedPoissonRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> domain = np.arange(200) % 2
    >>> y = rng.poisson(np.exp(0.5 * X[:, 0] + 0.2 * domain * X[:, 1]))
    >>> model = TiedPoissonRegressorCV(ties=4).fit(X, y, sample_domain=domain)
    >>> model.scores_.shape
    (5, 4)
    """

    _decay_name, _peer = "alpha", "PoissonRegressor"
    _tie_range = 1e-5, 1e2

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "ties": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "alphas": [Interval(Real, 0, None, closed="left"), "array-like"],
        "cv": ["cv_object", StrOptions({"loo"})],
        "scoring": [None, str, callable],
        "one_standard_error": ["boolean"],
        "refit": ["boolean"],
        **{name: TiedPoissonRegressor._parameter_constraints[name] for name in PASSED},
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        graph: Any = None,
        ties: Any = 10,
        alphas: Any = (0.0001, 0.001, 0.01, 0.1, 1.0),
        cv: Any = "loo",
        scoring: Any = None,
        one_standard_error: bool = False,
        refit: bool = True,
        decay: Decay = "each",
        tie_intercept: bool | float = True,
        feature_ties: Any = None,
        feature_tie: float = 1.0,
        feature_shares: Any = None,
        fit_intercept: bool = True,
        handle_unknown: HandleUnknown = "error",
        solver: Solver = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
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
        self.decay = decay
        self.tie_intercept = tie_intercept
        self.feature_ties = feature_ties
        self.feature_tie = feature_tie
        self.feature_shares = feature_shares
        self.fit_intercept = fit_intercept
        self.handle_unknown = handle_unknown
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
        sample_exposure: Any = None,
    ) -> TiedPoissonRegressorCV:
        """Choose the strengths, and fit the model with them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one.
        y : array-like of shape (n_samples,)
            Counts, or other numbers from 0 up; not all 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the fits and in the scores. A row of weight 2 is
            taken out as a whole.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.
        sample_exposure : array-like of shape (n_samples,), default=None
            Positive numbers: time, area or people in which each count was made.

        Returns
        -------
        TiedPoissonRegressorCV
            The fitted model itself.
        """
        check_parameters(self, POISSON_REMEDIES)
        check_at_hand(
            X,
            type(self).__name__,
            "Choose the strengths on a sample of the rows, and give them to "
            "TiedPoissonRegressor.",
        )
        exposure = check_exposure(sample_exposure, X)
        if exposure is not None:
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
            weight = check_weight(sample_weight, exposure[:, np.newaxis])
            y, sample_weight = as_rates(y.reshape(-1), weight, exposure)
        self._choose(Data(X, y, sample_weight, sample_domain))
        return self

    def _model(self, handle_unknown: str) -> TiedPoissonRegressor:
        parameters = {name: getattr(self, name) for name in PASSED}
        return TiedPoissonRegressor(**parameters | {"handle_unknown": handle_unknown})

    def _path(self, model: Any, rows: Any, crew: Any) -> CountPath:
        return CountPath(model, rows, crew)

    def _new_scores(self, shape: tuple[int, int], n_domains: int) -> GridScores:
        return CountScores(self.scoring, shape, n_domains)

    def _can_leave_out(self, path: Any) -> bool:
        return self.graph is None and path.n_numbers <= MOST_NUMBERS
