"""Tied ridge regression at any strengths, from one pass over the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sktie._moments import joined
from sktie._parallel import Workers
from sktie._posterior import Posterior
from sktie._squares import SquaresMinimum, TiedSquares
from sktie._typing import Array, FloatArray, IntArray
from sktie.linear_model._path import NoMinimum
from sktie.linear_model._regressor import RegressionRows
from sktie.linear_model._ridge_axes import PrincipalAxes, principal_axes

#: Numbers that the Gram matrices of all domains may hold: 1 GiB.
MOST_NUMBERS = 1 << 27
#: Numbers of rows in their principal axes that are kept: half a GiB.
MOST_SCORES = 1 << 26
#: Numbers that leaving rows out at several decays at once may take: 32 MiB.
MOST_AT_ONCE = 1 << 22
#: A leverage this near to 1 leaves a prediction to its own row, but for rounding.
ALONE = 1e-9


@dataclass(frozen=True)
class RidgeStop:
    """One setting and the minimum there.

    Attributes
    ----------
    tie, alpha : float
        The setting.
    problem : TiedSquares
        The objective.
    minimum : SquaresMinimum
        The minimum.
    """

    tie: float
    alpha: float
    problem: TiedSquares
    minimum: SquaresMinimum

    @property
    def strength(self) -> FloatArray:
        """Strength of the tie of each coefficient."""
        return np.asarray(self.problem.tie.strength)

    @property
    def n_flat(self) -> int:
        """Directions of the parameters of a target that no penalty holds."""
        return self.problem.n_flat

    def omega(self, chosen: Array) -> float:
        """Return Omega of some of the coefficients."""
        multiple = 2.0 if self.problem.free_hub else 1.0
        apart = self.minimum.deviations[..., chosen]
        return multiple * float(np.square(apart).sum())

    @property
    def progress(self) -> tuple[int, float, float]:
        """Iterations, objective and relative gap, as callbacks are told."""
        return 0, float(self.minimum.values.sum()), 0.0


class RidgePath:
    """Fits of one model to the same rows, for any strengths of tie and decay.

    Parameters
    ----------
    model : TiedRidge
        Has read the rows; ``tie`` and ``alpha`` of its own do not count.
    rows : RegressionRows
        The rows it has read, with what is known of their features.
    crew : Workers
        Threads.
    """

    def __init__(self, model: Any, rows: RegressionRows, crew: Workers) -> None:
        self.model = model
        self.rows = rows
        self.crew = crew
        tie = model._narrowed_tie(rows)
        self._past = model._metric(tie)
        design = rows.design
        self._check_room()
        moments = rows.moments(crew)
        quadratic = rows.dependencies.quadratic(1, design, rows.mean_weight)
        penalty = None
        if quadratic is not None:
            # Ties between features are like rows whose targets are 0.
            n_features = design.n_features
            penalty = quadratic.matrix[:n_features, :n_features]
            moments = replace(moments, gram=moments.gram + penalty)
        self._base = TiedSquares(
            moments=moments,
            tie=tie,
            decay=self._decays(1.0),
            shared_decay=model.decay == "shared" and hasattr(model, "domains_"),
            fit_intercept=design.fit_intercept,
            workers=crew,
            relative=float(np.finfo(design.dtype).eps),
            penalty=penalty,
        )

    @property
    def n_numbers(self) -> int:
        """Numbers that the Hessians of all domains hold."""
        return int(self.rows.design.n_domains * self.rows.design.n_coefs**2)

    def _check_room(self) -> None:
        if self.n_numbers > MOST_NUMBERS:
            design = self.rows.design
            n = design.n_coefs
            raise ValueError(
                f"X has {design.n_features} features in {design.n_domains} domain(s): "
                f"their Gram matrices hold {design.n_domains} x {n} x {n} numbers; "
                f"expected at most {MOST_NUMBERS}. Select features, or reduce them "
                "with PCA or TruncatedSVD."
            )

    @property
    def is_tied(self) -> bool:
        """Whether there is anything to be tied to, so that the tie matters."""
        domains = getattr(self.model, "domains_", None)
        return self.model.pair is not None if domains is None else len(domains) > 1

    @property
    def n_weighed(self) -> float:
        """Sum of the weights of the rows: weights are numbers of rows."""
        return float(self._base.moments.mass.sum())

    def _decays(self, alpha: float) -> FloatArray:
        decay = np.full(self.rows.design.n_coefs, float(alpha))
        decay[self.rows.design.n_features :] = 0.0
        return decay

    def problem(
        self, tie: float, alpha: float, tie_intercept: Any = None
    ) -> TiedSquares:
        """Return the objective at a setting."""
        n_features = self.rows.design.n_features
        strengths = self.model._strengths(n_features, tie, tie_intercept)
        if self._past is None or tie in (0.0, np.inf):
            return self._base.retied(strengths, self._decays(alpha))
        free = self._base.retied(np.zeros_like(strengths), self._decays(alpha))
        moments = joined(free.moments, self._past.moments(tie))
        return replace(free, moments=moments)

    def fit(self, tie: float, alpha: float, tie_intercept: Any = None) -> RidgeStop:
        """Return the fit at a setting; exact, without another look at the rows."""
        problem = self.problem(tie, alpha, tie_intercept)
        return RidgeStop(tie, alpha, problem, problem.solve())

    def store(self, stop: RidgeStop) -> None:
        """Set the fitted attributes of the model."""
        self.model._store_stop(self, stop)

    def keep(self, stop: RidgeStop) -> None:
        """Keep the curvature there, where the model asks for it."""
        self.model._keep(self, stop)

    @staticmethod
    def public(stop: RidgeStop, raw: FloatArray) -> FloatArray:
        """Return raw predictions in the columns that users know: these."""
        return raw

    def without_each_row(self, stop: RidgeStop) -> tuple[FloatArray, IntArray]:
        r"""Return exact leave-one-out predictions, in the design's order.

        Least squares predict by a linear smoother: without its row a residual is
        ``r_i / (1 - h_i)``, with the leverage ``h_i = s_i x_i' K^-1 x_i`` and K the
        Hessian with the row.

        Returns
        -------
        raw : ndarray of shape (n_rows, n_outputs)
            Predictions.
        refitted : ndarray of int
            Rows that took fits of their own: none.

        Raises
        ------
        NoMinimum
            Where a row alone determines some coefficient.
        """
        leverage = self._leverages(stop.problem)
        left = 1.0 - leverage
        if (left < ALONE).any():
            row = int(np.argmin(left))
            where = ""
            if hasattr(self.model, "domains_"):
                label = self.model.domains_[self.rows.domain[row]]
                where = f" of domain {label!s}"
            raise NoMinimum(
                f"a row{where} alone determines some coefficient: without it "
                f"{self.model._dial(stop.tie)} and alpha={stop.alpha:g} have no fit"
            )
        raw = self._fitted(stop)
        raw -= (leverage / left)[:, np.newaxis] * (self.rows.y - raw)
        return raw, np.empty(0, dtype=np.intp)

    def without_each_row_at(
        self, alphas: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return what `without_each_row` would at several decays, all at once.

        Of one model that nothing ties, and where every fit has a minimum of its own by
        far: otherwise None, and fits one by one know why.

        Parameters
        ----------
        alphas : array of shape (n_alphas,)
            Decays, ascending.

        Returns
        -------
        raw : ndarray of shape (n_alphas, n_rows, n_outputs)
            Predictions.
        values : ndarray of shape (n_alphas,)
            The objective of the fits, over all targets.
        """
        size = len(alphas) * self.rows.y.size
        if self.model._has_tie or not self._has_axes or size > MOST_AT_ONCE:
            return None
        found = self._axes.fits(alphas) if alphas[0] > 0 else None
        if found is None:
            return None
        raw, leverage, values = found
        if self.rows.weight is not None:
            leverage *= self.rows.weight
        left = 1.0 - leverage
        if (left < ALONE).any():
            return None
        raw -= (leverage / left)[..., np.newaxis] * (self.rows.y - raw)
        return raw, values

    def _fitted(self, stop: RidgeStop) -> FloatArray:
        """Return the predictions of the fit, in the design's order and in float64."""
        problem, design = stop.problem, self.rows.design
        members = stop.minimum.members
        n_features = design.n_features
        slopes = members[..., :n_features]
        level = np.einsum("tkj,tj->tk", slopes, problem.points)
        if design.fit_intercept:
            level += members[..., -1]
        found = np.empty(self.rows.y.shape)
        for domain, blocks in design.tall_blocks:
            for block in blocks:
                rows = design.features(block) - problem.points[domain]
                found[block.start : block.stop] = rows @ slopes[domain].T
                found[block.start : block.stop] += level[domain]
        return found

    @cached_property
    def _axes(self) -> PrincipalAxes:
        """All rows in their principal axes, for separate fits."""
        return principal_axes(self._base.moments, self.rows.design, self.crew)

    @property
    def _has_axes(self) -> bool:
        """Whether there is room for these."""
        design = self.rows.design
        return bool(design.n_rows * design.n_features <= MOST_SCORES)

    def _leverages(self, problem: TiedSquares) -> FloatArray:
        """Return the share of each row in its own prediction, (n_rows,)."""
        design, weight = self.rows.design, self.rows.weight
        n_features = design.n_features
        masses = problem.moments.mass
        own_rows = problem.moments is self._base.moments
        if problem.apart and own_rows and self._has_axes:
            alpha = float(problem.decay.max(initial=0.0))
            leverages = self._axes.leverages(alpha)
            if leverages is not None:
                return leverages if weight is None else leverages * weight
        found = np.empty(design.n_rows)
        covariances = determined(problem.posterior()).covariances

        def measure(item: tuple[int, list[Any]]) -> None:
            domain, blocks = item
            covariance = covariances[domain]
            slopes = covariance[:n_features, :n_features]
            for block in blocks:
                place = slice(block.start, block.stop)
                rows = design.features(block) - problem.points[domain]
                own = np.einsum("ij,ij->i", rows @ slopes, rows)
                if len(covariance) > n_features:
                    own += 2 * (rows @ covariance[:n_features, -1])
                    own += covariance[-1, -1]
                elif problem.free_intercept:
                    own += 1.0 / masses[domain]
                found[place] = own

        self.crew.map(measure, design.tall_blocks)
        return found if weight is None else found * weight


def determined(posterior: Posterior) -> Posterior:
    """Check that rows and penalties determine all coefficients."""
    if not posterior.is_sound:
        raise NoMinimum(
            "the rows leave some coefficients open, and nothing decays them: features "
            "are collinear or constant; use a positive alpha, or drop features"
        )
    return posterior
