"""Two linear models of different form, with tied coefficients."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import (
    ClassifierTags,
    RegressorTags,
    assert_all_finite,
    check_array,
    check_X_y,
    get_tags,
)
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from sktie._compat import (
    WRAPPER_FRAMES,
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._design import Design, group_rows
from sktie._domains import (
    check_domain_use,
    known_domains,
    read_columns,
)
from sktie._labels import check_weight
from sktie._parallel import Workers, workers
from sktie._persistence import VersionedEstimator
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._scalar_loss import ByDomain
from sktie._tie import Tie, TiedCoordinates, ToMean
from sktie._typing import Array, FloatArray, IntArray, Solver
from sktie._validation import (
    check_parameters,
    in_range,
    score_in_range,
    unchanged_on_error,
)
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._forms import FORMS, Form, fitted, form_of
from sktie.linear_model._solving import fastest, settled
from sktie.linear_model._two_rows import Side, TwoRows, encode_sides, order_domains
from sktie.solvers import SOLVERS, SolverResult, Status
from sktie.streams._apply import check_at_hand

PAIR_REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared vector, anything "
    "between for tied ones.",
    "tie_intercept": REMEDIES["tie_intercept"],
    "pair": "Name the column of X that says which model a row belongs to.",
}


class TiedPair(CallbackSupportMixin, MetaEstimatorMixin, VersionedEstimator):
    r"""Two linear models of different form, whose coefficients are tied.

    Some rows are modelled by ``y_A = f(w_A, x)``, the others by ``y_B = g(w_B, x)``,
    where f and g may differ in loss and link: a binary outcome in one cohort and a
    score in the other, a logistic model here and a squared hinge there. Minimises the
    sum of both estimators' own objectives, each times a factor that brings it to the
    scale of sums over rows, and a tie::

        k_a O_a(w_A, b_A) + k_b O_b(w_B, b_B) + tie/2 |w_A - w_B|^2

    ==============================  ===============  ===================================
    estimator                       factor k         k O, with weights s
    ==============================  ===============  ===================================
    `LogisticRegression`            ``1 / C``        ``sum s log(1 + exp(-y f))
                                                     + 1/(2C) |w|^2``
    `LinearSVC` (squared hinge)     ``1 / C``        ``sum s max(0, 1 - y f)^2
                                                     + 1/(2C) (|w|^2 + b^2)``
    `Ridge`                         ``1 / 2``        ``sum s (y - f)^2 / 2
                                                     + alpha/2 |w|^2``
    `PoissonRegressor`              ``sum s``        ``sum s deviance(y, exp(f)) / 2
                                                     + alpha/2 sum s |w|^2``
    ==============================  ===============  ===================================

    with ``f = x'w + b`` and classes as ``y = -1, +1``. So a row counts as its negative
    log-likelihood, that of Ridge with unit variance, and ``tie`` is on the scale of
    ``1/C`` and of Ridge's ``alpha``. ``tie=0`` gives the fits of both estimators alone,
    ``tie=inf`` one shared vector of coefficients, exactly.

    Parameters
    ----------
    a, b : estimator
        Unfitted `LogisticRegression`, `LinearSVC`, `Ridge` or `PoissonRegressor`, or
        two of one kind. They name loss, decay (``C`` or ``alpha``), ``class_weight``
        and ``fit_intercept``, which must be equal in both. Their solvers are not used.
    pair : str, int or None, default=None
        Name or position of the column of X that says which model a row belongs to; it
        is no feature. None: `fit` gets ``sample_domain``.
    domains : list of two labels or None, default=None
        The label of the rows of ``a`` and that of the rows of ``b``. None: in sorted
        order.
    tie : float, default=1.0
        Strength of the tie in [0, inf].
    tie_intercept : bool or float, default=False
        Whether the intercepts are tied too: not at all (False: log-odds and means are
        no quantities that should agree), as strongly as the coefficients (True), or
        with a strength of their own in [0, inf].
    solver : {"auto", "newton-cholesky", "lbfgs", "newton-cg"}, default="auto"
        How to minimise, both together.
    tol : float, default=1e-8
        As in `TiedLogisticRegression`.
    max_iter : int, default=1000
        Steps of the solver at most.
    n_jobs : int or None, default=None
        Threads; None uses as many as BLAS may, -1 all cores. No bit depends on it.

    Attributes
    ----------
    estimators_ : list of two estimators
        Fitted clones of ``a`` and ``b``, for rows without the domain column: plain
        estimators of scikit-learn.
    coef_ : ndarray of shape (2, n_coefs)
        Coefficients of both. ``n_coefs`` is the number of features.
    intercept_ : ndarray of shape (2,)
        Intercepts of both.
    domains_ : ndarray of shape (2,)
        Labels of the rows of ``a`` and of ``b``.
    classes_ : ndarray of shape (n_classes,)
        Class labels of both. Only where both are classifiers.
    objective_ : float
        The objective above at the fitted parameters.
    tie_gap_ : float
        Largest absolute deviation of a coefficient, or a tied intercept, from the mean
        of both.
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
    TiedLogisticRegression : Any number of models of one form.
    tying_penalty : The penalty between two sets of parameters.

    Notes
    -----
    Coefficients are comparable where the raw predictions are: bring a score to a scale
    on which it varies by about as much as the log-odds do. Where one of the models
    predicts numbers, the classes of the other are numbers too, such as 0 and 1.

    The model counts as a classifier (regressor) for scikit-learn where both estimators
    are; a mixed pair is neither. Splitters do not know of domains: stratify by them.

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.

    Examples
    --------
    A binary outcome in one cohort, a score in the other, and one set of causes.

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression, Ridge
    >>> from sktie import TiedPair
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(80, 3))
    >>> cohort = np.repeat(["clinic", "survey"], 40)
    >>> severity = X @ [1.0, -1.0, 0.0] + rng.normal(size=80)
    >>> y = np.where(cohort == "clinic", severity > 0, severity)
    >>> model = TiedPair(LogisticRegression(), Ridge(), tie=10.0)
    >>> model = model.fit(X, y, sample_domain=cohort)
    >>> model.coef_.round(1)
    array([[ 1. , -0.9,  0.3],
           [ 1. , -1. ,  0.2]])
    >>> model.estimators_[0].predict_proba(X[:1]).shape
    (1, 2)
    """

    __metadata_request__fit: ClassVar = {"sample_domain": True}
    __metadata_request__predict: ClassVar = {"sample_domain": True}
    __metadata_request__score: ClassVar = {"sample_domain": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "a": [HasMethods("fit")],
        "b": [HasMethods("fit")],
        "pair": [None, str, Integral],
        "domains": [None, "array-like"],
        "tie": [Interval(Real, 0, None, closed="both")],
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        a: Any,
        b: Any,
        *,
        pair: str | int | None = None,
        domains: Any = None,
        tie: float = 1.0,
        tie_intercept: bool | float = False,
        solver: Solver = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        n_jobs: int | None = None,
    ) -> None:
        self.a = a
        self.b = b
        self.pair = pair
        self.domains = domains
        self.tie = tie
        self.tie_intercept = tie_intercept
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        both = [get_tags(estimator) for estimator in (self.a, self.b)]
        kinds = {own.estimator_type for own in both}
        if kinds == {"classifier"}:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags(multi_class=False)
        elif kinds == {"regressor"}:
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
        tags.target_tags.required = True
        tags.target_tags.positive_only = any(
            own.target_tags.positive_only for own in both
        )
        tags.input_tags.sparse = True
        return tags

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> TiedPair:
        """Fit both models together.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of both models; with the column that ``pair`` names.
        y : array-like of shape (n_samples,)
            Targets of both, in one column: numbers, or the labels of two classifiers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row.
        sample_domain : array-like of shape (n_samples,), default=None
            Which model each row belongs to, for ``pair=None``: two labels.

        Returns
        -------
        TiedPair
            The fitted model itself.
        """
        check_parameters(self, PAIR_REMEDIES)
        check_at_hand(X, type(self).__name__)
        with unchanged_on_error(self):
            forms = self._forms()
            rows = self._read(forms, X, y, sample_weight, sample_domain)
            with (
                workers(self.n_jobs, rows.design.n_lanes) as crew,
                fit_callbacks(self, X, y, self.max_iter) as callback,
            ):
                problem = self._problem(forms, rows, crew)
                name = fastest(problem) if self.solver == "auto" else self.solver
                start, tol = problem.origin(), float(self.tol)
                result = SOLVERS[name](
                    problem, start, tol=tol, max_iter=self.max_iter, hook=callback
                )
            result = settled(problem, result)
            self._warn(result)
            self._store(problem, result, rows.classes)
        return self

    def _forms(self) -> tuple[Form, Form]:
        """Return the forms of both estimators, which must suit one another."""
        forms = form_of("a", self.a), form_of("b", self.b)
        if self.a.fit_intercept != self.b.fit_intercept:
            raise ValueError(
                f"a has fit_intercept={self.a.fit_intercept}, b has "
                f"fit_intercept={self.b.fit_intercept}; expected the same in both. Set "
                "it to True in both: tie_intercept=False lets each have its own."
            )
        return forms

    def _read(
        self,
        forms: tuple[Form, Form],
        X: Any,
        y: Any,
        sample_weight: Any,
        sample_domain: Any,
    ) -> TwoRows:
        """Validate and encode the training rows."""
        X, skip, domains = read_columns(self, X, sample_domain, reset=True)
        numeric = not all(form.is_classifier for form in forms)
        X, y = check_X_y(
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            y_numeric=numeric,
            ensure_min_samples=2,
            estimator=self,
        )
        if numeric and y.dtype.kind not in "biuf":
            raise ValueError(
                f"y holds labels of dtype {y.dtype}, but one of the models predicts "
                "numbers; expected one column of numbers. Write the classes of the "
                "other model as numbers too, such as 0 and 1."
            )
        if numeric:
            assert_all_finite(y, input_name="y")  # None became NaN
        weight = check_weight(sample_weight, X)
        self.domains_, index = order_domains(domains, self.domains)
        order, bounds = group_rows(index, 2)
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.a.fit_intercept
        )
        sides = tuple(map(Side, (self.a, self.b), forms, self.domains_))
        loose = None
        if design.fit_intercept and self._strengths(1)[-1] == 0:
            loose = f"tie={self.tie} with tie_intercept={self.tie_intercept}"
        return encode_sides(sides, y, weight, design, loose)

    def _strengths(self, n_features: int) -> FloatArray:
        """Return the strength of each coefficient's tie, the intercept's last."""
        strengths = np.full(n_features + bool(self.a.fit_intercept), float(self.tie))
        own = not isinstance(self.tie_intercept, (bool, np.bool_))
        if self.a.fit_intercept and (own or not self.tie_intercept):
            strengths[-1] = float(self.tie_intercept)
        return strengths

    def _problem(
        self, forms: tuple[Form, Form], rows: TwoRows, crew: Workers
    ) -> TiedProblem:
        """Return the objective as a problem."""
        design = rows.design
        tie = Tie(ToMean(), self._strengths(design.n_features))
        return TiedProblem(
            RowSums(
                design,
                ByDomain(*(form.loss for form in forms)),
                rows.y,
                rows.weight,
                crew,
            ),
            coordinates=TiedCoordinates(tie, (2, 1, design.n_coefs)),
            decay=rows.decay,
            shared_decay=False,
        )

    def _warn(self, result: SolverResult) -> None:
        """Warn where the result is no minimum."""
        if result.status.success or result.gap <= self.tol:
            return
        found = (
            f"the relative gap to the minimum is about {result.gap:.1e}, above "
            f"tol={self.tol}. Increase max_iter (now {self.max_iter}), scale the "
            "features (StandardScaler), or choose another solver."
        )
        if result.status is Status.UNBOUNDED:
            found = (
                "classes are separable and nothing holds the coefficients back, so "
                "that no minimum exists. Use a finite C."
            )
        warnings.warn(
            f"TiedPair stopped after {result.n_iter} iterations: {found}",
            ConvergenceWarning,
            stacklevel=3 + WRAPPER_FRAMES,
        )

    def _store(
        self, problem: TiedProblem, result: SolverResult, classes: list[Array | None]
    ) -> None:
        """Set the fitted attributes."""
        coordinates, design = problem.coordinates, problem.design
        members = problem.members(result.theta)[:, 0].astype(design.dtype)
        p, strength = design.n_features, coordinates.tie.strength
        self.coef_ = members[:, :p].copy()
        self.intercept_ = np.zeros(2, design.dtype)
        if design.fit_intercept:
            self.intercept_ = members[:, p].copy()
        _, deviations = coordinates.split(result.theta)
        apart = (coordinates.scale * deviations)[:, 0, : p + bool(self.tie_intercept)]
        self.tie_gap_ = float(np.abs(apart).max(initial=0.0))
        self.objective_ = result.value
        self.n_iter_ = result.n_iter
        self.n_stored_parameters_ = int(2 * strength.size - np.isinf(strength).sum())
        names = getattr(self, "coef_feature_names_", None)
        self.estimators_ = [
            fitted(
                estimator, self.coef_[k].copy(), self.intercept_[k], classes[k], names
            )
            for k, estimator in enumerate((self.a, self.b))
        ]
        self.__dict__.pop("classes_", None)
        known = [labels for labels in classes if labels is not None]
        if len(known) == 2:
            self.classes_ = np.unique(np.concatenate(known))

    def predict(self, X: Any, *, sample_domain: Any = None) -> Array:
        """Return what the model of each row predicts: a class, a mean or a rate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Which model each row belongs to, for a model fitted with it.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions.
        """
        return self._predicted(X, sample_domain)[0]

    def _predicted(self, X: Any, sample_domain: Any) -> tuple[Array, IntArray]:
        """Return predictions, and 0 or 1 for each row."""
        check_is_fitted(self)
        X, skip, domains = read_columns(self, X, sample_domain, reset=False)
        X = check_array(
            X, accept_sparse="csr", dtype=[np.float64, self.coef_.dtype], estimator=self
        )
        check_domain_use(self, domains)
        assert domains is not None
        place = np.argsort(self.domains_)
        index = place[known_domains(domains, self.domains_[place], "Drop these rows.")]
        order, bounds = group_rows(index, 2)
        members, fit_intercept = self.coef_, self.estimators_[0].fit_intercept
        if fit_intercept:
            members = np.column_stack([members, self.intercept_])
        design = Design(X, bounds, order=order, skip=skip, fit_intercept=fit_intercept)
        raw = in_range(design.predict, members[:, np.newaxis])[:, 0]
        classes = [getattr(own, "classes_", None) for own in self.estimators_]
        kinds = [raw.dtype if own is None else own.dtype for own in classes]
        found = np.empty(len(raw), np.result_type(*kinds))
        for k, estimator in enumerate(self.estimators_):
            own = index == k
            found[own] = FORMS[type(estimator)].predict(raw[own], classes[k])
        return found, index

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> float:
        """Return the mean of both models' own scores, weighted by their rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        y : array-like of shape (n_samples,)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Which model each row belongs to, for a model fitted with it.

        Returns
        -------
        float
            At most 1. A model's own score is that of its estimator: accuracy, R^2 or
            D^2, on its rows alone.
        """
        predicted, index = self._predicted(X, sample_domain)
        y = column_or_1d(y)
        check_consistent_length(y, predicted)
        weight = check_weight(sample_weight, np.empty((len(y), 1)))
        weight = np.ones(len(y)) if weight is None else weight
        total = 0.0
        for k, estimator in enumerate(self.estimators_):
            own = index == k
            if weight[own].sum() > 0:
                form = FORMS[type(estimator)]
                held = y[own], predicted[own], weight[own]
                score = score_in_range(form.score, *held)
                total += float(weight[own].sum()) * score
        return total / float(weight.sum())
