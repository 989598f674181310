"""The tie and the decay that make the data most probable: Laplace evidence."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from sktie._prior import find_prior
from sktie._problem import TiedProblem
from sktie._tie import ToFixed
from sktie._typing import FloatArray
from sktie.linear_model._distance import tie_at_distance
from sktie.linear_model._path import NoMinimum, Path

#: What stands for a strength to be chosen.
AUTO = "auto"
#: Standard deviation, in log-odds, of intercepts about what they are tied to, where no
#: tie holds them: their prior must be proper for settings to be comparable.
INTERCEPT_WIDTH = 5.0
#: An end of the dial is taken where its log evidence is within this of the best: less
#: than what Laplace's approximation is off by.
EQUAL = 0.05
#: Where the search begins.
TIES = (0.0, *(10.0**k for k in range(-3, 5)), np.inf)
CS = tuple(10.0**k for k in range(-3, 4))
#: Numbers that the Hessians of all members may hold: half a GiB, and its copies.
MOST_NUMBERS = 1 << 26


def set_strengths(model: Any, path: Path) -> None:
    """Set ``tie_`` and ``C_`` of a model, and ``log_evidence_`` where it chooses.

    Parameters
    ----------
    model : TiedLogisticRegression
        Has read the rows.
    path : Path
        Its fits to these rows.

    Raises
    ------
    ValueError
        Where there is no evidence to maximise.
    """
    wanted = [name for name in ("tie", "C") if isinstance(getattr(model, name), str)]
    asked = " and ".join(f"{name}='auto'" for name in wanted)
    if model.max_distance is not None:
        if wanted:
            raise ValueError(
                f"max_distance={model.max_distance:g} with {asked}; expected numbers "
                "beside it. Use GridSearchCV to choose C, or max_distance=None."
            )
        n_features = path.rows.design.n_features
        model.C_ = float(model.C)
        model.tie_ = tie_at_distance(
            model, lambda tie: path.fit(tie, model.C_), n_features
        )
    elif wanted:
        _check(model, path, asked)
        ties, Cs = TIES, CS
        if "tie" not in wanted:
            ties = (_one_tie(model.tie),)
        elif not path.is_tied:
            ties = (np.inf,)
        if "C" not in wanted:
            Cs = (float(model.C),)
        evidence = Evidence(path)
        model.tie_, model.C_ = evidence.maximise(ties, Cs)
        if not np.isfinite(evidence(model.tie_, model.C_)):
            raise ValueError(
                f"{asked}: the evidence exists for none of {len(evidence.values)} "
                f"settings. The first failure: {evidence.failure} Use numbers for tie "
                "and C, or choose them by TiedLogisticRegressionCV."
            )
        model.log_evidence_ = evidence(model.tie_, model.C_)
    else:
        model.tie_ = model._given_tie(path.rows.dependencies.features)
        model.C_ = float(model.C)


def _one_tie(tie: Any) -> float:
    if not isinstance(tie, Real):
        raise ValueError(
            "C='auto' with a strength of the tie for each coefficient is not offered. "
            "Use one number for tie, tie='auto', or a number for C."
        )
    return float(tie)


def _check(model: Any, path: Path, asked: str) -> None:
    """Check that the evidence is honest, and within reach."""
    prior = find_prior(model.pair)
    if prior is not None:
        raise ValueError(
            f"{asked} with pair={type(prior).__name__}(): its anchor was made with the "
            "labels of these rows, so that they would count twice and favour strong "
            "ties. Use TiedLogisticRegressionCV(cv=5), which makes the anchor anew in "
            "each fold, or numbers."
        )
    flat = model.C != AUTO and np.isinf(model.C)
    if flat and path.rows.dependencies.root is not None:
        raise ValueError(
            f"{asked} with feature_ties needs a decay: without one the prior of the "
            "coefficients is flat in some directions. Use a finite C."
        )
    if path.n_numbers > MOST_NUMBERS:
        raise ValueError(
            f"{asked} needs the Hessians of all domains, {path.n_numbers:.2g} numbers; "
            f"expected at most {MOST_NUMBERS:.2g}. Use TiedLogisticRegressionCV(cv=5), "
            "fewer features, or numbers."
        )


class Evidence:
    r"""Logarithm of the probability of the labels, for any tie and decay.

    The penalties of the objective f are minus the logarithm of a Gaussian prior, but
    for its constant. With P the precision of this prior and K the Hessian of f at its
    minimum, Laplace's approximation is::

        log evidence = -f(minimum) + 1/2 log|P| - 1/2 log|K|

    Parameters
    ----------
    path : Path
        Fits of one model.

    Notes
    -----
    Flat directions of the prior have density 1, and their factor ``sqrt(2 pi)`` is
    left out: they are the common intercept, as the square root of the number of
    domains times the mean, and with ``C=inf`` the coefficients likewise. Intercepts
    have, in the evidence alone, a Gaussian prior of width `INTERCEPT_WIDTH` about what
    they are tied to, besides the tie. Its minimum is fitted as such.

    References
    ----------
    D. MacKay (1992). Bayesian interpolation. Neural Computation.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        problem = path.problem(1.0, 1.0)
        self._extra = 0.0
        if problem.coordinates.tie.strength.any():
            # Of members tied to their mean the precision is twice the strength.
            twice = 2.0 if problem.coordinates.free_hub else 1.0
            self._extra = 1.0 / (twice * INTERCEPT_WIDTH**2)
        self._relative = max(float(path.model.tol), 10 * problem.eps)
        #: All that was evaluated: {(tie, C): log evidence}.
        self.values: dict[tuple[float, float], float] = {}
        #: Why the first setting without evidence has none.
        self.failure = ""

    def __call__(self, tie: float, C: float) -> float:
        """Return the log evidence, -inf where there is none."""
        if (tie, C) not in self.values:
            try:
                value = self._value(tie, C)
            except NoMinimum as error:
                self.failure = self.failure or f"tie={tie:g}, C={C:g}: {error}"
                value = -np.inf
            self.values[tie, C] = value
        return self.values[tie, C]

    def _value(self, tie: float, C: float) -> float:
        path = self._path
        if path.is_tied and not _proper(path.problem(tie, C)):
            raise NoMinimum(
                "nothing keeps the coefficients near what they are tied to, so that "
                "their prior is improper."
            )
        stop = path.fit(tie, C, self._extra)
        problem, posterior = stop.problem, path.posterior(stop)
        decay = np.tile(problem.member_decay, problem.coordinates.shape[1])
        alone = None if problem.quadratic is None else problem.member_hessian
        log_ratio = posterior.log_det_of_prior(decay, alone) - posterior.log_det
        return 0.5 * log_ratio - (stop.result.value - _constant(problem))

    def maximise(
        self, ties: tuple[float, ...], Cs: tuple[float, ...]
    ) -> tuple[float, float]:
        """Return the tie and C of the highest evidence; what is chosen, to 3 digits.

        Parameters
        ----------
        ties, Cs : tuples of float
            Grids, of which the search begins at the best point; a grid of one value
            is that value. A tie of 0 or infinity is only compared.
        """
        best = self._scan(ties, Cs)
        for _ in range(3):
            C = self._refine(best, len(ties) > 1, len(Cs) > 1)[1]
            # At another C another kind of tie may be best.
            before, best = best, self._scan(ties, (C,))
            if _kind(best) == _kind(before):
                break
        tie, C = best
        tie = float(f"{tie:.3g}") if len(ties) > 1 else tie
        return tie, float(f"{C:.3g}") if len(Cs) > 1 else C

    def _scan(self, ties: tuple[float, ...], Cs: tuple[float, ...]) -> Any:
        """Evaluate a grid, up with the ties and down again; return the best so far.

        Of a grid in both directions, every other point, as on a chessboard.
        """
        both = len(ties) > 1 and len(Cs) > 1
        for i, C in enumerate(Cs):
            row = ties[i % 2 :: 2] if both else ties
            for tie in row if i % 2 == 0 else reversed(row):
                self(tie, C)
        return self._best()

    def _best(self) -> tuple[float, float]:
        """Return the best setting; of equal ones an end of the dial, the shared one."""
        top = max(self.values.values())
        # In single precision and for large data values are not known to EQUAL.
        margin = max(EQUAL, self._relative * abs(top)) if np.isfinite(top) else 0.0
        equal = [key for key, value in self.values.items() if value >= top - margin]
        return max(
            equal, key=lambda key: (np.isinf(key[0]), key[0] == 0, self.values[key])
        )

    def _refine(
        self, start: tuple[float, float], free_tie: bool, free_C: bool
    ) -> tuple[float, float]:
        """Search around a setting, two decades to each side; 0 and infinity stay."""
        free = np.array([free_tie and 0 < start[0] < np.inf, free_C])

        def setting(logs: Any) -> tuple[float, float]:
            found = np.array(start)
            found[free] = np.exp(logs)
            return float(found[0]), float(found[1])

        def loss(logs: Any) -> float:
            return -self(*setting(logs))

        centre = np.log(np.array(start)[free])
        decade = np.log(10.0)
        bounds = [(middle - 2 * decade, middle + 2 * decade) for middle in centre]
        if free.sum() == 1:
            minimize_scalar(
                loss,
                bounds=bounds[0],
                method="bounded",
                options={"xatol": 1e-3},
            )
        elif free.all():
            corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
            minimize(
                loss,
                centre,
                method="Nelder-Mead",
                bounds=bounds,
                options={
                    "initial_simplex": centre + 0.3 * decade * corners,
                    "xatol": 1e-2,
                    "fatol": 1e-4,
                },
            )
        return self._best()


def _kind(setting: tuple[float, float]) -> tuple[bool, bool]:
    return setting[0] == 0, bool(np.isinf(setting[0]))


def _proper(problem: TiedProblem) -> bool:
    """Whether tie or decay hold the slopes near what they are tied to."""
    held: FloatArray = problem.coordinates.weight + problem.member_decay
    return bool((held[:, : problem.design.n_features] > 0).all())


def _constant(problem: TiedProblem) -> float:
    """Return what f holds of the penalties of a fixed pair at any parameters.

    Together a decay d and a tie D to ``w_A`` are a Gaussian about ``w_A D/(D + d)`` of
    precision D + d, and ``1/2 |w_A|^2 D d/(D + d)``: the minimum of both.
    """
    coordinates, structure = problem.coordinates, problem.coordinates.tie.structure
    if not isinstance(structure, ToFixed):
        return 0.0
    decay, weight = problem.member_decay, coordinates.weight
    target = structure.target
    if problem.quadratic is not None:
        # With w = w_A + scale u: exact at an infinite tie, where u does not move.
        scale, alone = coordinates.scale.ravel(), problem.member_hessian
        there = target[np.newaxis]
        value = problem.quadratic.value(there)
        value += 0.5 * float(np.sum(decay * np.square(target)))
        force = scale * (problem.quadratic.gradient(there)[0] + decay * target).ravel()
        system = scale[:, np.newaxis] * alone * scale + np.diag(weight.ravel())
        step = np.linalg.lstsq(system, force, rcond=None)[0]
        return value - 0.5 * float(force @ step)
    # D is weight / scale^2; both are exact at infinity.
    both = weight + np.square(coordinates.scale) * decay
    factor = np.divide(weight * decay, both, out=np.zeros_like(both), where=both > 0)
    return 0.5 * float(np.sum(factor * np.square(target)))
