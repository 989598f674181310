"""Regression of counts, tied to another model or across domains."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import PoissonRegressor
from sklearn.utils import check_array

from sktie._compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    n_samples_of,
    set_glm_loss,
    with_callbacks,
)
from sktie._labels import check_weight
from sktie._parallel import Workers, workers
from sktie._problem import TiedProblem
from sktie._scalar_loss import Poisson
from sktie._tie import TiedCoordinates
from sktie._typing import Decay, FloatArray, HandleUnknown, Solver
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._forms import check_counts
from sktie.linear_model._path import Path
from sktie.linear_model._regressor import RegressionRows, TiedLinearRegressor
from sktie.solvers import SOLVERS

POISSON_REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, anything "
    "between for tied ones.",
    "alpha": "Use a number from 0 (no decay) up.",
    "tie_intercept": REMEDIES["tie_intercept"],
    "pair": "Use None, a column of X, FrozenEstimator(fitted_regressor), or "
    "(coef, intercept).",
}


class TiedPoissonRegressor(TiedLinearRegressor):
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
    ========================================  =======================================

    For two domains the last is ``|w_A - w_B|^2``; for any number T it is
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
    tie : float, default=1.0
        Strength of the tie in [0, inf], on the scale of ``alpha``: of the mean loss,
        so that the strength that suits data does not grow with their number of rows.
    alpha : float, default=1.0
        Strength of the weight decay, in [0, inf), as in scikit-learn.
    decay : {"each", "shared"}, default="each"
        With domains: decay every ``w_t``, or only once their mean. At ``tie=inf`` the
        first equals ``PoissonRegressor(alpha=T * alpha)``, the second
        ``PoissonRegressor(alpha=alpha)``.
    tie_intercept : bool or float, default=True
        Whether the intercept is tied too: as strongly as the coefficients (True),
        not at all (False), or with a strength of its own in [0, inf]. It is never
        decayed.
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
        Print objective and gap of every iteration if positive.
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
    tie_, alpha_ : float
        The strengths of the fit.
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

    __metadata_request__fit: ClassVar = {"sample_exposure": True}
    __metadata_request__predict: ClassVar = {"sample_exposure": True}
    __metadata_request__score: ClassVar = {"sample_exposure": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pair": [None, str, Integral, tuple, HasMethods("fit")],
        "tie": [Interval(Real, 0, None, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "decay": [StrOptions({"each", "shared"})],
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
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
        tie: float = 1.0,
        alpha: float = 1.0,
        decay: Decay = "each",
        tie_intercept: bool | float = True,
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
        self.tie = tie
        self.alpha = alpha
        self.decay = decay
        self.tie_intercept = tie_intercept
        self.fit_intercept = fit_intercept
        self.handle_unknown = handle_unknown
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one.
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
            exposure = check_exposure(sample_exposure, X)
            rows = self._read(X, y, sample_weight, sample_domain)
            rows = _rates(rows, exposure)
            self.tie_, self.alpha_ = float(self.tie), float(self.alpha)
            self._check_classes(rows, self.tie_)
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, self.max_iter) as callback,
            ):
                C = 1.0 / self.alpha_ if self.alpha_ > 0 else np.inf
                path = Path(self, rows, crew)
                problem = path.problem(self.tie_, C)
                result = self._solve(problem, previous, callback, path.tol)
            self._warn(result)
            self._store(problem, result)
        return self

    def _problem(self, rows: RegressionRows, crew: Workers) -> TiedProblem:
        """Return the objective as a problem; a `Path` sets the strengths."""
        design = rows.design
        return TiedProblem(
            design=design,
            loss=Poisson(),
            y=rows.y[:, 0],
            weight=rows.weight,
            coordinates=TiedCoordinates(
                self._tie(rows), (design.n_domains, 1, design.n_coefs)
            ),
            decay=self._decays(design.n_features, 1.0),
            shared_decay=self.decay == "shared" and hasattr(self, "domains_"),
            workers=crew,
        )

    def _check_target(self, y: FloatArray, weight: FloatArray | None) -> None:
        check_counts(y, "y")

    def _check_classes(self, rows: RegressionRows, tie: float) -> None:
        """Check that a tie leaves no domain alone without events."""
        if not self.fit_intercept:
            return
        alone = self._strengths(1, tie)[-1] == 0
        domains = hasattr(self, "domains_")
        if not alone and not domains:
            return
        mass = rows.y[:, 0] if rows.weight is None else rows.y[:, 0] * rows.weight
        events = np.add.reduceat(mass, rows.design.bounds[:-1])
        if not events.any():
            raise ValueError(
                "y holds no events: every count of positive weight is 0, and the "
                "intercept would be minus infinity. Add rows with events."
            )
        if alone and domains and not events.all():
            raise ValueError(
                f"{self._dial(tie)} fits domains alone, but "
                f"{self.domains_[events == 0].tolist()} hold no events: every count of "
                "positive weight is 0, and the intercept would be minus infinity. Use "
                "a positive tie and a positive tie_intercept, or drop these domains."
            )

    def _inverse_link(self, raw: FloatArray) -> FloatArray:
        return np.asarray(np.exp(raw))

    def _plain(self) -> PoissonRegressor:
        plain = PoissonRegressor(alpha=self.alpha_, fit_intercept=self.fit_intercept)
        set_glm_loss(plain)
        return plain

    def _unbounded(self) -> str:
        return (
            "rows without events are separable from the others and nothing holds the "
            "coefficients back, so that no minimum exists. Use a positive alpha (now "
            f"alpha={self.alpha_})."
        )

    def _undecayed(self) -> str:
        if self.alpha_ > 0:
            return ""
        return " Without decay (alpha=0) a minimum need not exist: try alpha=1e-6."

    def predict(
        self, X: Any, *, sample_domain: Any = None, sample_exposure: Any = None
    ) -> FloatArray:
        """Return the expected count of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.
        sample_exposure : array-like of shape (n_samples,), default=None
            Exposure of each row; None: 1, so that rates are returned.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``exposure * exp(x'w_t + b_t)``.
        """
        rate = super().predict(X, sample_domain=sample_domain)
        exposure = check_exposure(sample_exposure, X)
        return rate if exposure is None else rate * exposure.astype(rate.dtype)

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        sample_domain: Any = None,
        sample_exposure: Any = None,
    ) -> float:
        """Return D^2, the share of the deviance that is explained.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        y : array-like of shape (n_samples,)
            True counts.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.
        sample_exposure : array-like of shape (n_samples,), default=None
            Exposure of each row; None: 1.

        Returns
        -------
        float
            At most 1; 0 for one rate for all rows, as that of
            `sklearn.linear_model.PoissonRegressor`.
        """
        raw = self._raw(X, sample_domain).astype(np.float64)
        y = check_array(
            y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self
        ).reshape(-1)
        if len(y) != len(raw):
            raise ValueError(
                f"y has {len(y)} rows, but X has {len(raw)}; expected one count for "
                "each row of X."
            )
        check_counts(y, "y")
        weight = check_weight(sample_weight, raw)
        exposure = check_exposure(sample_exposure, X)
        if exposure is not None:
            y = y / exposure
            weight = exposure if weight is None else weight * exposure
        loss = Poisson()
        deviance, _ = loss.value_gradient(y, raw, weight)
        same = np.full_like(raw, loss.start(y, weight))
        null, _ = loss.value_gradient(y, same, weight)
        if null == 0:
            return 1.0 if deviance == 0 else 0.0
        return 1.0 - deviance / null


def _rates(rows: RegressionRows, exposure: FloatArray | None) -> RegressionRows:
    """Return rates with exposures as weights, whose sum over all rows is 1."""
    design, y, weight = rows.design, rows.y, rows.weight
    if exposure is not None:
        own = exposure if design.order is None else exposure[design.order]
        y = y / own[:, np.newaxis]
        weight = own if weight is None else weight * own
    if weight is None:
        share = np.full(design.n_rows, 1.0 / design.n_rows)
    else:
        share = weight / weight.sum(dtype=np.float64)
    return replace(rows, y=y.astype(design.dtype), weight=share.astype(design.dtype))


def check_exposure(sample_exposure: Any, X: Any) -> FloatArray | None:
    """Return exposures as numbers, one for each row of X, or None."""
    if sample_exposure is None:
        return None
    exposure: FloatArray = np.asarray(sample_exposure)
    if exposure.dtype.kind == "O":
        exposure = exposure.astype(np.float64)
    if exposure.dtype.kind not in "biuf" or exposure.shape != (n_samples_of(X),):
        raise ValueError(
            f"sample_exposure has dtype {exposure.dtype} and shape {exposure.shape}, "
            f"but X has {n_samples_of(X)} rows; expected one number for each row."
        )
    if not (np.isfinite(exposure).all() and (exposure > 0).all()):
        wrong = exposure[~(np.isfinite(exposure) & (exposure > 0))][0]
        raise ValueError(
            f"sample_exposure holds {wrong}; expected positive finite numbers. Drop "
            "rows that were not exposed."
        )
    return exposure.astype(np.float64)
