"""A table of coefficients: how sure they are, and how they differ from the shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from html import escape
from typing import Any

import numpy as np

from sktie._typing import Array, CovarianceKind, FloatArray
from sktie._validation import as_array
from sktie.inspection._fitted import optional
from sktie.inspection._tables import Span, html_table, text_table
from sktie.linear_model._inference import Estimates, InferenceMixin
from sktie.linear_model._ridge_inference import RidgeInference

#: What the shared centre is called, in the place of a domain.
SHARED = "shared"
#: Decimals of a number at most.
MOST_DECIMALS = 10


@dataclass(frozen=True)
class CoefficientEstimate:
    """One coefficient of a model, how sure it is, and how it differs.

    Attributes
    ----------
    domain : str
        Label of the domain, "shared" for the centre of all; empty without domains.
    output : str
        Class, or target; empty where there is one row of coefficients.
    coefficient : str
        The feature, or "intercept".
    estimate, std_error : float
        The coefficient and its standard error.
    statistic : float
        Their ratio: z, or t for regressions. NaN where the error is 0.
    lower, upper : float
        Its interval.
    deviation : float
        The coefficient less that of the centre, or of a fixed pair; NaN without one.
    """

    domain: str
    output: str
    coefficient: str
    estimate: float
    std_error: float
    statistic: float
    lower: float
    upper: float
    deviation: float


@dataclass(frozen=True)
class CoefSummary:
    """Coefficients of a tied model, how sure they are, and how they differ.

    Print it for a table, or leave it at the end of a notebook's cell. `coef_summary`
    makes it.

    Parameters
    ----------
    title : str
        The model and its strengths.
    rows : tuple
        A row for each coefficient, with the attributes ``domain``, ``output``,
        ``coefficient``, ``estimate``, ``std_error``, ``statistic``, ``lower``,
        ``upper`` and ``deviation``: first those of the shared centre, then those of the
        domains.
    statistic : {"z", "t"}
        What the statistic is called.
    coverage : float
        Probability that an interval holds its coefficient.
    reference : {"shared", "the pair", ""}
        What deviations are from; empty where there are none.

    See Also
    --------
    coef_summary : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedRidge
    >>> rng = np.random.default_rng(0)
    >>> X, site = rng.normal(size=(90, 1)), np.array(["A", "B", "C"])[np.arange(90) % 3]
    >>> y = (1 + (site == "C")) * X[:, 0] + rng.normal(size=90)
    >>> model = TiedRidge(tie=5, store_covariance=True)
    >>> print(model.fit(X, y, sample_domain=site).summary(["C"]))
    TiedRidge: tie=5, alpha=1, 3 domains
    <BLANKLINE>
                                              95 % interval
                 estimate  std. error      t  lower  upper  from shared
    shared
      x0             1.37        0.11  12.34   1.15   1.60
      intercept     -0.01        0.11  -0.11  -0.22   0.20
    C
      x0             1.69        0.19   9.02   1.32   2.06        +0.32
      intercept      0.09        0.17   0.50  -0.26   0.43        +0.10
    """

    title: str
    rows: tuple[CoefficientEstimate, ...]
    statistic: str
    coverage: float
    reference: str

    def to_frame(self) -> Any:
        """Return all numbers of the table.

        Returns
        -------
        pandas.DataFrame
            A row for each coefficient, by domain, output and coefficient.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = optional("pandas", "CoefSummary.to_frame")
        names = [part.name for part in fields(CoefficientEstimate)]
        table = pandas.DataFrame([astuple(row) for row in self.rows], columns=names)
        return table.set_index(names[:3])

    def __str__(self) -> str:
        table = text_table(self._spans(), self._cells("  "))
        return "\n".join([self.title, "", table])

    def _repr_html_(self) -> str:
        table = html_table(self._spans(), self._cells())
        return f"<div><p>{escape(self.title)}</p>{table}</div>"

    def _spans(self) -> list[Span]:
        return [("", 4), (f"{100 * self.coverage:.3g} % interval", 2), ("", 1)][
            : 3 if self.reference else 2
        ]

    def _cells(self, indent: str = "\N{EM SPACE}") -> list[list[str]]:
        head = ["", "estimate", "std. error", self.statistic, "lower", "upper"]
        table, group = [head], ""
        if self.reference:
            head.append(f"from {self.reference}")
        for row in self.rows:
            now = ", ".join(part for part in (row.domain, row.output) if part)
            if now != group:
                table.append([now, *[""] * (len(head) - 1)])
            group = now
            cells = [(indent if group else "") + row.coefficient, *_shown(row)]
            table.append(cells[: len(head)])
        return table


def _shown(row: CoefficientEstimate) -> Iterator[str]:
    """Yield the numbers of a row, to two digits of the standard error."""
    size = row.std_error if row.std_error > 0 else abs(row.estimate)
    digits = 1 - int(np.floor(np.log10(size))) if 0 < size < np.inf else 0
    n = min(max(digits, 0), MOST_DECIMALS)
    for value in (row.estimate, row.std_error):
        yield f"{value:.{n}f}"
    yield "-" if np.isnan(row.statistic) else f"{row.statistic:.2f}"
    for value in (row.lower, row.upper):
        yield f"{value:.{n}f}"
    yield "" if np.isnan(row.deviation) else f"{row.deviation:+.{n}f}"


def coef_summary(
    estimator: Any,
    domains: Any = None,
    *,
    coverage: float = 0.95,
    kind: CovarianceKind = "laplace",
) -> CoefSummary:
    """Tabulate the coefficients of a fitted model, as ``estimator.summary()`` does.

    Parameters
    ----------
    estimator : TiedLogisticRegression or TiedRidge, or the CV of either
        A model fitted with ``store_covariance=True``.
    domains : list of str or int, default=None
        Labels of the domains to show beside the shared centre; None: all.
    coverage : float, default=0.95
        Probability that an interval holds its coefficient, in (0, 1).
    kind : {"laplace", "sandwich"}, default="laplace"
        For classifiers: as in `TiedLogisticRegression.coef_covariance`.

    Returns
    -------
    CoefSummary
        A table; printed as text, shown in notebooks as HTML.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        If the model was fitted with ``store_covariance=False``, or if nothing says what
        a covariance is; for a coverage outside (0, 1).
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    See Also
    --------
    tying_report : What the tie does to each domain.
    compatibility_test : Whether domains differ.

    Notes
    -----
    Estimates are shrunken, by decay and tie, and the errors take both as known. The
    statistic ``estimate / std_error`` orders the coefficients; it is no test of a zero,
    and there are no p-values: for these fit without decay, or use `compatibility_test`.
    Intervals are those of ``coef_interval``, which for classifiers need not have the
    estimate in their middle.

    The rows of other domains count through the tie, so that deviations are smaller than
    those of separate models.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import coef_summary
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X[:, 0] + rng.logistic(size=200) > 0
    >>> model = TiedLogisticRegression(store_covariance=True).fit(X, y)
    >>> print(coef_summary(model))
    TiedLogisticRegression: C=1
    <BLANKLINE>
                                            95 % interval
               estimate  std. error      z  lower  upper
    x0             1.07        0.19   5.63   0.72   1.47
    x1            -0.04        0.15  -0.24  -0.34   0.26
    intercept      0.13        0.16   0.81  -0.18   0.44
    """
    if not isinstance(estimator, (InferenceMixin, RidgeInference)):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; expected a "
            "TiedLogisticRegression, TiedRidge or the CV of either, fitted with "
            "store_covariance=True. Of a pipeline pass the step itself, of a search "
            "its best_estimator_."
        )
    estimator._check_kept()
    regression = isinstance(estimator, RidgeInference)
    tied = hasattr(estimator, "domains_")
    shown = _chosen(estimator, domains)
    options = (coverage,) if regression else (coverage, kind)
    found = estimator._estimates([None, *shown], *options)
    reference, base = "", np.full_like(found[0].estimate, np.nan)
    if tied:
        reference, base = SHARED, found[0].estimate
    elif estimator.pair is not None:
        reference = "the pair"
        base = estimator._curvature["anchor"].reshape(base.shape)
    names = [SHARED, *map(str, shown)] if tied else [""]
    rows: list[CoefficientEstimate] = []
    for name, estimates in zip(names, found, strict=True):
        # The centre differs from itself by nothing to speak of.
        own = np.full_like(base, np.nan) if name == SHARED and tied else base
        rows += _rows(estimator, name, estimates, estimates.estimate - own)
    return CoefSummary(
        title=_title(estimator),
        rows=tuple(rows),
        statistic="t" if regression else "z",
        coverage=float(coverage),
        reference=reference,
    )


def _chosen(estimator: Any, domains: Any) -> list[Any]:
    """Return the labels of the domains to show."""
    if not hasattr(estimator, "domains_"):
        if domains is not None:
            raise ValueError(
                f"domains={domains!r} was given, but the model was fitted without "
                "domains. Leave it out."
            )
        return []
    labels: Array = (
        estimator.domains_ if domains is None else as_array("domains", domains)
    )
    if labels.ndim != 1:
        what = "a word" if isinstance(domains, str) else f"of shape {labels.shape}"
        raise ValueError(
            f"domains={domains!r} is {what}; expected a list of labels. Use "
            f"{np.ravel(labels).tolist()!r}."
        )
    return list(labels.tolist())


def _rows(
    estimator: Any, domain: str, found: Estimates, deviation: FloatArray
) -> Iterator[CoefficientEstimate]:
    """Yield the rows of one domain."""
    parts = [np.atleast_2d(part) for part in (*found, deviation)]
    n_outputs, n_coefs = parts[0].shape
    outputs = [""]
    if n_outputs > 1:
        targets = [f"y{k}" for k in range(n_outputs)]
        outputs = [str(k) for k in getattr(estimator, "classes_", targets)]
    names = coefficient_names(estimator, n_coefs)
    for k, output in enumerate(outputs):
        for j, name in enumerate(names):
            estimate, error, lower, upper, apart = (float(part[k, j]) for part in parts)
            ratio = estimate / error if error > 0 else np.nan
            yield CoefficientEstimate(
                domain, output, name, estimate, error, ratio, lower, upper, apart
            )


def coefficient_names(estimator: Any, n_coefs: int) -> list[str]:
    """Return the names of the coefficients, the intercept last."""
    n_features = estimator.coef_.shape[-1]
    known = getattr(estimator, "coef_feature_names_", None)
    names = [f"x{j}" for j in range(n_features)] if known is None else list(known)
    return [*map(str, names), "intercept"][:n_coefs]


def _title(estimator: Any) -> str:
    parts = []
    if estimator._has_tie:
        tie = np.unique(estimator.tie_)
        shown = f"{tie[0]:.3g}"
        parts.append(f"tie={shown if len(tie) == 1 else f'{shown} to {tie[-1]:.3g}'}")
    for name in ("C_", "alpha_"):
        if hasattr(estimator, name):
            parts.append(f"{name[:-1]}={getattr(estimator, name):.3g}")
    if hasattr(estimator, "domains_"):
        parts.append(f"{len(estimator.domains_)} domains")
    return f"{type(estimator).__name__}: {', '.join(parts)}"
