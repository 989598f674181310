"""Tests of coefficients that may be equal in all domains, and a report of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from sktie._typing import Array
from sktie.inspection._fitted import optional
from sktie.inspection._tables import html_table, text_table

#: What decides about a hypothesis.
LIKELIHOOD_RATIO, SCORE, BOOTSTRAP, NOTHING = (
    "likelihood ratio",
    "score",
    "bootstrap",
    "none",
)


@dataclass(frozen=True)
class EqualityTest:
    """A test of coefficients that may be the same in all domains.

    Parameters
    ----------
    coefficient : str
        The feature, "intercept", or "all".
    df : int
        Degrees of freedom: how many equations the hypothesis states.
    likelihood_ratio : float
        Twice the log-likelihood ratio.
    expected : float
        Its mean under the hypothesis; NaN where a likelihood has no maximum.
    likelihood_ratio_pvalue : float
        From chi-square with Bartlett's correction, that is of
        ``likelihood_ratio * df / expected``; NaN where a likelihood has no maximum.
    score : float
        The score statistic.
    score_pvalue : float
        From chi-square; NaN where the likelihood under the hypothesis has no maximum.
    pvalue : float
        The one that counts.
    adjusted_pvalue : float
        By Holm, for all coefficients together; NaN for "all".
    method : {"likelihood ratio", "score", "bootstrap", "none"}
        What ``pvalue`` is of.
    reason : str
        Why it is not the likelihood ratio; empty where it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import compatibility_test
    >>> X = np.linspace(-1, 1, 80)[:, np.newaxis]
    >>> domain, y = np.arange(80) % 2, np.sin(50 * X[:, 0]) + X[:, 0] > 0
    >>> report = compatibility_test(
    ...     TiedLogisticRegression(), X, y, sample_domain=domain
    ... )
    >>> report.overall.df, report.overall.method
    (2, 'likelihood ratio')
    """

    coefficient: str
    df: int
    likelihood_ratio: float
    expected: float
    likelihood_ratio_pvalue: float
    score: float
    score_pvalue: float
    pvalue: float
    adjusted_pvalue: float
    method: str
    reason: str

    @property
    def statistic(self) -> float:
        """What ``pvalue`` is computed from, on the scale of chi-square."""
        if self.method == SCORE:
            return self.score
        if self.method == LIKELIHOOD_RATIO:
            return self.likelihood_ratio * self.df / self.expected
        return self.likelihood_ratio


@dataclass(frozen=True)
class CompatibilityReport:
    """Whether one parameter vector is compatible with the rows of all domains.

    Print it for a table, or leave it at the end of a notebook's cell.

    Parameters
    ----------
    overall : EqualityTest
        All tested coefficients together.
    coefficients : tuple of EqualityTest
        Each feature, and the intercept where it is tied, the others being free.
    domains : ndarray of shape (n_domains,)
        Labels of the domains.
    n_samples : int
        Rows that count.

    See Also
    --------
    compatibility_test : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import compatibility_test
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 2))
    >>> domain = np.repeat(["north", "south"], 200)
    >>> y = X[:, 0] + (domain == "south") * X[:, 1] + rng.logistic(size=400) > 0
    >>> print(
    ...     compatibility_test(TiedLogisticRegression(), X, y, sample_domain=domain)
    ... )
               df  statistic  p-value  adjusted  method
    all         3      18.45   0.0004            likelihood ratio
    x0          1       1.27   0.2595    0.5190  likelihood ratio
    x1          1      15.22  <0.0001    0.0003  likelihood ratio
    intercept   1       0.18   0.6692    0.6692  likelihood ratio
    2 domains, 400 rows
    """

    overall: EqualityTest
    coefficients: tuple[EqualityTest, ...]
    domains: Array
    n_samples: int

    @property
    def pvalue(self) -> float:
        """The p-value of all coefficients together."""
        return self.overall.pvalue

    @property
    def pvalues(self) -> dict[str, float]:
        """The p-value of each coefficient, not adjusted."""
        return {row.coefficient: row.pvalue for row in self.coefficients}

    @property
    def adjusted_pvalues(self) -> dict[str, float]:
        """The p-value of each coefficient, adjusted by Holm."""
        return {row.coefficient: row.adjusted_pvalue for row in self.coefficients}

    def to_frame(self) -> Any:
        """Return all tests.

        Returns
        -------
        pandas.DataFrame
            A row for "all" and for each coefficient, a column for each attribute of
            `EqualityTest`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = optional("pandas", "CompatibilityReport.to_frame")
        rows = [{"statistic": row.statistic, **vars(row)} for row in self._rows]
        return pandas.DataFrame(rows).set_index("coefficient")

    def __str__(self) -> str:
        table = text_table([], self._cells(), words=True)
        return "\n".join([table, *self._notes()])

    def _repr_html_(self) -> str:
        ruled = self.coefficients[0].coefficient if self.coefficients else None
        table = html_table([], self._cells(), ruled=ruled, words=True)
        notes = "<br/>".join(escape(note) for note in self._notes())
        return f"<div>{table}<p>{notes}</p></div>"

    @property
    def _rows(self) -> tuple[EqualityTest, ...]:
        return self.overall, *self.coefficients

    def _cells(self) -> list[list[str]]:
        table = [["", "df", "statistic", "p-value", "adjusted", "method"]]
        for row in self._rows:
            numbers = [f"{row.df}", f"{row.statistic:.2f}", _shown(row.pvalue)]
            numbers.append(_shown(row.adjusted_pvalue))
            table.append([row.coefficient, *numbers, row.method])
        return table

    def _notes(self) -> list[str]:
        reasons = dict.fromkeys(
            f"{row.method}: {row.reason}" for row in self._rows if row.reason
        )
        return [f"{len(self.domains)} domains, {self.n_samples} rows", *reasons]


def _shown(pvalue: float) -> str:
    if np.isnan(pvalue):
        return ""
    return "<0.0001" if pvalue < 1e-4 else f"{pvalue:.4f}"


def holm(pvalues: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm; those that are NaN do not count."""
    p = np.asarray(pvalues, dtype=float)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    steps = np.arange(len(order), 0, -1) * p[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]
