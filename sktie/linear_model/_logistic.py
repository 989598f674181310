"""Logistic regression tied to another model, or across domains."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_X_y

from sktie._compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._design import Design, group_rows
from sktie._domains import Domains, read_columns
from sktie._labels import (
    append_unlabeled,
    check_domain_classes,
    encode_sample,
)
from sktie._linalg import TINY
from sktie._loss import Loss, classification_loss
from sktie._parallel import Workers, workers
from sktie._prior import check_unlabeled
from sktie._problem import TiedProblem
from sktie._tie import Tie, ToFixed, ToMean
from sktie._typing import (
    Array,
    Auto,
    ClassWeight,
    Decay,
    HandleUnknown,
    IterationHook,
    MetricName,
    Solver,
)
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._class_rows import ClassRows
from sktie.linear_model._classifier import TiedLinearClassifier
from sktie.linear_model._distance import DISTANCE_TOL
from sktie.linear_model._evidence import AUTO, set_strengths
from sktie.linear_model._graph import (
    components,
    coordinates_of,
    read_relations,
)
from sktie.linear_model._pair import resolve_anchor
from sktie.linear_model._parted import (
    Given,
    PartedRows,
    as_parts,
    is_parted,
    read_parts,
)
from sktie.linear_model._path import Path
from sktie.linear_model._updates import FISHER, UpdateMixin
from sktie.solvers import SOLVERS

#: What an earlier fit may have set and this one need not.
STALE = (
    "domains_",
    "_domain_coef",
    "_domain_intercept",
    "prior_",
    "log_evidence_",
    "_curvature",
    "component_",
    "n_components_",
    "inferred_domains_",
    "inferred_coef_",
    "inferred_intercept_",
    "_domain_relatedness",
)


class TiedLogisticRegression(UpdateMixin, TiedLinearClassifier):
    r"""Logistic regression whose coefficients are tied, from separate to shared.

    Minimises the sum of log-losses, weight decay, and a tie of strength ``tie``::

        sum_t sum_{i in t} s_i loss(y_i, x_i'w_t + b_t)
            + 1/(2C) sum_t |w_t|^2  +  tie/2 Omega(w)

    where t runs over domains (one, unless ``pair`` or ``sample_domain`` names them),
    ``s_i`` are sample weights and Omega depends on ``pair``:

    ========================================  =======================================
    ``pair``                                  Omega
    ========================================  =======================================
    None                                      0: scikit-learn's `LogisticRegression`
    a fitted linear classifier, or a prior    ``|w - w_A|^2``, with ``w_A`` fixed
    a column of X, or ``sample_domain``       ``(2/T) sum_{s<t} |w_s - w_t|^2``
    these, with ``graph``                     ``sum_{s<t} a_st |w_s - w_t|^2``
    these, with ``graph="learned"``           of a covariance that suits: see Notes
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
        - ``FrozenEstimator(fitted)``: a fitted linear classifier with ``coef_``,
          ``intercept_`` and ``classes_``, or a pipeline that ends in one (whose
          coefficients are compared on the scale they were trained on). Classes are
          matched by label, features by name where both models know names. A bare
          fitted classifier works in a direct `fit`; ``clone`` strips it.
        - ``(coef, intercept)``: arrays with the shapes of ``coef_`` and
          ``intercept_``, for the sorted classes. Two rows for two classes are
          reduced to their difference, rows of more are centred over the classes.
        - a prior, such as `KMeansPrior`: cloned and fitted in `fit`, on all rows,
          with a label or without; or ``FrozenEstimator(prior)``, used as it is.
    graph : array-like, sparse matrix, dict, networkx graph, str or None, default=None
        Which domains are related, by weights ``a_st`` of pairs; None: all, equally.

        - array-like or sparse matrix (n_domains, n_domains): symmetric and not
          negative, in the order of ``domains_``; the diagonal does not count. A
          data frame, labelled on both sides, may be in any order.
        - dict ``{(label, label): weight}``, each pair once.
        - a networkx graph of labels, undirected; the attribute "weight" is 1 where
          an edge has none.
        - dict ``{label: parent}``: a nesting, such as hospitals in regions in
          countries. Edges have weight 1.
        - "learned": estimated with the model [7]_, as the covariance of the domains'
          deviations from their mean; see Notes.

        All but matrices may name members without rows: a region, or a domain not seen
        yet. They have no loss and no decay, so that each is the weighted mean of its
        neighbours. Every domain with rows must be named.
    tie : float, dict, array-like of shape (n_coefs,) or "auto", default=1.0
        Strength of the tie in [0, inf], on the scale of ``1/C``. "auto" takes the one
        of the highest evidence: see Notes. A dict gives each coefficient its own, by
        name or position, ``{"age": np.inf, None: 1.0}``; None is the key of the others,
        without which all must be named. ``tie_intercept`` must then be given too.
    C : float or "auto", default=1.0
        Inverse strength of the weight decay, in (0, inf], as in scikit-learn. "auto"
        is as above; both may be "auto".
    max_distance : float or None, default=None
        A constraint in place of ``tie``, which does not count then: minimise the rest
        of the objective subject to ``Omega <= max_distance^2``. Intercepts count in
        Omega with ``tie_intercept=True``; a strength of their own remains a penalty.
        ``tie_`` is the multiplier of ``Omega / 2``: that tie has the same minimum. It
        is 0 where the constraint does not act and infinity for 0.
    metric : {"identity", "fisher"}, default="identity"
        How the distance from a fixed pair is measured: in "fisher" by
        ``(w - w_A)'P(w - w_A)``, intercepts among w, with P the curvature of the
        pair's own objective at ``w_A``, its decay and ties included (elastic weight
        consolidation [6]_, in full and not only the diagonal). ``tie=1`` then counts
        the rows of the pair like those of the fit, and ``C=np.inf`` adds no decay to
        that of the pair, which must have been fitted with ``store_covariance=True``.
    decay : {"each", "shared"}, default="each"
        With domains: decay every ``w_t``, or only once their mean. At ``tie=inf``
        the first equals ``LogisticRegression(C=C/T)``, the second
        ``LogisticRegression(C=C)``; its ``tie=0`` is not quite separate, since the
        mean is decayed, and needs domains that are not separable. To compare
        separate, tied and pooled models, tune C for each.
    tie_intercept : bool or float, default=True
        Whether the intercept is tied too: as strongly as the coefficients (True),
        not at all (False), or with a strength of its own in [0, inf]. It is never
        decayed.
    feature_ties : list, array or sparse matrix, default=None
        Features of one model whose coefficients should be close. A list of groups:
        lists of names or positions, dicts ``{feature: ratio}``, or `FeatureTie` with a
        strength of its own. Or a graph, the symmetric adjacency (n_coefs, n_coefs),
        whose weights are strengths of ``(w_i - w_j)^2 / 2``. Positions are those in
        ``coef_``. See Notes.
    feature_tie : float, default=1.0
        Factor of these strengths in [0, inf], on the scale of ``1/C``; at infinity the
        features are shared.
    feature_shares : list of lists or dicts, default=None
        Features whose coefficients are equal, or in the ratios of a dict such as
        ``{"left": 1, "right": -1}``; one coefficient is stored.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    class_weight : dict, "balanced" or None, default=None
        Factors for the classes, as in scikit-learn, over all domains together.
    unlabeled : int, str or None, default=None
        The label in y of rows that have none, such as -1. Only a prior as ``pair``
        learns from these rows. In a search or cross-validation, use
        ``cv=LabeledSplit()`` of `sktie.model_selection`, or these rows are scored as
        mistakes. None: every label is a class.
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see: raise, or use the centre.
        Members of the graph are seen, with rows or without.
    store_covariance : bool, default=False
        Whether to keep what `coef_covariance`, `coef_interval` and `predict_interval`
        need: two arrays of (n_domains, n, n), with n coefficients for each domain.
    solver : {"auto", "newton-cholesky", "lbfgs", "newton-cg"}, default="auto"
        How to minimise. "auto" chooses by the numbers of rows, features, domains,
        classes and stored entries.
    tol : float, default=1e-8
        Stop when the estimated gap to the minimum, relative to the objective, is at
        most this: half the squared Newton decrement, in the solver's model of the
        curvature. Small problems make a step more, which about squares the gap.
    max_iter : int, default=1000
        Steps of the solver at most.
    warm_start : bool, default=False
        Whether to start from a previous fit of the same classes, domains and features.
    verbose : int, default=0
        Print objective and gap of every iteration if positive, and how far a pass
        over rows in files has come.
    n_jobs : int or None, default=None
        Threads; None uses as many as BLAS may, -1 all cores. No bit depends on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels. Rows of weight zero count as absent.
    coef_ : ndarray of shape (1, n_coefs) or (n_classes, n_coefs)
        Coefficients, one row for two classes; with domains those of the shared
        centre, the mean over the domains. Has the dtype of X (float32 or float64).
        ``n_coefs`` is the number of features, without a domain column.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts that belong to ``coef_``.
    domains_ : ndarray of shape (n_domains,)
        Sorted labels of the domains. Only with domains.
    domain_coef_ : ndarray of shape (n_domains, 1 or n_classes, n_coefs)
        Coefficients of each domain; stored once where ``tie=inf``. Only with domains.
    domain_intercept_ : ndarray of shape (n_domains, 1 or n_classes)
        Intercepts of each domain. Only with domains.
    stored_coef_ : ndarray of shape (1 or n_classes, n_stored)
        The distinct ones of ``coef_``: of shared features that of the first.
    stored_index_, stored_ratio_ : ndarray of shape (n_coefs,)
        Which of them each feature has, and its multiple. Only with shared features.
    component_ : ndarray of shape (n_domains,)
        Number of the part of the graph that each domain is in. Parts are not tied to
        one another: at ``tie=inf`` each shares its own parameters. Only with a graph,
        as all that follows of graphs.
    n_components_ : int
        Number of these parts.
    domain_covariance_ : ndarray of shape (n_domains, n_domains)
        The covariance of the deviations from the mean, of trace 1: S of the Notes. Its
        rows sum to 0. Only with ``graph="learned"``.
    inferred_domains_ : ndarray of shape (n_inferred,)
        Labels of the members without rows that some domain leads to.
    inferred_coef_ : ndarray of shape (n_inferred, 1 or n_classes, n_coefs)
        Their coefficients.
    inferred_intercept_ : ndarray of shape (n_inferred, 1 or n_classes)
        Their intercepts.
    tie_, C_ : float
        The strengths of the fit, given, chosen, or found by ``max_distance``; ``tie_``
        is an array of shape (n_coefs,) where every coefficient has its own.
    log_evidence_ : float
        Log evidence at these, up to a constant: half of ``log(2 pi)`` for each flat
        direction of the prior (for two classes the common intercept, as ``sqrt(T)``
        times the mean; with ``C=inf`` each feature as well). Only where a strength was
        "auto".
    tie_gap_ : float
        Largest absolute deviation of a tied coefficient or intercept from what it
        is tied to, with a graph along an edge; 0 where nothing is tied. Shared features
        are tied to the mean of theirs in the pair.
    objective_ : float
        The objective above at the fitted parameters.
    n_iter_ : int
        Iterations of the solver.
    n_stored_parameters_ : int
        Distinct numbers that the fitted model consists of.
    prior_ : estimator
        The fitted prior. Only with a prior as ``pair``.
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
    FeatureTie : Features tied with a strength of their own.
    tying_penalty : The penalty between two sets of parameters.
    sklearn.linear_model.LogisticRegression : The model without ties.
    sklearn.frozen.FrozenEstimator : Protects a fitted ``pair`` from being cloned.

    Notes
    -----
    Domains may differ in size by any factor and miss classes: with positive ties, a
    finite C and all classes among the rows, the minimum is finite and unique.

    With a fixed pair and decay towards zero the coefficients are pulled to
    ``w_A tie / (tie + 1/C)`` by both together. Coefficients are compared on the scale
    they were trained on: a scaler before this model must be the one before the pair.

    Ties of features add, for every domain and each group of strength s (see
    `FeatureTie`), ``s feature_tie sum_i (w_i - m)^2`` with m the mean of the group; for
    two this is ``s feature_tie/2 (w_1 - w_2)^2``. A shared coefficient is decayed, and
    tied to other models, once for each of its features, as the limit of a strong tie is
    (times squared ratios). ``pair`` then counts by its mean over them, weighted by the
    strengths; the constant distance to it is not part of ``objective_``.

    With ``graph="learned"`` Omega is the least, over S, of ``2/(T-1) tr(U' S^-1 U)``,
    where the rows of U are the deviations ``w_t - mean`` and S is their covariance, on
    the space of deviations, of trace 1 and with no eigenvalue below 0.01/(T-1). What
    domains do together costs little, and what none of them does up to 100 times as
    much as by default. The objective is convex in all parameters and S together, so
    the minimum does not depend on the start. Where all domains are equally related
    (T = 2, or ``tie=inf``) it is the default. Only the directions above that bound are
    stored.

    With a graph, learned or given, what needs the Hessian over all domains is not
    available: "auto", ``store_covariance``, leave-one-out, and the reports of
    `sktie.inspection`. A given one also needs ``decay="each"``. Nestings and other
    trees are solved by elimination, other graphs by conjugate gradients that such an
    elimination prepares (see the page "Domains that a graph relates"). Memory grows
    with the edges and with n_domains times the square of the coefficients of one.

    "auto" maximises Laplace's approximation of the evidence [5]_, the probability of
    the labels under the Gaussian prior that the penalties are; 0 and infinity are
    compared exactly. It favours strong ties where domains have few rows for each
    coefficient. A fixed ``pair`` must come from other rows; priors, whose anchor knows
    the labels, are an error. Without anything to be tied to, ``tie_`` is infinity.

    Dense and CSR input is not copied; CSC is converted, a data frame costs one
    numeric copy. In a pipeline or search, prefer the column: scikit-learn passes
    ``sample_domain`` to few places (see the page "Domains in pipelines").

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.
    .. [2] T. Evgeniou, M. Pontil (2004). Regularized multi-task learning. KDD.
    .. [3] H. Daume III (2007). Frustratingly easy domain adaptation. ACL.
    .. [4] J. Lasserre, C. Bishop, T. Minka (2006). Principled hybrids of generative
       and discriminative models. CVPR.
    .. [5] D. MacKay (1992). Bayesian interpolation. Neural Computation.
    .. [6] J. Kirkpatrick et al. (2017). Overcoming catastrophic forgetting in neural
       networks. PNAS 114.
    .. [7] Y. Zhang, D.-Y. Yeung (2010). A convex formulation for learning task
       relationships in multi-task learning. UAI.

    Examples
    --------
    Two domains, in which one feature matters differently; the last column names them.

    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2))
    >>> domain = np.arange(60) % 2
    >>> y = X[:, 0] + (2 * domain - 1) * X[:, 1] > 0
    >>> X = np.column_stack([X, domain])
    >>> for tie in [0, 1, np.inf]:
    ...     model = TiedLogisticRegression(pair=-1, tie=tie).fit(X, y)
    ...     print(f"{tie:3} {model.tie_gap_:.2f} {model.score(X, y):.2f}")
      0 1.62 1.00
      1 1.03 0.98
    inf 0.00 0.87
    """

    _parameter_constraints: ClassVar[dict[str, list[Any] | str]] = {
        "pair": [None, str, Integral, tuple, HasMethods("fit")],
        "graph": "no_validation",
        "tie": [
            Interval(Real, 0, None, closed="both"),
            StrOptions({AUTO}),
            dict,
            "array-like",
        ],
        # At least what has an inverse.
        "C": [Interval(Real, TINY, None, closed="both"), StrOptions({AUTO})],
        "max_distance": [None, Interval(Real, 0, None, closed="left")],
        "decay": [StrOptions({"each", "shared"})],
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
        "feature_ties": [None, "array-like", "sparse matrix"],
        "feature_tie": [Interval(Real, 0, None, closed="both")],
        "feature_shares": [None, "array-like"],
        "fit_intercept": ["boolean"],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "unlabeled": [None, Integral, str],
        "handle_unknown": [StrOptions({"error", "shared"})],
        "metric": [StrOptions({"identity", FISHER})],
        "store_covariance": ["boolean"],
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
        C: float | Auto = 1.0,
        max_distance: float | None = None,
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
        warm_start: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.pair = pair
        self.graph = graph
        self.tie = tie
        self.C = C
        self.max_distance = max_distance
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
        X_unlabeled: Any = None,
    ) -> TiedLogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, stream, dask collection} of shape \
                (n_samples, n_features)
            Rows; with a domain column where ``pair`` names one. A stream of
            `sktie.streams` stays in its files, and the chunks of a dask array or data
            frame where they are; what is one of these may go with it below.
        y : array-like of shape (n_samples,)
            Class labels, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row. Every
            domain needs some row of positive weight.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.
        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            More rows without labels, each of weight 1, for a prior as ``pair``. Steps
            of a pipeline before this model do not transform them; ``unlabeled`` serves
            there.

        Returns
        -------
        TiedLogisticRegression
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        with unchanged_on_error(self):
            previous = self._coefficients() if self.warm_start else None
            X = as_parts(self, X, labels=True)
            rows: Any
            if is_parted(X):
                given = Given(X, y, sample_weight, sample_domain)
                rows = self._read_parts(given, X_unlabeled)
            else:
                rows = self._read(X, y, sample_weight, sample_domain, X_unlabeled)
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, self.max_iter) as callback,
            ):
                self._fit_rows(rows, crew, previous, callback)
        return self

    def _read_parts(self, given: Given, X_unlabeled: Any) -> PartedRows:
        """Look at training rows that come in blocks."""
        check_unlabeled(self.pair, self.unlabeled, X_unlabeled, given.y)
        rows, domains, self.classes_ = read_parts(self, given, labels=True)
        self._forget(domains)
        graph = read_relations(self)
        rows = rows.depending(self._depend(rows.design.n_features))
        n_outputs = classification_loss(len(self.classes_)).n_outputs
        metric = self._metric(rows.dependencies.features.n_features, n_outputs)
        return replace(rows, graph=graph, metric=metric)

    def _forget(self, domains: Domains | None) -> None:
        """Drop what an earlier fit has set, and set the domains of this one."""
        for name in STALE:
            self.__dict__.pop(name, None)
        if domains is not None:
            self.domains_ = domains.labels

    def _fit_rows(
        self,
        rows: Any,
        crew: Workers,
        previous: Any,
        callback: IterationHook | None,
    ) -> None:
        """Fit the model to rows that it has read."""
        path = Path(self, rows, crew, self._tol())
        set_strengths(self, path)
        self._check_classes(rows, self.tie_)
        problem = path.problem(self.tie_, self.C_)
        self._check_room(problem)
        result = self._solve(problem, previous, callback, path.tol)
        self._keep(problem, result, rows.everything.factors)
        self._warn(result)
        self._store(problem, result)

    def _tol(self) -> float:
        """Return the gap to reach: distances need fits that are more exact."""
        tol = float(self.tol)
        return tol if self.max_distance is None else min(tol, DISTANCE_TOL)

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        sample_domain: Any,
        X_unlabeled: Any,
        classes: Array | None = None,
    ) -> ClassRows:
        """Validate and encode the training rows."""
        X, skip, domains = read_columns(self, X, sample_domain, reset=True)
        X, y = check_X_y(
            X, y, accept_sparse="csr", dtype=[np.float64, np.float32], estimator=self
        )
        check_unlabeled(self.pair, self.unlabeled, X_unlabeled, y)
        self.classes_, everything = encode_sample(
            X, y, sample_weight, self.class_weight, self.unlabeled, classes
        )
        sample = everything.labelled()
        everything = append_unlabeled(self, everything, X_unlabeled)
        X, y_index, weight = sample.X, sample.y_index, sample.weight
        bounds, order = np.array([0, X.shape[0]]), None
        self._forget(domains)
        if domains is not None:
            order, bounds = group_rows(domains.index, len(self.domains_))
        graph = read_relations(self)
        if order is not None:
            y_index = y_index[order]
            weight = None if weight is None else weight[order]
        depend = self._depend(X.shape[1] - (skip is not None))
        X, skip = depend.aggregated(X, skip)
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        n_outputs = classification_loss(len(self.classes_)).n_outputs
        metric = self._metric(depend.features.n_features, n_outputs)
        return ClassRows(X, y_index, weight, design, everything, depend, metric, graph)

    def _check_classes(self, rows: Any, tie: Any) -> None:
        """Check that a tie leaves no domain alone with classes it has not."""
        if not hasattr(self, "domains_"):
            return
        holding = self._holding(tie)
        alone = None if self._strengths(1, holding).all() else self._dial(tie)
        remedy = "a positive tie and a positive tie_intercept"
        domains = Domains(self.domains_, rows.domain, "domains_")
        check_domain_classes(
            domains, rows.y_index, self.classes_, rows.weight, alone, remedy
        )
        if rows.graph is not None and alone is None:
            check_domain_classes(
                components(self, domains),
                rows.y_index,
                self.classes_,
                rows.weight,
                f"graph= of {self.n_components_} components",
                "an edge to a domain of another component",
            )

    def _check_all_classes(self, rows: ClassRows) -> None:
        """Check that rows without any past hold every class."""
        lacking = np.setdiff1d(np.arange(len(self.classes_)), rows.y_index)
        if len(lacking):
            raise ValueError(
                f"The first batch has no row of {self.classes_[lacking].tolist()}, and "
                "its fit no minimum; expected rows of every class. Collect more rows "
                "for the first call; those after it may lack classes."
            )

    def _problem(self, rows: Any, crew: Workers) -> TiedProblem:
        """Return the objective as a problem; a `Path` sets the strengths."""
        design = rows.design
        loss = classification_loss(len(self.classes_))
        shape = (design.n_domains, loss.n_outputs, design.n_coefs)
        return TiedProblem(
            rows.sums(loss, crew),
            # The second derivative of the log-loss is at most 1/2.
            coordinates=coordinates_of(
                self,
                rows.graph,
                self._tie(rows, loss),
                shape,
                design,
                0.5 * rows.most_weight,
            ),
            decay=self._decays(design.n_features, 1.0),
            shared_decay=self.decay == "shared" and hasattr(self, "domains_"),
            quadratic=rows.dependencies.quadratic(
                loss.n_outputs, design, rows.mean_weight
            ),
        )

    def _tie(self, rows: Any, loss: Loss) -> Tie:
        """Return the tie that ``pair`` asks for."""
        n_coefs = rows.design.n_coefs
        features, shares = rows.dependencies.features, rows.dependencies.shares
        strengths = self._strengths(rows.design.n_features, 1.0)
        if hasattr(self, "domains_"):
            return Tie(ToMean(), strengths)
        if self.pair is None:
            return Tie(ToFixed(np.zeros((loss.n_outputs, n_coefs))), strengths)
        names = getattr(self, "coef_feature_names_", None)
        coef, intercept, prior = resolve_anchor(
            self.pair, rows.everything, self.classes_, names
        )
        if prior is not None:
            self.prior_ = prior
        target = loss.reduce(self._join(coef, intercept))
        if rows.metric is not None and rows.metric.narrows:
            target = rows.metric.narrow(target)
        elif shares is not None:
            # Coefficients that are equal go to the mean of theirs, by strength.
            auto = isinstance(self.tie, str)
            tie = 1.0 if auto else self._given_tie(features)
            weight = np.broadcast_to(tie, features.n_features)
            target = shares.narrow(target, weight)
        return Tie(ToFixed(target), strengths)
