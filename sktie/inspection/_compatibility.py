"""Testing whether one parameter vector is compatible with the rows of all domains."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.stats import chi2
from sklearn.utils import check_random_state

from sktie._design import Design
from sktie._domains import Domains, is_column
from sktie._labels import check_domain_classes
from sktie._parallel import workers
from sktie._typing import Array, FloatArray, RandomState
from sktie._validation import check_parameters
from sktie.inspection._bartlett import excess
from sktie.inspection._equality import (
    BOOTSTRAP,
    LIKELIHOOD_RATIO,
    NOTHING,
    SCORE,
    CompatibilityReport,
    EqualityTest,
    holm,
)
from sktie.inspection._nested import Fit, Hypothesis, Nested
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._graph import check_no_graph
from sktie.linear_model._logistic import TiedLogisticRegression
from sktie.model_selection import TiedLogisticRegressionCV
from sktie.streams._apply import check_at_hand

METHODS = ("auto", "bootstrap")
#: Largest correction that is believed: a factor, either way.
LARGEST_FACTOR = 4.0
#: Likelihood ratios that count as equal: where no maximum exists, they are not exact.
SAME = 1e-4
#: Numbers that the Hessians of all domains may hold.
MOST_NUMBERS = 1 << 27
#: What the tests take from an estimator: which rows, and which coefficients there are.
TAKEN = ("pair", "fit_intercept", "tie_intercept", "unlabeled", "n_jobs")


def compatibility_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    sample_domain: Any = None,
    method: Literal["auto", "bootstrap"] = "auto",
    n_bootstrap: int = 199,
    random_state: RandomState = None,
) -> CompatibilityReport:
    r"""Test whether one parameter vector is compatible with the rows of all domains.

    The hypothesis is that ``tie=inf`` is true: the log-odds of the classes are
    ``x'w + b`` with the same coefficients in every domain; the alternative is
    ``tie=0``. It is tested for all coefficients together, and for each alone, the
    others being free in every domain. Neither tie nor decay count: all fits are those
    of maximum likelihood (``C=inf``).

    Parameters
    ----------
    estimator : TiedLogisticRegression or TiedLogisticRegressionCV
        Says what the domains are (``pair``) and which coefficients there are
        (``fit_intercept``); need not be fitted, and is not changed. The intercept is
        tested like a feature, or, with ``tie_intercept=False`` or 0, is free in every
        domain. ``class_weight`` does not count: it moves the intercepts of all domains
        alike, and likelihoods have none.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows; with a domain column where ``pair`` names one.
    y : array-like of shape (n_samples,)
        Class labels.
    sample_weight : array-like of shape (n_samples,), default=None
        How many rows each row stands for: whole numbers.
    sample_domain : array-like of shape (n_samples,), default=None
        Domain of each row, for ``pair=None``.
    method : {"auto", "bootstrap"}, default="auto"
        What decides: the likelihood ratio where maxima exist (see Notes), or a
        parametric bootstrap of it everywhere.
    n_bootstrap : int, default=199
        Samples of the bootstrap, where one is needed. 0: none, and NaN there.
    random_state : int, RandomState instance or None, default=None
        Of the bootstrap.

    Returns
    -------
    CompatibilityReport
        Likelihood-ratio and score statistics with degrees of freedom and p-values, for
        all coefficients together and for each; text, or ``to_frame()``.

    Raises
    ------
    ValueError
        Where there is nothing to test: no domains or one, a fixed ``pair``, no
        coefficient that two domains have in common; and for weights that count
        nothing.
    TypeError
        If the estimator is another.

    See Also
    --------
    sktie.TiedLogisticRegressionCV : Chooses how strong the tie should be.

    Notes
    -----
    A hypothesis has ``(n_domains - 1) * n_outputs`` degrees of freedom for each
    coefficient, with one output for two classes and ``n_classes - 1`` for more. A
    coefficient that the rows of a domain do not identify (a feature that is constant
    there, or collinear) says nothing there and does not count.

    The likelihood-ratio statistic is on average too large for chi-square, by a share
    of about the number of coefficients over the number of rows. Its mean is known to
    the order 1/n from the cumulants of the score [1]_, and the statistic is divided by
    mean / df: *Bartlett's correction*. The score statistic ``U'K^{-1}U`` is computed
    at the fit under the hypothesis. All of this is for any number of classes.

    Where the classes of a domain are separable its likelihood has no maximum. Then the
    score test decides, which needs a maximum under the hypothesis only; where this is
    lacking too, a parametric bootstrap of the likelihood ratio (which is finite all
    the same) from the fit under the hypothesis. ``method`` and ``reason`` tell.

    A test that does not reject is no proof: with few rows anything is compatible. One
    that rejects says that coefficients differ, not that a tie does not pay. Intercepts
    are compared where all features are 0.

    References
    ----------
    .. [1] D. Lawley (1956). A general method for approximating to the distribution of
       likelihood ratio criteria. Biometrika.
    .. [2] S. Holm (1979). A simple sequentially rejective multiple test procedure.
       Scandinavian Journal of Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import compatibility_test
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 2))
    >>> domain = np.repeat(["north", "south"], 200)
    >>> y = X[:, 0] + (domain == "south") * X[:, 1] + rng.logistic(size=400) > 0
    >>> report = compatibility_test(
    ...     TiedLogisticRegression(), X, y, sample_domain=domain
    ... )
    >>> report.pvalue < 0.05
    True
    >>> for name, p in report.adjusted_pvalues.items():
    ...     print(f"{name} {p:.3f}")
    x0 0.519
    x1 0.000
    intercept 0.669
    """
    model = _model(estimator)
    _check_options(method, n_bootstrap)
    rows = _read(model, X, y, sample_weight, sample_domain)
    rng = check_random_state(random_state)
    with workers(model.n_jobs, rows.design.n_lanes) as crew:
        nested = Nested(model._problem(rows, crew))
        names, tested = _coefficients(model, rows.design.n_features)
        tests = _Tests(nested, model.domains_, method, n_bootstrap, rng)
        overall, *each = tests.run(["all", *names], tested)
    adjusted = holm([row.pvalue for row in each])
    return CompatibilityReport(
        overall,
        tuple(
            replace(row, adjusted_pvalue=pvalue)
            for row, pvalue in zip(each, adjusted, strict=True)
        ),
        model.domains_,
        int(rows.design.n_rows if rows.weight is None else rows.weight.sum()),
    )


class _Tests:
    """Tests of hypotheses about the same rows."""

    def __init__(
        self,
        nested: Nested,
        domains: Array,
        method: str,
        n_bootstrap: int,
        rng: np.random.RandomState,
    ) -> None:
        self.nested = nested
        self.domains = domains
        self.method = method
        self.n_bootstrap = n_bootstrap
        self.rng = rng

    def run(self, names: list[str], tested: Array) -> list[EqualityTest]:
        """Test all coefficients together, then each."""
        nested = self.nested
        shared = nested.hypothesis(tested)
        if shared.df == 0:
            raise ValueError(
                f"No coefficient of {names[1:]} is identified by the rows of two "
                "domains: there is nothing to compare. Drop constant and collinear "
                "features, or gather more rows."
            )
        pooled = nested.fit(shared)
        self.separate = nested.fit(nested.hypothesis(np.zeros_like(tested)), pooled)
        rows = [self._test(names[0], shared, pooled)]
        for name, place in zip(names[1:], np.flatnonzero(tested), strict=True):
            hypothesis = nested.hypothesis(np.arange(len(tested)) == place)
            fit = nested.fit(hypothesis, self.separate)
            rows.append(self._test(name, hypothesis, fit))
        return rows

    def _test(self, name: str, hypothesis: Hypothesis, fit: Fit) -> EqualityTest:
        """Test one hypothesis from the fit under it."""
        df = hypothesis.df
        nan = float("nan")
        if df == 0:
            reason = "fewer than two domains identify the coefficient"
            return EqualityTest(
                name, 0, 0.0, nan, nan, 0.0, nan, nan, nan, NOTHING, reason
            )
        ratio = max(0.0, 2.0 * (fit.value - self.separate.value))
        expected = score = nan
        if fit.exists:
            score = fit.information.score(fit.gradient)
            if self.separate.exists:
                more = excess(self.nested.problem, fit)
                expected = nan if more is None else df + more
        by_ratio = float(chi2.sf(ratio * df / expected, df))
        by_score = float(chi2.sf(score, df))
        method, reason = self._choose(fit, expected / df)
        pvalue = {LIKELIHOOD_RATIO: by_ratio, SCORE: by_score, NOTHING: nan}.get(method)
        if pvalue is None:
            pvalue = self._bootstrap(hypothesis, fit, ratio)
        return EqualityTest(
            name,
            df,
            ratio,
            expected,
            by_ratio,
            score,
            by_score,
            pvalue,
            nan,
            method,
            reason,
        )

    def _choose(self, fit: Fit, factor: float) -> tuple[str, str]:
        """Return what decides, and why if not the likelihood ratio."""
        if self.method == "bootstrap" and self.n_bootstrap:
            return BOOTSTRAP, "asked for by method='bootstrap'"
        if not fit.exists:
            where = self._where(fit)
            if not self.n_bootstrap:
                return NOTHING, f"{where}; n_bootstrap=0"
            return BOOTSTRAP, where
        if not self.separate.exists:
            return SCORE, self._where(self.separate)
        if np.isnan(factor):
            return SCORE, "too many coefficients for Bartlett's correction"
        if not 1 / LARGEST_FACTOR < factor < LARGEST_FACTOR:
            return SCORE, "too few rows for Bartlett's correction"
        return LIKELIHOOD_RATIO, ""

    def _where(self, fit: Fit) -> str:
        """Say where there is no maximum."""
        if len(fit.apart) in (0, len(self.domains)):
            return "the classes are separable: no maximum of the likelihood"
        labels = self.domains[list(fit.apart)].tolist()
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        return (
            f"no maximum of the likelihood in the domains {labels[:3]}{more}, whose "
            "classes are separable"
        )

    def _bootstrap(self, hypothesis: Hypothesis, fit: Fit, ratio: float) -> float:
        """Return the share of samples from a fit whose ratio is as large."""
        free = self.separate.information.hypothesis
        n_larger = 0
        for sample in self.nested.draws(fit, self.n_bootstrap, self.rng):
            null = sample.fit(hypothesis, fit)
            found = 2.0 * (null.value - sample.fit(free, null).value)
            n_larger += found >= ratio - SAME
        return (1 + n_larger) / (1 + self.n_bootstrap)


def _model(estimator: Any) -> TiedLogisticRegression:
    """Return an unfitted model of the same domains and coefficients."""
    if not isinstance(estimator, (TiedLogisticRegression, TiedLogisticRegressionCV)):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; expected a "
            "TiedLogisticRegression or TiedLogisticRegressionCV. Of a pipeline pass "
            "the step itself, and the rows as the steps before have made them."
        )
    model = TiedLogisticRegression(**{name: getattr(estimator, name) for name in TAKEN})
    check_parameters(model, REMEDIES)
    remedy = "The test compares all domains, whichever are tied: leave graph= out."
    check_no_graph(estimator, "compatibility_test", remedy)
    if model.pair is not None and not is_column(model.pair):
        raise ValueError(
            f"pair is a {type(model.pair).__name__}, a fixed model; expected domains, "
            "whose parameters are compared. Name the column of X that holds them by "
            "pair, or use pair=None and pass sample_domain."
        )
    return model


def _check_options(method: Any, n_bootstrap: Any) -> None:
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(
            f"method={method!r}; expected 'auto' or 'bootstrap'. Likelihood ratio and "
            "score are both in the report, whatever decides."
        )
    whole = isinstance(n_bootstrap, Integral) and not isinstance(n_bootstrap, bool)
    if not whole or n_bootstrap < (method == "bootstrap"):
        least = "a positive" if method == "bootstrap" else "a non-negative"
        raise ValueError(
            f"n_bootstrap={n_bootstrap!r}; expected {least} integer. Use 199 for "
            "tests at 5 %, 999 at 1 %."
        )


def _read(
    model: TiedLogisticRegression,
    X: Any,
    y: Any,
    sample_weight: Any,
    sample_domain: Any,
) -> Any:
    """Return the rows that count, as float64."""
    if sample_weight is not None:
        _check_counts(sample_weight)
    check_at_hand(X, "A test of compatibility")
    rows = model._read(X, y, sample_weight, sample_domain, None)
    if not hasattr(model, "domains_") or len(model.domains_) < 2:
        found = "no domains"
        if hasattr(model, "domains_"):
            found = f"one domain, {model.domains_.tolist()[0]!r}"
        raise ValueError(
            f"There is nothing to compare: X has {found}; expected two at least. Name "
            "the column that holds them by pair, or pass sample_domain."
        )
    domains = Domains(model.domains_, rows.domain, "domains_")
    check_domain_classes(domains, rows.y_index, model.classes_, rows.weight, None, "")
    design = rows.design
    n_numbers = design.n_domains * ((len(model.classes_) - 1) * design.n_coefs) ** 2
    if n_numbers > MOST_NUMBERS:
        raise ValueError(
            f"X has {design.n_features} features: the information of "
            f"{design.n_domains} domains would hold {n_numbers:.1e} numbers, and at "
            f"most {MOST_NUMBERS:.1e} are legal. Select or combine features first."
        )
    order = np.arange(design.n_rows) if design.order is None else design.order
    bounds, weight, y_index = design.bounds, rows.weight, rows.y_index
    if weight is not None:
        kept = weight > 0
        bounds = np.concatenate([[0], np.cumsum(kept)])[bounds]
        order, weight, y_index = order[kept], weight[kept].astype(float), y_index[kept]
    X = rows.X.astype(np.float64, copy=False)
    design = Design(
        X, bounds, order=order, skip=design.skip, fit_intercept=design.fit_intercept
    )
    return replace(rows, X=X, y_index=y_index, weight=weight, design=design)


def _check_counts(sample_weight: Any) -> None:
    weight: FloatArray = np.asarray(sample_weight)
    if weight.dtype.kind in "iub" or weight.dtype.kind != "f":
        return  # what is wrong with others is said where they are read
    parts = weight[np.isfinite(weight) & (weight != np.round(weight))]
    if len(parts):
        raise ValueError(
            f"sample_weight holds {parts[0]}; expected whole numbers: how many rows a "
            "row stands for, which the likelihood of all rows needs. Leave weights of "
            "importance out."
        )


def _coefficients(
    model: TiedLogisticRegression, n_features: int
) -> tuple[list[str], Array]:
    """Return the names of the coefficients to test, and which these are."""
    names = list(getattr(model, "coef_feature_names_", ()))
    names = [str(name) for name in names] or [f"x{j}" for j in range(n_features)]
    tested = np.ones(n_features + bool(model.fit_intercept), dtype=bool)
    if model.fit_intercept:
        tested[-1] = bool(model.tie_intercept)
        if tested[-1]:
            names.append("intercept")
    return names, tested
