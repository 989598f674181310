"""How sure a fitted classifier is of its coefficients and of its probabilities."""

from __future__ import annotations

from importlib import import_module
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, ndtri

from sktie._leave_one_out import Survey, row_spreads, survey
from sktie._linalg import TINY, cholesky, lower_inverse
from sktie._loss import ClassLoss, classification_loss, of_classes, probability
from sktie._posterior import Posterior
from sktie._problem import TiedProblem
from sktie._typing import CovarianceKind, FloatArray
from sktie.linear_model._base import TiedLinearModel
from sktie.linear_model._log_odds import log_odds_of
from sktie.solvers import SolverResult, Status

#: Numbers in the Hessians of all domains that are still kept: 1 GiB.
MOST_NUMBERS = 1 << 27
#: Above this variance, relative to that of a coefficient alone, rounding decides.
MOST_INFLATION = 1e12
KINDS = ("laplace", "sandwich")


class Estimates(NamedTuple):
    """Coefficients of a model, the intercept last, with errors and intervals."""

    estimate: FloatArray
    error: FloatArray
    lower: FloatArray
    upper: FloatArray


class InferenceMixin(TiedLinearModel):
    """Covariances and intervals, from what `fit` keeps of the curvature there."""

    def _check_room(self, problem: TiedProblem) -> None:
        """Check, before it is fitted, that what `_keep` keeps is not too large."""
        n_members, n_outputs, n_coefs = problem.coordinates.shape
        n = n_outputs * n_coefs
        if self.store_covariance and n_members * n**2 > MOST_NUMBERS:
            raise ValueError(
                f"store_covariance=True keeps {n_members} x {n} x {n} numbers, one "
                f"for each pair of coefficients of a domain; expected {MOST_NUMBERS} "
                "at most. Select features, or leave store_covariance=False."
            )

    def _keep(
        self, problem: TiedProblem, result: SolverResult, factors: FloatArray | None
    ) -> None:
        """Keep the curvature at the minimum, and how the gradients of rows vary.

        Sample weights are numbers of rows. Weights of classes, ``factors``, are not:
        they change what is minimised, so gradients have them, and their products twice.
        """
        if not self.store_covariance:
            return
        members = problem.members(result.theta)
        weight = problem.rows.weight
        if factors is not None and weight is not None:
            index = of_classes(problem.loss).class_index(problem.rows.y)
            weight = weight * factors[index]
        rows = survey(problem, members)
        hessians, scale, pull, free_hub, mean_decay, _ = problem.system(rows.hessians)
        exists = result.status is not Status.UNBOUNDED
        self._curvature = {
            "hessians": hessians,
            "products": problem.rows.gradient_products(members, weight),
            "scale": scale,
            "weight": pull,
            "free_hub": free_hub,
            "mean_decay": mean_decay,
            "alone": problem.member_hessian,
            "exists": exists,
            "skew": _skew(problem, rows) if exists else np.zeros_like(members),
        }
        if not hasattr(self, "domains_"):
            hub, _ = problem.coordinates.split(result.theta)
            self._curvature["anchor"] = self._widen(problem.loss.expand(hub))

    def coef_covariance(
        self, domain: Any = None, *, kind: CovarianceKind = "laplace"
    ) -> FloatArray:
        r"""Return the covariance of the coefficients, the intercept among them.

        Parameters
        ----------
        domain : str or int, default=None
            A label in ``domains_``. With ``handle_unknown="shared"`` any other label
            is a domain not seen yet. None: the shared centre, the mean over the
            domains; or the only model there is.
        kind : {"laplace", "sandwich"}, default="laplace"
            "laplace" trusts the model: the inverse Hessian of the objective at the
            minimum, the covariance of the parameters given the data in the normal
            approximation that takes decay and tie for the logarithm of a prior.
            "sandwich" trusts the rows to be independent and not the probabilities:
            how much the estimates would vary, by the gradients of the rows.

        Returns
        -------
        ndarray of shape (n, n)
            For the numbers in ``np.column_stack([coef_, intercept_]).ravel()``: the
            coefficients of the first row and its intercept, those of the next, and so
            on. One row for two classes; for more, rows and columns sum to zero over
            the classes, as the coefficients do. No intercepts where
            ``fit_intercept=False``. Has the dtype of ``coef_``.

        Raises
        ------
        ValueError
            If the model was fitted with ``store_covariance=False``; if nothing says
            what the covariance is: for a direction of the coefficients that neither
            rows nor decay determine, and for a domain not seen where coefficients or
            intercept are not tied.

        Notes
        -----
        With K the Hessian over all domains, M the sum over the rows of ``g g'``, and g
        the gradient of the loss of a row, the covariance is the block of the domain in
        ``K^-1`` or in ``K^-1 M K^-1``. The rows of other domains count through the
        tie. Sample weights are numbers of rows.

        Domains not seen differ from the centre as the others do: to the covariance of
        the centre, ``(1 + 1/T) / (2 tie + 1/C)`` is added for each coefficient
        (without ``1/C`` for the intercept, which has its own strength, and where
        ``decay="shared"``); with ties between features, ``1 + 1/T`` times the inverse
        of the matrix in which they stand beside 2 tie and 1/C.

        References
        ----------
        .. [1] D. MacKay (1992). The evidence framework applied to classification
           networks. Neural Computation 4.
        .. [2] H. White (1982). Maximum likelihood estimation of misspecified models.
           Econometrica 50.
        """
        return self._public_covariance(self._covariance(self._place(domain), kind))

    def _public_covariance(self, covariance: FloatArray) -> FloatArray:
        """Return the covariance of classes and features from that of the problem."""
        basis = self._loss().expand(np.eye(self._loss().n_outputs))
        n_outputs = basis.shape[1]
        blocks = covariance.reshape(
            n_outputs, -1, n_outputs, covariance.shape[1] // n_outputs
        )
        rows = np.einsum("ak,kplq,bl->apbq", basis, blocks, basis, optimize=True)
        rows = np.moveaxis(self._widen(np.moveaxis(self._widen(rows), 1, 3)), 3, 1)
        size = rows.shape[0] * rows.shape[1]
        return np.asarray(rows.reshape(size, size).astype(self.coef_.dtype))

    def coef_interval(
        self,
        domain: Any = None,
        coverage: float = 0.95,
        *,
        kind: CovarianceKind = "laplace",
    ) -> tuple[FloatArray, FloatArray]:
        """Return an interval for each coefficient and intercept.

        Parameters
        ----------
        domain : str or int, default=None
            As in `coef_covariance`.
        coverage : float, default=0.95
            Probability that an interval holds its coefficient, in (0, 1).
        kind : {"laplace", "sandwich"}, default="laplace"
            As in `coef_covariance`.

        Returns
        -------
        lower : ndarray of shape (1 or n_classes, n_coefs + 1)
            Lower bounds for ``np.column_stack([coef_, intercept_])``, the intercept
            last; of the shape of ``coef_`` where ``fit_intercept=False``.
        upper : ndarray of shape (1 or n_classes, n_coefs + 1)
            Upper bounds, likewise.

        Raises
        ------
        ValueError
            As `coef_covariance`; or for a coverage outside (0, 1).

        Notes
        -----
        Intervals are normal, a multiple of the standard error to each side. Those of
        "sandwich" have the coefficient in their middle; those of "laplace" the mean of
        its distribution, which is skewed: with few rows it lies further from zero than
        the coefficient, the most probable value. It is known to the first order, from
        the third derivatives of the loss, and is never taken to be more than one
        standard error away.
        """
        (found,) = self._estimates([domain], coverage, kind)
        return found.lower, found.upper

    def _estimates(
        self, domains: list[Any], coverage: float, kind: str
    ) -> list[Estimates]:
        """Return coefficients of some domains, with errors and intervals."""
        multiple = _multiple(coverage)
        places = [self._place(domain) for domain in domains]
        known, skews = self._covariances(kind), self._skews(kind)
        found = []
        for place in places:
            coef, intercept = self.coef_, self.intercept_
            if place is not None and place < len(self.domains_):
                coef, intercept = (
                    self.domain_coef_[place],
                    self.domain_intercept_[place],
                )
            estimate = self._join(coef, intercept)
            centre = estimate + skews[-1 if place is None else place]
            covariance = self._public_covariance(self._covariance(place, kind, known))
            error = np.sqrt(np.maximum(np.diag(covariance), 0)).reshape(centre.shape)
            width = (multiple * error).astype(centre.dtype)
            found.append(Estimates(estimate, error, centre - width, centre + width))
        return found

    def summary(
        self,
        domains: Any = None,
        coverage: float = 0.95,
        *,
        kind: CovarianceKind = "laplace",
    ) -> Any:
        """Return a table of the coefficients, how sure they are, and how they differ.

        Parameters
        ----------
        domains : list of str or int, default=None
            Labels of the domains to show beside the shared centre; None: all.
        coverage : float, default=0.95
            Probability that an interval holds its coefficient, in (0, 1).
        kind : {"laplace", "sandwich"}, default="laplace"
            As in `coef_covariance`.

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
        return reports.coef_summary(self, domains, coverage=coverage, kind=kind)

    def predict_interval(
        self,
        X: Any,
        *,
        sample_domain: Any = None,
        coverage: float = 0.95,
        kind: CovarianceKind = "laplace",
    ) -> tuple[FloatArray, FloatArray]:
        """Return an interval for the probability of each class.

        It holds the probability that the model would give the row, were its parameters
        known: it narrows as data come in, and says nothing about the single outcome.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``. With
            ``handle_unknown="shared"``, domains that `fit` did not see get the centre
            and a width that says how much domains differ.
        coverage : float, default=0.95
            Probability that an interval holds its class probability, in (0, 1).
        kind : {"laplace", "sandwich"}, default="laplace"
            As in `coef_covariance`.

        Returns
        -------
        lower : ndarray of shape (n_samples, n_classes)
            Lower bounds in [0, 1], in the order of ``classes_``; at most what
            `predict_proba` returns.
        upper : ndarray of shape (n_samples, n_classes)
            Upper bounds in [0, 1]; at least that.

        Raises
        ------
        ValueError
            As `coef_covariance`; or for a coverage outside (0, 1).

        Notes
        -----
        The interval is normal on the scale of ``log(p / (1 - p))`` of each class alone,
        with the variance of its linear approximation in the coefficients (the delta
        method, exact for two classes), and is transformed back. Its middle is that of
        `coef_interval`; it is stretched to hold what `predict_proba` returns.

        Examples
        --------
        >>> from sktie import TiedLogisticRegression
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
        >>> model = TiedLogisticRegression(store_covariance=True).fit(X, y)
        >>> lower, upper = model.predict_interval([[3.0]], coverage=0.5)
        >>> print(f"{lower[0, 1]:.2f} to {upper[0, 1]:.2f}")
        0.47 to 0.86
        """
        multiple = _multiple(coverage)
        _check_kind(kind)
        self._check_kept()
        design, members = self._placed(X, sample_domain)
        point = probability(design.predict(members))
        raw = design.predict(members + self._skews(kind)[: len(members)])
        design = self._aggregated(design)
        covariances, mean = self._covariances(kind)
        if hasattr(self, "domains_"):
            unseen = design.bounds[-1] > design.bounds[-2]
            last = self._unseen(mean) if unseen else mean
            covariances = np.concatenate([covariances, last[np.newaxis]])
        log_odds, width = log_odds_of(design, raw, covariances, self._loss())
        width *= multiple
        lower = expit(log_odds - width).astype(point.dtype)
        upper = expit(log_odds + width).astype(point.dtype)
        return np.minimum(lower, point), np.maximum(upper, point)

    def _loss(self) -> ClassLoss:
        return classification_loss(len(self.classes_))

    def _covariance(
        self, place: int | None, kind: str, known: Any = None
    ) -> FloatArray:
        """Return the covariance of a domain's parameters, outputs and not classes."""
        covariances, mean = self._covariances(kind) if known is None else known
        if place is None:
            return mean
        return covariances[place] if place < len(covariances) else self._unseen(mean)

    def _covariances(self, kind: str) -> tuple[FloatArray, FloatArray]:
        """Return the covariances of all domains and of their mean."""
        _check_kind(kind)
        known = self._curvature
        posterior = Posterior(
            known["hessians"],
            known["scale"],
            known["weight"],
            known["free_hub"],
            known["mean_decay"],
            map,
        )
        self._check_determined(posterior)
        if kind == "sandwich":
            return posterior.sandwich(known["products"])
        return posterior.covariances, posterior.mean_covariance

    def _skews(self, kind: str) -> FloatArray:
        """Return where means lie from modes: of the members, and of their mean."""
        skew = self._widen(self._loss().expand(self._curvature["skew"]))
        skew = np.concatenate([skew, skew.mean(axis=0, keepdims=True)])
        skew = skew.astype(self.coef_.dtype)
        return np.asarray(skew if kind == "laplace" else np.zeros_like(skew))

    def _check_determined(self, posterior: Posterior) -> None:
        """Check that rows, decay and tie leave no direction of parameters open.

        A variance times the curvature in that one coefficient is not large: that of a
        domain of which the mean is known, and that of the mean.
        """
        known = self._curvature
        curvature = np.einsum("tjj->tj", known["hessians"])
        strength = np.minimum(_strength(known["weight"], known["scale"]), 1e300)
        own = np.einsum("tjj->tj", posterior.own) * (curvature + strength)
        total = curvature.sum(axis=0) + known["mean_decay"]
        try:
            mean = np.diag(posterior.mean_covariance) * total
            inflation = max(own.max(), np.abs(mean).max())
        except np.linalg.LinAlgError:  # singular to the last digit
            inflation = np.inf
        if inflation > MOST_INFLATION or not known["exists"]:
            raise ValueError(
                "The rows leave some combination of the coefficients open, as those of "
                f"collinear features or separable classes do, and C={self.C_} does not "
                "hold it: it has no variance. Use a finite C."
            )

    def _unseen(self, mean: FloatArray) -> FloatArray:
        """Return the covariance of the parameters of a domain that fit did not see."""
        known = self._curvature
        if not known["weight"].all():
            raise ValueError(
                "A domain that fit did not see has no interval, since nothing was said "
                "about how domains differ: the tie of some coefficient or of the "
                f"intercept is 0 ({self._dial(self.tie_)}). Fit with a positive tie "
                "and a positive tie_intercept."
            )
        # Of (S + P)^-1 with S = weight / scale^2, exact where that is infinite.
        scale, n_domains = known["scale"], len(known["hessians"])
        system = scale[:, np.newaxis] * known["alone"] * scale
        system[np.diag_indices_from(system)] += known["weight"]
        half = lower_inverse(cholesky(system)) * scale
        return np.asarray(mean + (1 + 1 / n_domains) * (half.T @ half))


def _skew(problem: TiedProblem, rows: Survey) -> FloatArray:
    """Return the means of the parameters less their modes, to the first order.

    For a density ``exp(-f)``, K the Hessian of f at its minimum and T its third
    derivatives, that is ``-1/2 K^-1 sum_kl T_kl K^-1_kl``. The third derivatives are
    those of the loss, row by row; no mean is moved by more than a standard error.
    """
    shape, loss = problem.coordinates.shape, problem.loss
    try:
        posterior = problem.posterior(rows.hessians)
        spreads = row_spreads(problem, posterior.covariances)
    except np.linalg.LinAlgError:  # some direction is open: there will be no interval
        return np.zeros(shape)
    basis = loss.expand(np.eye(loss.n_outputs))
    chance = probability(loss.expand(rows.raw.T).T)
    if loss.n_outputs == 1:
        third = spreads[:, 0] * (1 - 2 * chance[:, 1:])
    else:
        of_scores = basis @ spreads @ basis.T
        third = np.einsum("ikk->ik", of_scores)
        third = third - 2 * np.einsum("ikl,il->ik", of_scores, chance)
        third = third @ basis
    third = np.einsum("ikl,il->ik", rows.bend, third)
    totals = problem.rows.row_sums(third).reshape(shape[0], -1)
    skew = -0.5 * posterior.apply(totals)
    deviation = np.sqrt(np.maximum(np.einsum("tjj->tj", posterior.covariances), TINY))
    largest = np.abs(skew / deviation).max(axis=1, keepdims=True, initial=1.0)
    return np.asarray((skew / largest).reshape(shape))


def _strength(weight: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the strength of the tie of each parameter, in [0, inf]."""
    with np.errstate(divide="ignore"):
        return np.asarray(weight / np.square(scale))


def _check_kind(kind: Any) -> None:
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind={kind!r}; expected one of {KINDS}. Use one of them.")


def _multiple(coverage: Any) -> float:
    """Return the number of standard errors of an interval to each side."""
    number = isinstance(coverage, Real) and not isinstance(coverage, (bool, np.bool_))
    if not number or not 0 < coverage < 1:
        raise ValueError(
            f"coverage={coverage!r}; expected a number between 0 and 1, both excluded. "
            "Use 0.95 for intervals of 95 %."
        )
    return -float(ndtri(0.5 * (1.0 - float(coverage))))  # not 1 - 1 near coverage 1
