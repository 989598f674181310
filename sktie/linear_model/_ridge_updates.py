"""Yesterday's ridge regression: its rows come back as the moments they left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.frozen import FrozenEstimator

from sktie._compat import available_if
from sktie._domains import check_columns
from sktie._moments import Moments
from sktie._parallel import workers
from sktie._typing import FloatArray
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._base import REMEDIES as BASE_REMEDIES
from sktie.linear_model._pair import feature_order, last_step
from sktie.linear_model._ridge_inference import RidgeInference
from sktie.linear_model._ridge_path import RidgePath, RidgeStop
from sktie.linear_model._updates import FISHER, check_metric, is_its_own_past
from sktie.streams._apply import in_batches

#: Appended to scikit-learn's message for a parameter out of range.
REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, "
    "anything between for tied ones, and tie='auto' to have it chosen.",
    "alpha": "Use a number from 0 (no decay) up, or 'auto' to have it chosen.",
    "max_distance": "Use a distance from 0, or None for the strength `tie`.",
    "feature_tie": BASE_REMEDIES["feature_tie"],
    "tie_intercept": "Use True (as strong as `tie`), False (free), a strength, or "
    "'auto' to have it chosen.",
    "pair": "Use None, a column of X, FrozenEstimator(fitted_regressor), or "
    "(coef, intercept).",
}


@dataclass(frozen=True)
class Past:
    """What a fitted model knew, as rows that would have told it the same.

    Attributes
    ----------
    mass : float
        Sum of the weights of these rows.
    mean : ndarray of shape (n_features,)
        Means of their features.
    gram : ndarray of shape (n_features, n_features)
        Products about these means, with what decay and tie add.
    coef : ndarray of shape (n_outputs, n_features)
        Coefficients, which leave no residuals.
    intercept : ndarray of shape (n_outputs,)
        Intercepts.
    """

    mass: float
    mean: FloatArray
    gram: FloatArray
    coef: FloatArray
    intercept: FloatArray

    def moments(self, tie: float) -> Moments:
        """Return the moments of these rows, of ``tie`` times their weights."""
        cross = self.gram @ self.coef.T
        square = np.einsum("kj,jk->k", self.coef, cross)
        level = self.intercept + self.coef @ self.mean
        parts = tie * self.mass, self.mean, level, tie * self.gram
        found = (*parts, tie * cross, tie * square)
        return Moments(*(np.asarray(part)[np.newaxis] for part in found))


def past_of(pair: Any, target: FloatArray, fit_intercept: bool, names: Any) -> Past:
    """Return what a fitted model knew that ``pair`` is.

    Parameters
    ----------
    pair : TiedRidge
        As the user gave it; its coefficients have been read and checked.
    target : array of shape (n_outputs, n_coefs)
        These coefficients, in the order of the new model.
    fit_intercept : bool
        Whether the new model has an intercept.
    names : array of shape (n_features,) or None
        Names of its features.
    """
    source, theirs = (pair, None) if isinstance(pair, tuple) else last_step(pair)
    if not isinstance(source, RidgeUpdates):
        plain = isinstance(source, tuple)
        kind = "(coef, intercept)" if plain else f"{type(source).__name__}()"
        raise ValueError(
            f"metric='fisher' with pair={kind}, which keeps no "
            "curvature; expected a TiedRidge. Fit the pair as "
            "TiedRidge(store_covariance=True), which without a pair of its own is "
            "scikit-learn's Ridge, or use metric='identity'."
        )
    if bool(source.fit_intercept) != bool(fit_intercept):
        raise ValueError(
            f"metric='fisher' with fit_intercept={fit_intercept}, but the pair has "
            f"{source.fit_intercept}. Fit both with the same fit_intercept."
        )
    source._check_kept()
    past = source._curvature["past"]
    if past is None:
        raise ValueError(
            f"pair={type(source).__name__}() was fitted with an infinite tie: it has "
            "no curvature that others could add to. Fit it with a finite tie."
        )
    mass, mean, gram = past
    n_features = len(mean)
    order = feature_order(n_features, source, theirs, names)
    slopes = target[:, :n_features]
    base = target[:, n_features] if fit_intercept else np.zeros(len(target))
    return Past(mass, mean[order], gram[np.ix_(order, order)], slopes, base)


class RidgeUpdates(RidgeInference):
    """`partial_fit`: each batch is tied to the model of those before it."""

    def _metric(self, tied: Any) -> Past | None:
        """Return what the pair knew, where that is the metric; None is the identity."""
        check_metric(self)
        if self.metric != FISHER:
            return None
        if self._shares is not None:
            raise ValueError(
                "metric='fisher' with features that share a coefficient is not "
                "available for TiedRidge; expected metric='identity'. Add up the "
                "columns of such features, for the pair too."
            )
        names = getattr(self, "coef_feature_names_", None)
        return past_of(self.pair, tied.structure.target, self.fit_intercept, names)

    def _keep(self, path: RidgePath, stop: RidgeStop) -> None:
        super()._keep(path, stop)
        if self.store_covariance:
            self._curvature["past"] = self._become_past(stop)
            self._curvature["n_weighed"] = path.n_weighed
            self._curvature["values"] = stop.minimum.values

    def _become_past(
        self, stop: RidgeStop
    ) -> tuple[float, FloatArray, FloatArray] | None:
        """Return mass, means and products of rows that know what the fit knows.

        None where an infinite tie to a fixed pair knows more than rows can.
        """
        problem = stop.problem
        n_features = problem.moments.mean.shape[1]
        if problem.free_hub:  # of the centre of domains
            precision = np.linalg.inv(self._curvature["mean"])
            if not self.fit_intercept:
                return 0.0, np.zeros(n_features), precision
            mass = float(precision[-1, -1])
            mean = precision[-1, :-1] / mass
            return mass, mean, precision[:-1, :-1] - mass * np.outer(mean, mean)
        strengths = np.broadcast_to(problem.tie.strength, problem.decay.shape)
        if np.isinf(strengths).any():
            return None
        held = problem.decay + strengths
        gram = problem.moments.gram[0] + np.diag(held[:n_features])
        mass, mean = float(problem.moments.mass[0]), problem.moments.mean[0]
        if not self.fit_intercept:
            return 0.0, mean, gram
        if held[-1] > 0:  # rows at 0, which know the intercept alone
            own = held[-1] * mass / (held[-1] + mass)
            gram = gram + own * np.outer(mean, mean)
            mean = mass / (mass + held[-1]) * mean
            mass += held[-1]
        return mass, mean, gram

    @available_if(is_its_own_past)
    @in_batches
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Update the model by a batch of rows; needs ``store_covariance=True``.

        The first call fits the model to its rows. Each one after that minimises the
        squared residuals of its rows and a tie to the model so far, in the metric of
        its curvature P::

            sum_i s_i (y_i - x_i'w - b)^2 + tie (w - w_before)'P(w - w_before)

        and P becomes the curvature of all this. With ``tie=1`` the model is that of a
        fit to all rows at once, ``sigma2_`` and intervals included; alpha counts once.
        A smaller tie forgets: what was learnt k batches ago counts ``tie^k``, the
        decay included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the batch. Streams and dask collections (see `sktie.streams`) are
            a batch for each of their blocks.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        estimator
            The model itself.

        Raises
        ------
        ValueError
            For input that does not fit the model, which then stays as it was.
        """
        check_parameters(self, REMEDIES)
        first = not hasattr(self, "coef_")
        with unchanged_on_error(self):
            parameters = self.get_params(deep=False)
            if not first:
                check_columns(self, X, reset=False)
                self._check_kept()
                parameters |= {"pair": FrozenEstimator(self), "metric": FISHER}
                parameters["alpha"] = 0.0
            model = type(self)(**parameters)
            rows = model._read(X, y, sample_weight, None)
            with workers(self.n_jobs, rows.design.n_lanes) as crew:
                model._fit_rows(rows, crew)
            if not first:
                self._remember(model)
            model.tie_, model.alpha_ = float(self.tie), float(self.alpha)
            for name in set(vars(model)) - set(parameters):
                setattr(self, name, getattr(model, name))
        return self

    def _remember(self, model: Any) -> None:
        """Add to a model of the last batch what residuals earlier batches left."""
        now, before, tie = model._curvature, self._curvature, float(self.tie)
        n_flat = before["n_weighed"] - before["left"]
        model.objective_ += tie * self.objective_
        now["n_weighed"] += tie * before["n_weighed"]
        now["left"] = now["n_weighed"] - n_flat
        residual = now["values"] + tie * before["values"]
        now["values"] = residual
        variance = residual / now["left"]
        model.sigma2_ = float(variance[0]) if model._flat_target else variance
