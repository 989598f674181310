"""What all tied regressors of counts read and predict, and how."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import PoissonRegressor
from sklearn.utils import check_array

from sktie._compat import set_glm_loss
from sktie._labels import check_exposure, check_weight
from sktie._parallel import Workers
from sktie._scalar_loss import Poisson
from sktie._typing import FloatArray, IntArray
from sktie._validation import OUT_OF_RANGE, in_range, overflow_noted
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._forms import check_counts
from sktie.linear_model._path import NoMinimum, Path, Stop
from sktie.linear_model._regressor import RegressionRows, TiedLinearRegressor
from sktie.streams._apply import at_hand, by_blocks

#: Appended to scikit-learn's message for a parameter out of range.
POISSON_REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, anything "
    "between for tied ones.",
    "alpha": "Use a number from 0 (no decay) up.",
    "tie_intercept": REMEDIES["tie_intercept"],
    "max_distance": REMEDIES["max_distance"],
    "feature_tie": REMEDIES["feature_tie"],
    "pair": "Use None, a column of X, FrozenEstimator(fitted_regressor), or "
    "(coef, intercept).",
}


class TiedCountRegressor(TiedLinearRegressor):
    """Base of the regressors of counts: ``exposure * exp(x'w_t + b_t)``."""

    __metadata_request__fit: ClassVar = {"sample_exposure": True}
    __metadata_request__predict: ClassVar = {"sample_exposure": True}
    __metadata_request__score: ClassVar = {"sample_exposure": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _check_target(self, y: FloatArray, weight: FloatArray | None) -> None:
        check_counts(y, "y")

    def _check_lone_rows(self, rows: RegressionRows, tie: float) -> None:
        """Check that no domain which is fitted alone would lose its events with a row.

        Its intercept, which nothing holds, would then be minus infinity.
        """
        held = self._has_tie and not hasattr(self, "domains_")
        alone = not self._strengths(1, self._holding(tie)).all()
        if not self.fit_intercept or (held and not alone):
            return
        event = rows.y[:, 0] > 0
        if rows.weight is not None:
            event &= rows.weight > 0
        cell = rows.domain if alone else np.zeros(len(event), dtype=np.intp)
        lone = np.flatnonzero(np.bincount(cell[event]) == 1)
        if len(lone):
            where = ""
            if alone and hasattr(self, "domains_"):
                where = f" of domain {self.domains_[lone[0]]!s}"
            raise NoMinimum(
                f"one row alone{where} holds events; without it {self._dial(tie)} has "
                "no fit"
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

    @by_blocks(lambda self: self._no_numbers())
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
        if exposure is None:
            return rate
        count: FloatArray = in_range(np.multiply, rate, exposure.astype(rate.dtype))
        return count

    @by_blocks(lambda self: self._no_numbers())
    def _log_rate(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the logarithm of what is expected of each row without exposure."""
        log_rate: FloatArray = in_range(self._raw, X, sample_domain)[:, 0]
        return log_rate

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
        log_rate = at_hand(self._log_rate(X, sample_domain=sample_domain))
        raw = log_rate.astype(np.float64)[:, np.newaxis]
        y = check_array(
            at_hand(y),
            ensure_2d=False,
            dtype=np.float64,
            input_name="y",
            estimator=self,
        ).reshape(-1)
        if len(y) != len(raw):
            raise ValueError(
                f"y has {len(y)} rows, but X has {len(raw)}; expected one count for "
                "each row of X."
            )
        check_counts(y, "y")
        weight = check_weight(at_hand(sample_weight), raw)
        exposure = check_exposure(at_hand(sample_exposure), raw)
        loss = Poisson()
        with overflow_noted():
            if exposure is not None:
                y = y / exposure
                weight = exposure if weight is None else weight * exposure
            deviance, _ = loss.value_gradient(y, raw, weight)
            same = np.full_like(raw, loss.start(y, weight))
            null, _ = loss.value_gradient(y, same, weight)
        if not np.isfinite(null + deviance):
            raise ValueError(OUT_OF_RANGE)
        if null == 0:
            return 1.0 if deviance == 0 else 0.0
        return float(1.0 - deviance / null)


class CountPath:
    """Fits of one model to the same rows, for any tie and alpha; see `Path`.

    Parameters
    ----------
    model : TiedPoissonRegressor
        Has read the rows; ``tie`` and ``alpha`` of its own do not count.
    rows : RegressionRows
        Counts, or rates with exposures as weights.
    crew : Workers
        Threads.
    tol : float or None, default=None
        Relative gap at which a fit ends; None is the model's own.
    """

    def __init__(
        self, model: Any, rows: RegressionRows, crew: Workers, tol: float | None = None
    ) -> None:
        self.rows = model._related(rows.weighing_one())
        self._path = Path(model, self.rows, crew, tol)
        self.tol = self._path.tol
        self.is_tied, self.n_numbers = self._path.is_tied, self._path.n_numbers
        self.public, self.store = self._path.public, self._path.store

    def problem(self, tie: Any, alpha: float) -> Any:
        """Return the objective at a setting."""
        return self._path.problem(tie, inverse(alpha))

    def fit(self, tie: float, alpha: float) -> Stop:
        """Return the fit at a setting, from where the last one ended."""
        return self._path.fit(tie, inverse(alpha))

    def keep(self, stop: Stop) -> None:
        """Keep nothing: the model has no covariances."""

    def without_each_row(self, stop: Stop) -> tuple[FloatArray, IntArray]:
        """Return leave-one-out predictions, in the design's order."""
        return self._path.without_each_row(stop)

    def without_each_row_at(self, alphas: FloatArray) -> None:
        """Return nothing; see `Path`."""


def inverse(alpha: float) -> float:
    """Return the C that has the decay alpha."""
    return 1.0 / alpha if alpha > 0 else float(np.inf)


def as_rates(
    y: FloatArray, weight: FloatArray | None, exposure: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return rates, and exposures as their weights."""
    exposures = exposure if y.ndim == 1 else exposure[:, np.newaxis]
    rate: FloatArray = in_range(np.divide, y, exposures)
    return rate, exposure if weight is None else weight * exposure
