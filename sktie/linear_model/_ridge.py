"""Ridge regression tied to another model, or across domains."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import Ridge

from sktie._compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._parallel import Workers, workers
from sktie._typing import Auto, Decay, FloatArray, HandleUnknown, MetricName
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._evidence import AUTO
from sktie.linear_model._graph import learns, read_relations
from sktie.linear_model._parted import Given
from sktie.linear_model._ridge_evidence import noise_variance, set_strengths
from sktie.linear_model._ridge_graph import RelatedRidgePath, RelatedStop
from sktie.linear_model._ridge_path import RidgePath
from sktie.linear_model._ridge_updates import REMEDIES, RidgeUpdates
from sktie.linear_model._updates import FISHER


class TiedRidge(RidgeUpdates):
    r"""Ridge regression whose coefficients are tied, from separate to shared.

    Minimises squared residuals, weight decay, and a tie of strength ``tie``::

        sum_t sum_{i in t} s_i (y_i - x_i'w_t - b_t)^2
            + alpha sum_t |w_t|^2  +  tie Omega(w)

    where t runs over domains (one, unless ``pair`` or ``sample_domain`` names them),
    ``s_i`` are sample weights and Omega depends on ``pair``:

    ========================================  =======================================
    ``pair``                                  Omega
    ========================================  =======================================
    None                                      0: scikit-learn's `Ridge`
    a fitted linear regressor                 ``|w - w_A|^2``, with ``w_A`` fixed
    a column of X, or ``sample_domain``       ``(2/T) sum_{s<t} |w_s - w_t|^2``
    these, with ``graph``                     as in `TiedLogisticRegression`
    ========================================  =======================================

    For two domains the third is ``|w_A - w_B|^2``; for any number T it is
    ``2 sum_t |w_t - mean|^2``, so a strength keeps its meaning as T grows. ``tie=0``
    fits every domain alone, ``tie=inf`` shares one parameter vector, exactly. Targets
    of several columns are fitted side by side.

    Parameters
    ----------
    pair : str, int, estimator, tuple or None, default=None
        What the coefficients are tied to.

        - None: nothing; or, where `fit` gets ``sample_domain``, the other domains.
        - str or int: the name of a column of a data frame, or the position of a
          column of X (-1 is the last). It holds the domain of each row (strings,
          integers, integral floats or categories) and is no feature.
        - ``FrozenEstimator(fitted)``: a fitted linear regressor with ``coef_`` and
          ``intercept_``, or a pipeline that ends in one (whose coefficients are
          compared on the scale they were trained on). Features are matched by name
          where both models know names. A bare fitted regressor works in a direct
          `fit`; ``clone`` strips it.
        - ``(coef, intercept)``: arrays with the shapes of ``coef_`` and
          ``intercept_``.
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, as in `TiedLogisticRegression`; "learned" estimates
        it with the model, for each target by itself.
    tie : float, dict, array-like of shape (n_coefs,) or "auto", default=1.0
        Strength of the tie in [0, inf], on the scale of ``alpha``. "auto" takes the
        one of the highest evidence: see Notes. A dict gives each coefficient its own,
        by name or position, ``{"age": np.inf, None: 1.0}``; None is the key of the
        others, without which all must be named. ``tie_intercept`` must then be given
        too.
    alpha : float or "auto", default=1.0
        Strength of the weight decay, in [0, inf), as in scikit-learn.
    max_distance : float or None, default=None
        A constraint in place of ``tie``, which does not count then: minimise the rest
        of the objective subject to ``Omega <= max_distance^2``, as in
        `TiedLogisticRegression`. ``tie_`` is the multiplier of Omega.
    metric : {"identity", "fisher"}, default="identity"
        How the distance from a fixed pair is measured: in "fisher" by
        ``(w - w_A)'P(w - w_A)``, with P the curvature of the pair's own objective, its
        decay and ties included. The pair must be a TiedRidge that was fitted with
        ``store_covariance=True``. ``tie=1`` and ``alpha=0`` then give the fit to the
        rows of both.
    decay : {"each", "shared"}, default="each"
        With domains: decay every ``w_t``, or only once their mean. At ``tie=inf``
        the first equals ``Ridge(alpha=T * alpha)``, the second ``Ridge(alpha=alpha)``.
    tie_intercept : bool, float or "auto", default=True
        Whether the intercept is tied too: as strongly as the coefficients (True),
        not at all (False), or with a strength of its own in [0, inf]. It is never
        decayed. "auto" chooses this strength, as with ``tie``.
    feature_ties : list, array or sparse matrix, default=None
        Features of one model whose coefficients should be close, as in
        `TiedLogisticRegression`: groups of them, or a graph. See Notes.
    feature_tie : float, default=1.0
        Factor of their strengths in [0, inf], on the scale of ``alpha``; at infinity
        the features are shared.
    feature_shares : list of lists or dicts, default=None
        Features whose coefficients are equal, or in given ratios, as there.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see: raise, or use the centre.
    store_covariance : bool, default=False
        Whether to keep what `coef_covariance`, `coef_interval` and `predict_interval`
        need: an array of (n_domains, n, n), with n coefficients for each domain.
    verbose : int, default=0
        Print how far a pass over rows in files has come if positive.
    n_jobs : int or None, default=None
        Threads; None uses as many as BLAS may, -1 all cores. No bit depends on it.

    Attributes
    ----------
    coef_ : ndarray of shape (n_coefs,) or (n_targets, n_coefs)
        Coefficients; with domains those of the shared centre, the mean over the
        domains. Has the dtype of X (float32 or float64). ``n_coefs`` is the number of
        features, without a domain column.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts that belong to ``coef_``.
    domains_ : ndarray of shape (n_domains,)
        Sorted labels of the domains. Only with domains.
    domain_coef_ : ndarray of shape (n_domains, n_coefs) or \
            (n_domains, n_targets, n_coefs)
        Coefficients of each domain; stored once where ``tie=inf``. Only with domains.
    domain_intercept_ : ndarray of shape (n_domains,) or (n_domains, n_targets)
        Intercepts of each domain. Only with domains.
    component_, n_components_, inferred_domains_, inferred_coef_, inferred_intercept_
        Of graphs, as in `TiedLogisticRegression`.
    domain_covariance_ : ndarray of shape (n_domains, n_domains) or \
            (n_targets, n_domains, n_domains)
        What ``graph="learned"`` has learned, as there.
    stored_coef_, stored_index_, stored_ratio_ : ndarrays
        What is stored where features share, as in `TiedLogisticRegression`.
    tie_, alpha_, tie_intercept_ : float
        The strengths of the fit, given or chosen; ``tie_`` is an array of shape
        (n_coefs,) where every coefficient has its own.
    log_evidence_ : float
        Log evidence at these, up to a constant. Only where a strength was "auto".
    sigma2_ : float or ndarray of shape (n_targets,)
        Estimated variance of the noise: the minimum of the objective over the sum of
        the weights less the number of coefficients that no penalty holds; NaN where
        that is not positive.
    tie_gap_ : float
        Largest absolute deviation of a tied coefficient or intercept from what it
        is tied to; 0 where nothing is tied.
    objective_ : float
        The objective above at the fitted parameters.
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
    TiedRidgeCV : Chooses the strengths by exact leave-one-out.
    TiedLogisticRegression : The same for classes.
    sklearn.linear_model.Ridge : The model without ties.

    Notes
    -----
    The rows are read once, for means and Gram matrices of each domain; the solution is
    exact. It takes memory of n_coefs squared and time of n_coefs cubed for each domain,
    whatever the number of targets. Where rows, decay and tie leave a direction of the
    coefficients open (collinear features with ``alpha=0``), of all minima the one of
    least norm is returned, as ``alpha`` going to 0 would.

    With a fixed pair and decay towards zero the coefficients are pulled to
    ``w_A tie / (tie + alpha)`` by both together.

    With a graph systems over all domains are solved as in `TiedLogisticRegression`, by
    elimination or conjugate gradients, and "auto", ``store_covariance`` and
    leave-one-out are not available.

    Ties of features add, for every domain and each group of strength s, ``2 s
    feature_tie sum_i (w_i - m)^2`` with m the mean of the group; for two this is ``s
    feature_tie (w_1 - w_2)^2``. With them there is no "auto", and with features that
    share no ``store_covariance``.

    "auto" maximises the evidence [4]_, the probability of the targets under the
    Gaussian prior that the penalties are, with the noise variance that suits each
    setting best. It is exact. For ``alpha=0``, ``tie=inf`` and
    ``tie_intercept="auto"`` it is the restricted likelihood (REML) of a mixed model
    with a random intercept [5]_: ``tie_intercept_`` is ``sigma^2 / (2 tau^2)``, of the
    variances of noise and intercepts. ``tie=0`` is compared only where it leaves no
    intercept free that other strengths hold. A fixed ``pair`` must come from other
    rows. Sample weights are numbers of rows.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.
    .. [2] T. Evgeniou, M. Pontil (2004). Regularized multi-task learning. KDD.
    .. [3] H. Daume III (2007). Frustratingly easy domain adaptation. ACL.
    .. [4] D. MacKay (1992). Bayesian interpolation. Neural Computation.
    .. [5] G. Robinson (1991). That BLUP is a good thing: the estimation of random
       effects. Statistical Science.

    Examples
    --------
    Two domains whose slopes differ; the last column names them.

    >>> import numpy as np
    >>> from sktie import TiedRidge
    >>> rng = np.random.default_rng(0)
    >>> x, domain = rng.normal(size=60), np.arange(60) % 2
    >>> y = (1 + domain) * x + 0.1 * rng.normal(size=60)
    >>> X = np.column_stack([x, domain])
    >>> for tie in [0, 10, np.inf]:
    ...     model = TiedRidge(pair=-1, tie=tie).fit(X, y)
    ...     print(f"{tie:3} {model.domain_coef_.ravel().round(2)}")
      0 [0.93 1.92]
     10 [1.12 1.66]
    inf [1.36 1.36]
    """

    _multi_output = True

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "pair": [None, str, Integral, tuple, HasMethods("fit")],
        "graph": "no_validation",
        "tie": [
            Interval(Real, 0, None, closed="both"),
            StrOptions({AUTO}),
            dict,
            "array-like",
        ],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({AUTO})],
        "max_distance": [None, Interval(Real, 0, None, closed="left")],
        "metric": [StrOptions({"identity", FISHER})],
        "decay": [StrOptions({"each", "shared"})],
        "tie_intercept": [
            "boolean",
            Interval(Real, 0, None, closed="both"),
            StrOptions({AUTO}),
        ],
        "feature_ties": [None, "array-like", "sparse matrix"],
        "feature_tie": [Interval(Real, 0, None, closed="both")],
        "feature_shares": [None, "array-like"],
        "fit_intercept": ["boolean"],
        "handle_unknown": [StrOptions({"error", "shared"})],
        "store_covariance": ["boolean"],
        "verbose": ["verbose"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        graph: Any = None,
        tie: Any = 1.0,
        alpha: float | Auto = 1.0,
        max_distance: float | None = None,
        metric: MetricName = "identity",
        decay: Decay = "each",
        tie_intercept: bool | float | Auto = True,
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
        self.tie = tie
        self.alpha = alpha
        self.max_distance = max_distance
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
    ) -> TiedRidge:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, stream, dask collection} of shape \
                (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one. A stream of
            `sktie.streams` stays in its files, and the chunks of a dask array or data
            frame where they are; what is one of these may go with it below.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row. Every
            domain needs some row of positive weight.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.

        Returns
        -------
        TiedRidge
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        with unchanged_on_error(self):
            rows = self._rows(Given(X, y, sample_weight, sample_domain))
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, 0),
            ):
                self._fit_rows(rows, crew)
        return self

    def _fit_rows(self, rows: Any, crew: Workers) -> None:
        """Fit the model to rows that it has read."""
        path = self._path(rows, crew)
        set_strengths(self, path)
        stop = path.fit(self.tie_, self.alpha_, self.tie_intercept_)
        self._keep(path, stop)
        self._store_stop(path, stop)

    def _path(self, rows: Any, crew: Workers) -> Any:
        """Return the path of the model that has read these rows."""
        rows = rows.depending(self._depend(rows.design.n_features))
        rows = replace(rows, graph=read_relations(self))
        if rows.graph is None and not learns(self):
            return RidgePath(self, rows, crew)
        return RelatedRidgePath(self, rows, crew)

    def _store_stop(self, path: Any, stop: Any) -> None:
        """Set the fitted attributes."""
        found, dtype = stop.minimum, path.rows.design.dtype
        members, hub = self._widen(found.members), self._widen(found.hub)
        self._store_members(
            members.astype(dtype),
            hub,
            np.broadcast_to(stop.strength, path.rows.design.n_coefs),
        )
        if isinstance(stop, RelatedStop):
            if (everyone := stop.everyone) is not None:
                others = self._widen(everyone[len(members) :]).astype(dtype)
                self.inferred_coef_, self.inferred_intercept_ = self._public(others)
            if learns(self):
                self._keep_relatedness(stop.relatedness)
        self.tie_gap_ = self._gap(self._widen(found.deviations))
        self.objective_ = float(found.values.sum())
        variance = noise_variance(path, stop)
        self.sigma2_ = float(variance[0]) if self._flat_target else variance

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
