"""The strengths that make the targets most probable: exact evidence of ridge."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sktie._typing import FloatArray
from sktie.linear_model._distance import tie_at_distance
from sktie.linear_model._evidence import AUTO
from sktie.linear_model._path import NoMinimum
from sktie.linear_model._ridge_path import RidgePath, RidgeStop, determined

#: Where the search begins: strengths relative to the mean square of a feature, which
#: is 1 for the intercept.
GRID = tuple(10.0**k for k in range(-3, 7))
#: An end of the dial is taken where its log evidence is within this of the best.
EQUAL = 1e-6
#: An end is not searched that is so far below the best, before the search.
HOPELESS = 20.0
#: What may be chosen, in the order of a setting.
NAMES = ("tie", "alpha", "tie_intercept")


def set_strengths(model: Any, path: RidgePath) -> None:
    """Set ``tie_``, ``alpha_`` and, where it chooses, ``log_evidence_`` of a model.

    Parameters
    ----------
    model : TiedRidge
        Has read the rows.
    path : RidgePath
        Its fits to these rows.

    Raises
    ------
    ValueError
        Where there is no evidence to maximise.
    """
    given = [getattr(model, name) for name in NAMES]
    wanted = [isinstance(value, str) and value == AUTO for value in given]
    setting: list[Any] = [
        None if auto else value for value, auto in zip(given, wanted, strict=True)
    ]
    n_features = path.rows.design.n_features
    if setting[0] is not None:
        setting[0] = model._given_tie(path.rows.dependencies.features)
    if model.max_distance is not None:
        if any(wanted):
            raise ValueError(
                f"max_distance={model.max_distance:g} with a strength that is 'auto'; "
                "expected numbers beside it. Use max_distance=None to have it chosen."
            )
        alpha = float(model.alpha)
        setting[0] = tie_at_distance(
            model, lambda tie: path.fit(tie, alpha), n_features
        )
    elif any(wanted):
        asked = " and ".join(
            f"{name}='auto'" for name, auto in zip(NAMES, wanted, strict=True) if auto
        )
        if path.rows.dependencies.root is not None:
            raise ValueError(
                f"{asked} with feature_ties is not available: the evidence knows a "
                "prior of single coefficients. Use numbers, or choose them by "
                "TiedRidgeCV."
            )
        evidence = Evidence(path, setting)
        setting = evidence.maximise()
        if not np.isfinite(evidence(setting)):
            raise ValueError(
                f"{asked}: the evidence exists for none of {len(evidence.values)} "
                f"settings. The first failure: {evidence.failure}. Use numbers, or "
                "choose them by TiedRidgeCV."
            )
        model.log_evidence_ = evidence(setting)
    model.tie_, model.alpha_ = setting[0], float(setting[1])
    strengths = model._strengths(path.rows.design.n_features, *setting[::2])
    model.tie_intercept_ = float(strengths[-1]) if model.fit_intercept else 0.0


class Evidence:
    r"""Logarithm of the probability of the targets, for any strengths.

    With noise of variance v, weights for numbers of rows and penalties for minus the
    logarithm of a Gaussian prior, times 2 v, all is Gaussian. With f the objective at
    its minimum, P the precision of the prior and K the Hessian, in units of 1/v, n the
    sum of the weights and d the number of directions in which the prior is flat, of
    density 1 (the common intercept; without decay the coefficients too)::

        log evidence = -(n - d)/2 log(2 pi v) - f/(2v) + 1/2 log|P| - 1/2 log|K|

    which is highest at ``v = f/(n - d)``: the restricted likelihood (REML) of a mixed
    model. Targets of their own v are independent.

    Parameters
    ----------
    path : RidgePath
        Fits of one model.
    setting : list of [float or None, float or None, bool or float or None]
        ``tie``, ``alpha`` and ``tie_intercept``; None is to be chosen.

    Notes
    -----
    Settings whose prior is flat in other directions than that of finite strengths are
    not comparable, and have none: ``tie=0`` where it frees the intercepts.

    References
    ----------
    D. MacKay (1992). Bayesian interpolation. Neural Computation.
    """

    def __init__(self, path: RidgePath, setting: list[Any]) -> None:
        self._path = path
        self._fixed = list(setting)
        self._free = [k for k in range(3) if setting[k] is None]
        if not path.is_tied:
            # Nothing depends on these.
            self._fixed = [np.inf, setting[1], True]
            self._free = [1] if setting[1] is None else []
        elif not path.model.fit_intercept and 2 in self._free:
            self._fixed = [*setting[:2], True]
            self._free.remove(2)
        self._n_flat = path.problem(*self._with(np.zeros(len(self._free)))).n_flat
        #: All that was evaluated: {setting: log evidence}.
        self.values: dict[tuple[Any, ...], float] = {}
        #: Why the first setting without evidence has none.
        self.failure = ""

    def _with(self, logs: Any) -> list[Any]:
        """Return the setting of some logarithms of what is free."""
        found = list(self._fixed)
        for k, log in zip(self._free, logs, strict=True):
            found[k] = float(np.exp(log))
        return found

    def __call__(self, setting: list[Any]) -> float:
        """Return the log evidence, -inf where there is none."""
        # All settings have the same strengths where these are several.
        key = tuple(value for value in setting if not np.ndim(value))
        if key not in self.values:
            try:
                value = self._value(setting)
            except NoMinimum as error:
                text = ", ".join(
                    f"{name}={value}"
                    for name, value in zip(NAMES, setting, strict=True)
                )
                self.failure = self.failure or f"{text}: {error}"
                value = -np.inf
            self.values[key] = value
        return self.values[key]

    def _value(self, setting: list[Any]) -> float:
        path = self._path
        problem = path.problem(*setting)
        if problem.n_flat != self._n_flat:
            raise NoMinimum("its prior is flat where that of finite strengths is not")
        stop = RidgeStop(setting[0], setting[1], problem, problem.solve())
        variance = noise_variance(path, stop)
        if not (variance > 0).all():
            raise NoMinimum(
                "the rows are fitted without error, or too few for a variance "
                f"(n_samples={path.rows.design.n_rows})"
            )
        posterior = determined(problem.posterior())
        log_ratio = problem.log_det_of_prior(posterior) - posterior.log_det
        if problem.free_intercept:
            log_ratio -= float(np.log(problem.moments.mass).sum())
        left = path.n_weighed - problem.n_flat
        each = log_ratio - left * (np.log(2 * np.pi * variance) + 1.0)
        return 0.5 * float(each.sum())

    def maximise(self) -> list[Any]:
        """Return the setting of the highest evidence; what is chosen, to 4 digits."""
        if not self._free:
            self(self._fixed)
            return self._fixed
        unit, coarse = self._unit(), GRID[:: 1 + (len(self._free) > 2)]
        grids = [
            [np.log(value * (1.0 if k == 2 else unit)) for value in coarse]
            for k in self._free
        ]
        best = self._refined(self._best([self._with(logs) for logs in product(*grids)]))
        for end in self._ends(best):
            # At an end of one dial the others are searched again.
            if self(end) > self(best) - HOPELESS:
                best = self._best([best, self._refined(end)])
        return best

    def _unit(self) -> float:
        """Return the mean square of a feature."""
        moments = self._path.problem(1.0, 1.0, True).moments
        total = float(np.einsum("tii->", moments.gram)) / moments.mass.sum()
        return total / max(1, moments.mean.shape[1]) or 1.0

    def _best(self, settings: list[list[Any]]) -> list[Any]:
        """Return the best setting; of equal ones a shared one."""
        top = max(self(list(setting)) for setting in settings)
        equal = [
            setting
            for setting in settings
            if self(list(setting)) >= top - EQUAL * max(1.0, abs(top))
        ]
        return list(max(equal, key=lambda s: (sum(map(_at_end, s)), self(list(s)))))

    def _ends(self, best: list[Any]) -> list[list[Any]]:
        """Return the setting with ties at an end of their dials, one or both."""
        dials = [[*(0.0, np.inf)[k == 2 :], best[k]] for k in self._free if k != 1]
        others = [k for k in self._free if k != 1]
        found = []
        for values in product(*dials):
            setting = list(best)
            for k, value in zip(others, values, strict=True):
                setting[k] = value
            found.append(setting)
        return found[:-1]

    def _refined(self, start: list[Any]) -> list[Any]:
        """Search around a setting, in the logarithms of what is free and finite."""
        free = [k for k in self._free if not _at_end(start[k])]
        self(start)
        if not free or not np.isfinite(self(start)):
            return start

        def setting(logs: Any) -> list[Any]:
            found = list(start)
            for k, log in zip(free, logs, strict=True):
                found[k] = float(np.exp(log))
            return found

        centre: FloatArray = np.log(np.array([start[k] for k in free]))
        found = minimize(
            lambda logs: -self(setting(logs)),
            centre,
            method="Nelder-Mead",
            bounds=[(middle - 7.0, middle + 7.0) for middle in centre],
            options={
                "initial_simplex": centre
                + np.vstack([np.zeros(len(free)), np.eye(len(free))]),
                "xatol": 1e-4,
                "fatol": 1e-7,
                "maxiter": 200 * len(free),
            },
        )
        rounded = setting(found.x)
        for k in free:
            rounded[k] = float(f"{rounded[k]:.4g}")
        return rounded


def _at_end(strength: Any) -> bool:
    if isinstance(strength, bool) or np.ndim(strength):
        return False
    return bool(strength == 0 or np.isinf(strength))


def noise_variance(path: Any, stop: Any) -> Any:
    """Return the variance of the noise of each target, (n_outputs,)."""
    left = path.n_weighed - stop.n_flat
    if left <= 0:
        return np.full(len(stop.minimum.values), np.nan)
    return stop.minimum.values / left
