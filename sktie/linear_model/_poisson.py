"""Regression of counts, tied to another model or across domains."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from sktie._compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._labels import check_exposure
from sktie._parallel import Workers, workers
from sktie._problem import TiedProblem
from sktie._scalar_loss import Poisson
from sktie._tie import Tie
from sktie._typing import Decay, HandleUnknown, Solver
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._counts import (
    POISSON_REMEDIES,
    CountPath,
    TiedCountRegressor,
    as_rates,
)
from sktie.linear_model._distance import DISTANCE_TOL, tie_at_distance
from sktie.linear_model._graph import coordinates_of, read_relations
from sktie.linear_model._parted import Given
from sktie.linear_model._regressor import RegressionRows
from sktie.solvers import SOLVERS


class TiedPoissonRegressor(TiedCountRegressor):
    r"""Poisson regression whose coefficients are tied, from separate to shared.

    Counts have the mean ``mu = exposure * exp(x'w_t + b_t)``. Minimises their mean
    loss, weight decay, and a tie of strength ``tie``::

        1/S sum_t sum_{i in t} s_i (mu_i - y_i log mu_i)
            + alpha/2 sum_t |w_t|^2  +  tie/2 Omega(w)

    up to a constant that makes the loss half the deviance of scikit-learn. Here t runs
    over domains (one, unless ``pair`` or ``sample_domain`` names them), ``s_i`` are
    sample weights, S is the sum of ``s_i exposure_i`` over all rows, and Omega depends
    on ``pair``:

    ========================================  =======================================
    ``pair``                                  Omega
    ========================================  =======================================
    None                                      0: scikit-learn's `PoissonRegressor`
    a fitted linear regressor                 ``|w - w_A|^2``, with ``w_A`` fixed
    a column of X, or ``sample_domain``       ``(2/T) sum_{s<t} |w_s - w_t|^2``
    these, with ``graph``                     as in `TiedLogisticRegression`
    ========================================  =======================================

    For two domains the third is ``|w_A - w_B|^2``; for any number T it is
    ``2 sum_t |w_t - mean|^2``, so a strength keeps its meaning as T grows. ``tie=0``
    fits every domain alone, ``tie=inf`` shares one parameter vector, exactly.

    Parameters
    ----------
    pair : str, int, estimator, tuple or None, default=None
        What the coefficients are tied to.

        - None: nothing; or, where `fit` gets ``sample_domain``, the other domains.
        - str or int: the name of a column of a data frame, or the position of a
          column of X (-1 is the last). It holds the domain of each row (strings,
          integers, integral floats or categories) and is no feature.
        - ``FrozenEstimator(fitted)``: a fitted regressor of counts with ``coef_`` and
          ``intercept_``, or a pipeline that ends in one (whose coefficients are
          compared on the scale they were trained on). Features are matched by name
          where both models know names.
        - ``(coef, intercept)``: arrays with the shapes of ``coef_`` and
          ``intercept_``.
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, as in `TiedLogisticRegression`; "learned" estimates
        it with the model.
    tie : float, dict or array-like of shape (n_coefs,), default=1.0
        Strength of the tie in [0, inf], on the scale of ``alpha``: of the mean loss,
        so that the strength that suits data does not grow with their number of rows. A
        dict gives each coefficient its own, by name or position,
        ``{"age": np.inf, None: 1.0}``; ``tie_intercept`` must then be given too.
    alpha : float, default=1.0
        Strength of the weight decay, in [0, inf), as in scikit-learn.
    max_distance : float or None, default=None
        A constraint ``Omega <= max_distance^2`` in place of ``tie``, which does not
        count then, as in `TiedLogisticRegression`; ``tie_`` is its multiplier.
    decay : {"each", "shared"}, default="each"
        With domains: decay every ``w_t``, or only once their mean. At ``tie=inf`` the
        first equals ``PoissonRegressor(alpha=T * alpha)``, the second
        ``PoissonRegressor(alpha=alpha)``.
    tie_intercept : bool or float, default=True
        Whether the intercept is tied too: as strongly as the coefficients (True),
        not at all (False), or with a strength of its own in [0, inf]. It is never
        decayed.
    feature_ties : list, array or sparse matrix, default=None
        Features of one model whose coefficients should be close, as there.
    feature_tie : float, default=1.0
        Factor of their strengths in [0, inf], on the scale of ``alpha``.
    feature_shares : list of lists or dicts, default=None
        Features whose coefficients are equal, or in given ratios, as there.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see: raise, or use the centre.
    solver : {"auto", "newton-cholesky", "lbfgs", "newton-cg"}, default="auto"
        How to minimise. "auto" chooses by the numbers of rows, features, domains and
        stored entries.
    tol : float, default=1e-8
        Stop when the estimated gap to the minimum, relative to the objective, is at
        most this: half the squared Newton decrement, in the solver's model of the
        curvature. Small problems make a step more, which about squares the gap.
    max_iter : int, default=1000
        Steps of the solver at most.
    warm_start : bool, default=False
        Whether to start from a previous fit of the same domains and features.
    verbose : int, default=0
        Print objective and gap of every iteration if positive, and how far a pass
        over rows in files has come.
    n_jobs : int or None, default=None
        Threads; None uses as many as BLAS may, -1 all cores. No bit depends on it.

    Attributes
    ----------
    coef_ : ndarray of shape (n_coefs,)
        Coefficients; with domains those of the shared centre, the mean over the
        domains. Has the dtype of X (float32 or float64). ``n_coefs`` is the number of
        features, without a domain column.
    intercept_ : float
        Intercept that belongs to ``coef_``.
    domains_ : ndarray of shape (n_domains,)
        Sorted labels of the domains. Only with domains.
    domain_coef_ : ndarray of shape (n_domains, n_coefs)
        Coefficients of each domain; stored once where ``tie=inf``. Only with domains.
    domain_intercept_ : ndarray of shape (n_domains,)
        Intercepts of each domain. Only with domains.
    component_, n_components_, inferred_domains_, inferred_coef_, inferred_intercept_
        Of graphs, as in `TiedLogisticRegression`.
    domain_covariance_ : ndarray of shape (n_domains, n_domains)
        What ``graph="learned"`` has learned, as there.
    stored_coef_, stored_index_, stored_ratio_ : ndarrays
        What is stored where features share, as there.
    tie_, alpha_ : float
        The strengths of the fit; ``tie_`` is an array of shape (n_coefs,) where every
        coefficient has its own.
    tie_gap_ : float
        Largest absolute deviation of a tied coefficient or intercept from what it
        is tied to; 0 where nothing is tied.
    objective_ : float
        The objective at the fitted parameters, with half the deviance as the loss.
    n_iter_ : int
        Iterations of the solver.
    n_stored_parameters_ : int
        Distinct numbers that the fitted model consists of.
    n_features_in_ : int
        Columns of X in `fit`, the domain column included.
    feature_names_in_, coef_feature_names_ : ndarray of shape (...,)
        Names of these columns and of those of ``coef_``, where X had string names.

    Raises
    ------
    ValueError
        For input that cannot be fitted. A failed `fit` leaves a fitted model as it was.

    See Also
    --------
    TiedPoissonRegressorCV : Chooses the strengths by rows held out.
    TiedRidge : The same for any numbers.
    TiedPair : Two models of different form, such as counts here and scores there.
    sklearn.linear_model.PoissonRegressor : The model without ties.

    Notes
    -----
    An exposure (the time a row was watched, the people it stands for) counts as a
    weight of the row's rate: ``fit(X, y, sample_exposure=e)`` is
    ``fit(X, y / e, sample_weight=e)``, scikit-learn's way of writing it.

    A domain without any events has no minimum of its own: its rate would be 0. With a
    positive tie and a positive ``tie_intercept`` it has one.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.
    .. [2] T. Evgeniou, M. Pontil (2004). Regularized multi-task learning. KDD.
    .. [3] P. McCullagh, J. Nelder (1989). Generalized Linear Models.

    Examples
    --------
    Two domains, the second with twice the rate; the last column names them.

    >>> import numpy as np
    >>> from sktie import TiedPoissonRegressor
    >>> rng = np.random.default_rng(0)
    >>> x, domain = rng.normal(size=200), np.arange(200) % 2
    >>> y = rng.poisson((1 + domain) * np.exp(0.5 * x))
    >>> X = np.column_stack([x, domain])
    >>> for tie in [0, 1, np.inf]:
    ...     model = TiedPoissonRegressor(pair=-1, tie=tie, alpha=0).fit(X, y)
    ...     print(f"{tie:3} {np.exp(model.domain_intercept_).round(2)}")
      0 [1.2  1.83]
      1 [1.42 1.61]
    inf [1.52 1.52]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "pair": [None, str, Integral, tuple, HasMethods("fit")],
        "graph": "no_validation",
        "tie": [Interval(Real, 0, None, closed="both"), dict, "array-like"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "max_distance": [None, Interval(Real, 0, None, closed="left")],
        "decay": [StrOptions({"each", "shared"})],
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
        "feature_ties": [None, "array-like", "sparse matrix"],
        "feature_tie": [Interval(Real, 0, None, closed="both")],
        "feature_shares": [None, "array-like"],
        "fit_intercept": ["boolean"],
        "handle_unknown": [StrOptions({"error", "shared"})],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        graph: Any = None,
        tie: Any = 1.0,
        alpha: float = 1.0,
        max_distance: float | None = None,
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
        warm_start: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.pair = pair
        self.graph = graph
        self.tie = tie
        self.alpha = alpha
        self.max_distance = max_distance
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
        self.warm_start = warm_start
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
    ) -> TiedPoissonRegressor:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, stream, dask collection} of shape \
                (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one. A stream of
            `sktie.streams` stays in its files, and the chunks of a dask array or data
            frame where they are; what is one of these may go with it below.
        y : array-like of shape (n_samples,)
            Counts, or other numbers from 0 up; not all 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row. Every
            domain needs some row of positive weight.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.
        sample_exposure : array-like of shape (n_samples,), default=None
            Positive numbers: time, area or people in which each count was made.

        Returns
        -------
        TiedPoissonRegressor
            The fitted model itself.
        """
        check_parameters(self, POISSON_REMEDIES)
        with unchanged_on_error(self):
            previous = self._coefficients() if self.warm_start else None
            given = Given(X, y, sample_weight, sample_domain, sample_exposure)
            rows = self._rows(given, counts=True)
            at_hand = isinstance(rows, RegressionRows)
            exposure = check_exposure(sample_exposure, X) if at_hand else None
            if exposure is not None:
                order = rows.design.order
                own = exposure if order is None else exposure[order]
                rates, weight = as_rates(rows.y, rows.weight, own)
                dtype = rows.design.dtype
                rows = replace(rows, y=rates.astype(dtype), weight=weight.astype(dtype))
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, self.max_iter) as callback,
            ):
                path = CountPath(self, rows, crew, self._tol())
                self._set_strengths(path)
                self._check_classes(path.rows, self.tie_)
                problem = path.problem(self.tie_, self.alpha_)
                result = self._solve(problem, previous, callback, path.tol)
            self._warn(result)
            self._store(problem, result)
        return self

    def _tol(self) -> float:
        """Return the gap to reach: distances need fits that are more exact."""
        tol = float(self.tol)
        return tol if self.max_distance is None else min(tol, DISTANCE_TOL)

    def _set_strengths(self, path: CountPath) -> None:
        """Set the strengths of the fit."""
        self.alpha_ = float(self.alpha)
        self.tie_: Any = self._given_tie(path.rows.dependencies.features)
        if self.max_distance is not None:
            n_features = path.rows.design.n_features
            self.tie_ = tie_at_distance(
                self, lambda tie: path.fit(tie, self.alpha_), n_features
            )

    def _related(self, rows: Any) -> Any:
        """Return the rows with what is known of features and of domains."""
        rows = rows.depending(self._depend(rows.design.n_features))
        return replace(rows, graph=read_relations(self))

    def _problem(self, rows: Any, crew: Workers) -> TiedProblem:
        """Return the objective as a problem; a `Path` sets the strengths."""
        design = rows.design
        # Near the minimum expected counts are about as large as those seen.
        steepest = float(rows.y.max(initial=0.0)) + 1.0
        structure = self._narrowed_tie(rows).structure
        return TiedProblem(
            rows.sums(Poisson(), crew),
            coordinates=coordinates_of(
                self,
                rows.graph,
                Tie(structure, self._strengths(design.n_features, 1.0)),
                (design.n_domains, 1, design.n_coefs),
                design,
                rows.most_weight * steepest,
            ),
            decay=self._decays(design.n_features, 1.0),
            shared_decay=self.decay == "shared" and hasattr(self, "domains_"),
            quadratic=rows.dependencies.quadratic(1, design, rows.mean_weight),
        )

    def _check_classes(self, rows: Any, tie: Any) -> None:
        """Check that a tie leaves no domain alone without events."""
        if not self.fit_intercept:
            return
        holding = self._holding(tie)
        alone = self._strengths(1, holding)[-1] == 0
        domains = hasattr(self, "domains_")
        parts = getattr(self, "n_components_", 1) > 1
        if not alone and not domains:
            return
        mass = rows.y[:, 0] if rows.weight is None else rows.y[:, 0] * rows.weight
        events = np.bincount(rows.domain, mass)
        if not events.any():
            raise ValueError(
                "y holds no events: every count of positive weight is 0, and the "
                "intercept would be minus infinity. Add rows with events."
            )
        remedy = "a positive tie and a positive tie_intercept"
        what = self._dial(tie)
        if parts and not alone:
            events = np.bincount(self.component_, events)[self.component_]
            what = f"graph= of {self.n_components_} components"
            remedy = "an edge to a domain of another component"
        if (alone or parts) and domains and not events.all():
            raise ValueError(
                f"{what} fits domains alone, but "
                f"{self.domains_[events == 0].tolist()} hold no events: every count of "
                "positive weight is 0, and the intercept would be minus infinity. Use "
                f"{remedy}, or drop these domains."
            )
