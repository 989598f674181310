"""One model from separate to shared: coefficients and scores along the tie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.inspection._tied import KINDS, TiedRows, kind_of, tied_rows
from sktie.linear_model._path import NoMinimum, Stop
from sktie.model_selection._holding_out import grid_of_ties
from sktie.model_selection._scores import (
    ROWWISE,
    Scores,
    check_rowwise,
    choose,
    mean_and_error,
)

#: Strengths where none are given: 0, infinity, and three to a decade between.
N_TIES = 24


@dataclass(frozen=True)
class TyingPath:
    """A tied model at many strengths, from separate to shared.

    `tying_path` makes it, and `TyingPathDisplay` draws it.

    Parameters
    ----------
    ties : ndarray of shape (n_ties,)
        Strengths, ascending, with 0 and inf.
    C : float
        Inverse strength of the weight decay of all fits.
    coefs : ndarray of shape (n_ties, n_domains, 1 or n_classes, n_features)
        Coefficients; NaN where a strength could not be fitted. A model that is tied to
        a fixed pair is one domain.
    intercepts : ndarray of shape (n_ties, n_domains, 1 or n_classes)
        Intercepts.
    centre_coefs : ndarray of shape (n_ties, 1 or n_classes, n_features)
        What the coefficients are tied to: their mean over the domains, or the pair.
    centre_intercepts : ndarray of shape (n_ties, 1 or n_classes)
        The same of the intercepts.
    tie_gaps : ndarray of shape (n_ties,)
        Largest absolute deviation of a tied parameter.
    scoring : str, callable or None
        The score; None is "neg_log_loss".
    scores : ndarray of shape (n_ties,)
        Approximate leave-one-out score; NaN where there is none.
    standard_errors : ndarray of shape (n_ties,)
        Its standard error over the rows. NaN for scores that are no means over rows,
        here and in what follows.
    paired_errors : ndarray of shape (n_ties,)
        Standard error of its difference from the best score, row by row: what tells
        two strengths apart, and much smaller.
    domain_scores : ndarray of shape (n_domains, n_ties)
        Mean score of the rows of each domain.
    failures : dict of float to str
        For a strength without a fit or without a score: why.
    classes : ndarray of shape (n_classes,)
        Class labels.
    domains : ndarray of shape (n_domains,) or None
        Labels of the domains; None for a fixed pair.
    feature_names : ndarray of shape (n_features,)
        Names of the features, "x0" and so on where X has none.

    See Also
    --------
    tying_path : Makes it.
    TyingPathDisplay : Draws it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import tying_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> domain = np.arange(200) % 2
    >>> y = X[:, 0] + domain * X[:, 1] + rng.logistic(size=200) > 0
    >>> path = tying_path(TiedLogisticRegression(), X, y, sample_domain=domain)
    >>> path.coefs.shape
    (24, 2, 1, 2)
    >>> bool(path.tie_gaps[0] > path.tie_gaps[-1] == 0)
    True
    """

    ties: FloatArray
    C: float
    coefs: FloatArray
    intercepts: FloatArray
    centre_coefs: FloatArray
    centre_intercepts: FloatArray
    tie_gaps: FloatArray
    scoring: Any
    scores: FloatArray
    standard_errors: FloatArray
    paired_errors: FloatArray
    domain_scores: FloatArray
    failures: dict[float, str]
    classes: Array
    domains: Array | None
    feature_names: Array

    @property
    def best_tie(self) -> float | None:
        """Strength of the best score, the strongest of equals; None without scores."""
        best = _best(self.scores)
        return None if best is None else float(self.ties[best])


def tying_path(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    ties: Any = None,
    scoring: Any = None,
    sample_weight: Any = None,
    sample_domain: Any = None,
) -> TyingPath:
    """Fit a tied model at many strengths, from separate to shared.

    One path of fits, each from where the last one ended. Each fit is scored by
    approximate leave-one-out, as in `TiedLogisticRegressionCV`.

    Parameters
    ----------
    estimator : TiedLogisticRegression or TiedLogisticRegressionCV
        Its parameters count, but for ``tie``; it is not changed. Of an estimator that
        chooses its C the C it has chosen counts, so it must be fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, as for its `fit`.
    y : array-like of shape (n_samples,)
        Class labels.
    ties : int, array-like of float or None, default=None
        Strengths. 0 and infinity are always among them; an integer is their number,
        the others evenly spaced from 1e-3 to 1e4 in logarithm. None is 24, three to a
        decade.
    scoring : str, callable or None, default=None
        "neg_log_loss" (None), "accuracy" or "neg_brier_score", means over rows; or a
        scorer that is called with all rows at once, without sample weights.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights, in the fits and in the scores.
    sample_domain : array-like of shape (n_samples,), default=None
        Domain of each row, where ``pair`` does not name a column.

    Returns
    -------
    TyingPath
        Coefficients and scores of every strength.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        For input that cannot be fitted, if nothing is tied, and if no strength can be
        fitted. A single strength that cannot is told in ``failures``.

    See Also
    --------
    TyingPathDisplay : Draws it.
    tying_report : What tying does at one strength.

    Notes
    -----
    The best score of a path flatters, as does every best of many. A fixed pair must
    come from other rows, or strong ties look better than they are. There is no score
    where the pair is a prior, whose anchor knows all labels, and where members have too
    many coefficients for Hessians.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import tying_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> domain = np.arange(200) % 2
    >>> y = X[:, 0] + domain * X[:, 1] + rng.logistic(size=200) > 0
    >>> path = tying_path(
    ...     TiedLogisticRegression(), X, y, ties=[1, 10], sample_domain=domain
    ... )
    >>> path.ties.tolist()
    [0.0, 1.0, 10.0, inf]
    >>> path.coefs[:, :, 0, 1].round(1).tolist()  # the second feature, of both domains
    [[-0.1, 1.2], [-0.0, 1.1], [0.2, 0.8], [0.5, 0.5]]
    """
    strengths = grid_of_ties(N_TIES if ties is None else ties)
    kind = kind_of(estimator, KINDS[:1])
    with tied_rows(estimator, kind, X, y, sample_weight, sample_domain) as tied:
        walk = _Walk(tied, strengths, scoring)
        for j in range(len(strengths)):
            walk.visit(j)
    if np.isnan(walk.gaps).all():
        reason = next(iter(walk.failures.values()))
        raise ValueError(f"No tie could be fitted. The first failure: {reason}.")
    return walk.path()


class _Walk:
    """Collects what a path passes by."""

    def __init__(self, tied: TiedRows, ties: FloatArray, scoring: Any) -> None:
        self._tied = tied
        self._ties = ties
        self._scoring = scoring
        n_ties, n_domains = len(ties), tied.path.rows.design.n_domains
        classes = tied.model.classes_
        self._scores = Scores(scoring, classes, (1, n_ties), n_domains)
        check_rowwise(scoring)
        self._scores.new_fold()
        self._rowwise = ROWWISE.get(scoring or "neg_log_loss")
        self._rows: dict[int, FloatArray] = {}
        n_outputs = 1 if len(classes) == 2 else len(classes)
        n_coefs = tied.path.rows.dependencies.features.n_features
        n_coefs += bool(tied.model.fit_intercept)
        shape = n_domains + 1, n_outputs, n_coefs
        #: The members, and last what they are tied to.
        self._members = np.full((n_ties, *shape), np.nan)
        self.gaps: FloatArray = np.full(n_ties, np.nan)
        self.failures: dict[float, str] = {}

    def visit(self, j: int) -> None:
        """Fit a strength and score it, or note why not."""
        tie, tied = float(self._ties[j]), self._tied
        try:
            stop = tied.path.fit(tie, float(tied.model.C))
            self._note(j, stop)
            raw = tied.without_each_row(stop)
        except NoMinimum as error:
            self.failures[tie] = str(error)
            return
        self._scores.add((0, j), raw, tied.held)
        if self._rowwise is not None:
            self._rows[j] = self._rowwise(raw, tied.held.y)

    def _note(self, j: int, stop: Stop) -> None:
        coordinates, widen = stop.problem.coordinates, self._tied.model._widen

        def expand(outputs: FloatArray) -> FloatArray:
            return np.asarray(widen(stop.problem.loss.expand(outputs)))

        hub, deviations = coordinates.split(stop.result.theta)
        self._members[j, :-1] = expand(stop.members)
        self._members[j, -1] = expand(hub)
        self.gaps[j] = self._tied.model._gap(expand(coordinates.scale * deviations))

    def _paired_errors(self, scores: FloatArray) -> FloatArray:
        errors: FloatArray = np.full(len(scores), np.nan)
        best = _best(scores)
        if best is not None:
            weight = self._tied.held.weight
            for j, rows in self._rows.items():
                errors[j] = mean_and_error(rows - self._rows[best], weight)[1]
        return errors

    def path(self) -> TyingPath:
        """Return all of it."""
        model, scores = self._tied.model, self._scores
        means = scores.means[0]
        means[np.isneginf(means)] = np.nan
        of_domains = np.full((scores.of_domains.shape[0], len(means)), np.nan)
        if scores.by_row:
            of_domains = np.where(np.isnan(means), np.nan, scores.of_domains[:, 0])
        coefs, intercepts = model._cut(self._members)
        names = getattr(model, "coef_feature_names_", None)
        if names is None:
            names = np.array([f"x{i}" for i in range(coefs.shape[-1])], dtype=object)
        return TyingPath(
            ties=self._ties,
            C=float(model.C),
            coefs=coefs[:, :-1],
            intercepts=intercepts[:, :-1],
            centre_coefs=coefs[:, -1],
            centre_intercepts=intercepts[:, -1],
            tie_gaps=self.gaps,
            scoring=self._scoring,
            scores=means,
            standard_errors=scores.standard_errors[0],
            paired_errors=self._paired_errors(means),
            domain_scores=of_domains,
            failures=self.failures,
            classes=model.classes_,
            domains=getattr(model, "domains_", None),
            feature_names=names,
        )


def _best(scores: FloatArray) -> int | None:
    """Return the place of the best score, or None where there is none."""
    if np.isnan(scores).all():
        return None
    filled = np.where(np.isnan(scores), -np.inf, scores)[np.newaxis]
    return choose(filled, np.zeros_like(filled), False)[1]
