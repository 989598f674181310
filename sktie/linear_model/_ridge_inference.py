"""How sure a fitted ridge regression is of its coefficients and predictions."""

from __future__ import annotations

from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import stdtrit

from sktie._tie import ToFixed
from sktie._typing import FloatArray
from sktie._validation import in_range, overflow_noted
from sktie.linear_model._inference import Estimates
from sktie.linear_model._path import NoMinimum
from sktie.linear_model._regressor import TiedLinearRegressor
from sktie.linear_model._ridge_path import RidgePath, RidgeStop, determined


class RidgeInference(TiedLinearRegressor):
    """Covariances and intervals, from what `fit` keeps of the curvature."""

    def _keep(self, path: RidgePath, stop: RidgeStop) -> None:
        """Keep the covariances of all domains and of their mean, for noise of 1."""
        if not self.store_covariance:
            return
        if path.rows.dependencies.shares is not None:
            raise ValueError(
                "store_covariance=True is not available with features that share a "
                "coefficient; expected False. Add up their columns, or use a large "
                "finite feature_tie."
            )
        problem = stop.problem
        try:
            posterior = determined(problem.posterior())
        except NoMinimum as error:
            raise ValueError(
                f"store_covariance=True, but there is no covariance: {error}."
            ) from None
        n_members, n = posterior.n_members, posterior.size
        n_features = path.rows.design.n_features
        members = posterior.covariances
        # Rows of coefficients in the coordinates of the posterior: b = c - point'w.
        rows = np.zeros((n_members, n_features + path.model.fit_intercept, n))
        rows[:, :n_features, :n_features] = np.eye(n_features)
        alone: FloatArray = np.zeros(n_members)
        if path.model.fit_intercept:
            rows[:, n_features, :n_features] = -problem.points
            if problem.free_intercept:
                alone = 1.0 / problem.moments.mass
            else:
                rows[:, n_features, -1] = 1.0
        vectors = np.swapaxes(rows, 0, 1) / n_members
        mean = np.einsum("itj,ktj->ik", vectors, posterior.apply(vectors))
        if path.model.fit_intercept:
            mean[-1, -1] += alone.sum() / n_members**2
        strengths = np.broadcast_to(problem.tie.strength, rows.shape[1:2])
        decay = 0.0 if problem.shared_decay else problem.decay
        self._curvature = {
            "members": members,
            "rows": rows,
            "alone": alone,
            "mean": 0.5 * (mean + mean.T),
            "points": np.array(problem.points),
            "held": 2 * strengths + decay,
            "left": path.n_weighed - problem.n_flat,
        }
        if isinstance(problem.tie.structure, ToFixed):
            self._curvature["anchor"] = problem.tie.structure.target

    def coef_covariance(self, domain: Any = None) -> FloatArray:
        r"""Return the covariance of the coefficients, the intercept among them.

        Parameters
        ----------
        domain : str or int, default=None
            A label in ``domains_``. With ``handle_unknown="shared"`` any other label
            is a domain not seen yet. None: the shared centre, the mean over the
            domains; or the only model there is.

        Returns
        -------
        ndarray of shape (n, n) or (n_targets, n, n)
            For the coefficients and, last, the intercept, where one is fitted. Has the
            dtype of ``coef_``.

        Raises
        ------
        ValueError
            If the model was fitted with ``store_covariance=False``, and for a domain
            not seen where coefficients or intercept are not tied.

        Notes
        -----
        ``sigma2_`` times the block of the domain in the inverse of half the Hessian: in
        the Gaussian model of the penalties, the covariance of the coefficients given
        the rows, and without penalties that of least squares. Domains not seen differ
        from the centre as the others do: ``(1 + 1/T) / (2 tie + alpha)`` is added for
        each coefficient (without ``alpha`` for the intercept, which has its own
        strength, and where ``decay="shared"``).

        References
        ----------
        .. [1] D. MacKay (1992). Bayesian interpolation. Neural Computation.
        """
        unit = self._unit_covariance(self._place(domain))
        variance = np.asarray(self.sigma2_)[..., np.newaxis, np.newaxis]
        return np.asarray((variance * unit).astype(self.coef_.dtype))

    def coef_interval(
        self, domain: Any = None, coverage: float = 0.95
    ) -> tuple[FloatArray, FloatArray]:
        """Return an interval for each coefficient and intercept.

        Parameters
        ----------
        domain : str or int, default=None
            As in `coef_covariance`.
        coverage : float, default=0.95
            Probability that an interval holds its coefficient, in (0, 1).

        Returns
        -------
        lower : ndarray of shape (n,) or (n_targets, n)
            Lower bounds for the coefficients and, last, the intercept: the coefficient
            minus a multiple of its standard error, by Student's t distribution. Those
            of least squares are exact.
        upper : ndarray of shape (n,) or (n_targets, n)
            Upper bounds, likewise.

        Raises
        ------
        ValueError
            As `coef_covariance`; or for a coverage outside (0, 1).
        """
        (found,) = self._estimates([domain], coverage)
        return found.lower, found.upper

    def _estimates(self, domains: list[Any], coverage: float) -> list[Estimates]:
        """Return coefficients of some domains, with errors and intervals."""
        multiple = self._multiple(coverage)
        found = []
        for place in map(self._place, domains):
            coef, intercept = self.coef_, self.intercept_
            if place is not None and place < len(self.domains_):
                coef, intercept = (
                    self.domain_coef_[place],
                    self.domain_intercept_[place],
                )
            estimate = self._join(coef, np.asarray(intercept))
            unit = np.maximum(np.diag(self._unit_covariance(place)), 0)
            error = np.sqrt(np.multiply.outer(np.asarray(self.sigma2_), unit))
            width = (multiple * error).astype(estimate.dtype)
            found.append(Estimates(estimate, error, estimate - width, estimate + width))
        return found

    def summary(self, domains: Any = None, coverage: float = 0.95) -> Any:
        """Return a table of the coefficients, how sure they are, and how they differ.

        Parameters
        ----------
        domains : list of str or int, default=None
            Labels of the domains to show beside the shared centre; None: all.
        coverage : float, default=0.95
            Probability that an interval holds its coefficient, in (0, 1).

        Returns
        -------
        sktie.inspection.CoefSummary
            A table; printed as text, shown in notebooks as HTML.

        Raises
        ------
        ValueError
            As `coef_covariance`; or for a coverage outside (0, 1).
        """
        reports = import_module("sktie.inspection")
        return reports.coef_summary(self, domains, coverage=coverage)

    def predict_interval(
        self,
        X: Any,
        *,
        sample_domain: Any = None,
        coverage: float = 0.95,
        noise: bool = False,
    ) -> tuple[FloatArray, FloatArray]:
        """Return an interval for the expected target of each row, or for the target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``. With
            ``handle_unknown="shared"``, domains that `fit` did not see get the centre
            and a width that says how much domains differ.
        coverage : float, default=0.95
            Probability that an interval holds its target, in (0, 1).
        noise : bool, default=False
            Whether the interval is for the target with its noise (of a row of weight
            1) instead of its expectation.

        Returns
        -------
        lower : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Lower bounds, by Student's t distribution.
        upper : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Upper bounds, likewise.

        Raises
        ------
        ValueError
            As `coef_covariance`; or for a coverage outside (0, 1).

        Examples
        --------
        >>> from sktie import TiedRidge
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.1, 0.9, 2.1, 2.9]
        >>> model = TiedRidge(alpha=0, store_covariance=True).fit(X, y)
        >>> lower, upper = model.predict_interval([[4.0]])
        >>> print(f"{lower[0]:.2f} to {upper[0]:.2f}")
        3.23 to 4.57
        """
        multiple = self._multiple(coverage)
        design, members = self._placed(X, sample_domain)
        predicted = in_range(design.predict, members).astype(np.float64)
        known = self._curvature
        unit = np.empty(len(predicted))
        n_known = len(known["members"])
        for domain, blocks in design.tall_blocks:
            for block in blocks:
                place = design.places(block)
                rows = design.features(block)
                if hasattr(self, "domains_") and domain == n_known:
                    covariance = self._unit_covariance(n_known)
                    rows = self._with_ones(rows)
                    alone = 0.0
                else:
                    covariance, alone = known["members"][domain], known["alone"][domain]
                    rows = rows - known["points"][domain]
                    if covariance.shape[0] > rows.shape[1]:
                        rows = self._with_ones(rows)
                with overflow_noted():  # what comes of it is checked below
                    own = np.einsum("ij,ij->i", rows @ covariance, rows)
                unit[place] = own + alone
        if not isinstance(noise, (bool, np.bool_)):
            raise ValueError(
                f"noise={noise!r}; expected True or False. Use True for new targets, "
                "False for their means."
            )
        variance = np.maximum(unit, 0) + float(noise)
        width = in_range(
            lambda: multiple * np.sqrt(np.multiply.outer(variance, self.sigma2_))
        )
        width = width.reshape(predicted.shape)
        lower = (predicted - width).astype(self.coef_.dtype)
        upper = (predicted + width).astype(self.coef_.dtype)
        if self._flat_target:
            return lower[:, 0], upper[:, 0]
        return lower, upper

    def _with_ones(self, rows: FloatArray) -> FloatArray:
        if not self.fit_intercept:
            return rows
        return np.column_stack([rows, np.ones(len(rows))])

    def _multiple(self, coverage: Any) -> float:
        """Return the number of standard errors of an interval to each side."""
        number = isinstance(coverage, Real) and not isinstance(
            coverage, (bool, np.bool_)
        )
        if not number or not 0 < coverage < 1:
            raise ValueError(
                f"coverage={coverage!r}; expected a number between 0 and 1, both "
                "excluded. Use 0.95 for intervals of 95 %."
            )
        self._check_kept()
        # Not 1 - 1 near coverage 1.
        return -float(stdtrit(self._curvature["left"], 0.5 * (1 - float(coverage))))

    def _unit_covariance(self, place: int | None) -> FloatArray:
        """Return the covariance of coefficients and intercept for noise of 1."""
        known = self._curvature
        if place is None:
            return np.asarray(known["mean"])
        if place < len(known["members"]):
            rows = known["rows"][place]
            found = rows @ known["members"][place] @ rows.T
            if self.fit_intercept:
                found[-1, -1] += known["alone"][place]
            return np.asarray(found)
        if not (known["held"] > 0).all():
            raise ValueError(
                "A domain that fit did not see has no interval, since nothing was said "
                "about how domains differ: the tie of some coefficient or of the "
                f"intercept is 0 ({self._dial(self.tie_)}). Fit with a positive tie "
                "and a positive tie_intercept."
            )
        n_domains = len(known["members"])
        return np.asarray(known["mean"] + np.diag((1 + 1 / n_domains) / known["held"]))
