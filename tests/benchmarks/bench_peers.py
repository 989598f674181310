"""sktie beside every library that minimises the same function: a row for each pair.

Rules, fixed before anything is measured:

1. Peers have the same objective, or are left out, with the reason in `LEFT_OUT`. Each
   row says so by number: the objective is written here from its formula, its minimum
   is that of a tight fit with a certificate of 1e-8 (half the squared gradient by the
   smallest curvature there, whoever found it), and both sides run with the loosest
   tolerance of 1e-1, 1e-2, ... that comes within 1e-6 of it, relatively.
2. Then both are timed in turns in one process, A, B, A, B, ... as `_harness` has it;
   the ratio is the median over the pairs, of peer by sktie. One thread for all, as
   OMP_NUM_THREADS=1 tells BLAS and the peers, and seconds of the processor, which
   other programs on the machine hardly touch.
3. A peer has its best layout for nothing: Fortran order for adelie; augmented features
   of tied domains are built before the clock starts; numba has compiled for skglm.
   Solvers of a library are named where it has several that fit.
4. *five alphas*: both choose by leave-one-out, and have to choose the same.
5. *tied* is `TiedLogisticRegression` with eight domains, the peers' the same minimum on
   EasyAdapt features (`_problems.easyadapt`).

Peers that are not installed are not measured; in the quick form that is no error. They
are no dependencies of sktie: pip install glum skglm adelie statsmodels.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np
from _cells import Study, main
from _harness import OutError, Solver, certified_minimum, qualify, timed_pairs
from _problems import Objective, draw_labels, easyadapt, gaussian_design
from scipy.special import expit, xlogy

QUESTION = "How fast is sktie beside other libraries that minimise the same function?"
LEFT_OUT = {
    "ptlasso": "a lasso after another one's offset: its penalty is |w|_1, so that no "
    "strength of it has sktie's minimum",
    "PyTorch, skorch": "measured by bench_conv.py",
    "statsmodels MixedLM": "measured by bench_mixed.py",
}
#: {problem: (kind, rows, features, decay in the scale of half sums)}
PROBLEMS = {
    "logistic, n=2000 p=20": ("logistic", 2_000, 20, 1.0),
    "logistic, n=20000 p=50": ("logistic", 20_000, 50, 1.0),
    "logistic, n=20000 p=50, no decay": ("logistic", 20_000, 50, 0.0),
    "five classes, n=20000 p=50": ("classes", 20_000, 50, 1.0),
    "tied, T=8 n=16000 p=50": ("tied", 16_000, 50, 1.0),
    "ridge, n=20000 p=50": ("ridge", 20_000, 50, 1.0),
    "ridge, five alphas, n=20000 p=50": ("alphas", 20_000, 50, 1.0),
    "Poisson, n=20000 p=50": ("Poisson", 20_000, 50, 20.0),
    "Poisson, n=20000 p=50, no decay": ("Poisson", 20_000, 50, 0.0),
}
LIBRARIES = ("scikit-learn", "glum", "skglm", "adelie", "statsmodels")
#: {kind: {library: names of solvers}}; None where a library has one.
SOLVERS = {
    "logistic": {
        "scikit-learn": ("lbfgs", "newton-cholesky"),
        "glum": (None,),
        "skglm": ("ProxNewton", "AndersonCD"),
        "adelie": (None,),
    },
    "no decay": {"statsmodels": (None,)},
    "classes": {"scikit-learn": ("lbfgs", "newton-cholesky")},
    "tied": {
        "scikit-learn": ("lbfgs", "newton-cholesky"),
        "glum": (None,),
        "skglm": ("ProxNewton",),
        "adelie": (None,),
    },
    "ridge": {
        "scikit-learn": ("cholesky",),
        "glum": (None,),
        "skglm": ("AndersonCD",),
        "adelie": (None,),
    },
    "alphas": {"scikit-learn": ("RidgeCV",)},
    "Poisson": {
        "scikit-learn": ("lbfgs", "newton-cholesky"),
        "glum": (None,),
        "skglm": ("ProxNewton",),
        "adelie": (None,),
    },
}
ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_DOMAINS = 8
LIMIT = 60.0  # seconds for one fit of a peer
MODULES = {"scikit-learn": "sklearn"}


@dataclass(frozen=True)
class Smooth:
    """Sum of a loss, and half a decay times the squared coefficients."""

    X: np.ndarray
    y: np.ndarray
    kind: str
    decay: float

    def __call__(self, parameters):
        """The value at (coef, intercept)."""
        return self._parts(*parameters)[0]

    def _parts(self, coef, intercept):
        raw = self.X @ coef + intercept
        if self.kind == "logistic":
            chance = expit(raw)
            loss = np.logaddexp(0.0, raw) - self.y * raw
            slope, bend = chance - self.y, chance * (1.0 - chance)
        elif self.kind == "Poisson":
            mean = np.exp(raw)
            loss = mean - self.y * raw + xlogy(self.y, self.y) - self.y
            slope, bend = mean - self.y, mean
        else:
            slope, bend = raw - self.y, np.ones(len(raw))
            loss = 0.5 * np.square(slope)
        return loss.sum() + 0.5 * self.decay * coef @ coef, slope, bend

    def certificate(self, parameters):
        """Bound on the relative gap, by the smallest curvature there."""
        coef, _ = parameters
        value, slope, bend = self._parts(*parameters)
        rows = np.column_stack([self.X, np.ones(len(self.X))])
        decay = np.append(np.full(len(coef), self.decay), 0.0)
        gradient = rows.T @ slope + decay * np.append(coef, 0.0)
        least = np.linalg.eigvalsh((rows.T * bend) @ rows + np.diag(decay))[0]
        return 0.5 * gradient @ gradient / least / value


def found(coef, intercept, n_iter=0, max_iter=np.inf):
    """What the harness asks of a fit."""
    return SimpleNamespace(
        parameters=(coef, intercept), n_iter_=n_iter, max_iter=max_iter
    )


def solver(name, fit, tight=1e-12):
    """A `Solver` of a function from a tolerance to what `found` returns."""
    return Solver(name, fit, lambda result: result.parameters, tight)


@dataclass(frozen=True)
class Problem:
    """Rows, what is minimised on them, and how the libraries are asked for it."""

    kind: str
    X: np.ndarray
    y: np.ndarray
    decay: float
    objective: Any
    wide: Any = None
    domain: Any = None

    @property
    def share(self):
        """The decay where the losses are averaged."""
        return self.decay / len(self.y)

    @property
    def rows(self):
        """What a library without ties is shown."""
        return self.X if self.wide is None else self.wide.Z

    @property
    def shifts(self):
        """Whether there is an intercept."""
        return self.wide is None

    def result(self, coef, intercept, *rest):
        """What was found, as the objective takes it."""
        if self.wide is not None:
            coef = self.wide.restore(np.reshape(coef, (1, -1)))
            return found(coef, np.zeros(coef.shape[:2]), *rest)
        if self.kind == "classes":
            return found(np.asarray(coef)[None], np.asarray(intercept)[None], *rest)
        return found(np.ravel(coef), float(np.ravel(intercept)[0]), *rest)


@cache
def problem(name, quick):
    """One of `PROBLEMS`."""
    kind, n, p, decay = PROBLEMS[name]
    n, p = (n // 20, 5) if quick else (n, p)
    rng = np.random.default_rng(0)
    X = gaussian_design(n, p, rng)
    if kind == "tied":
        domain = rng.permutation(np.arange(n) % N_DOMAINS)
        y = draw_labels(X, 2, rng, domain=domain, n_domains=N_DOMAINS)
        wide = easyadapt(X, domain, N_DOMAINS, 1.0, 1.0, dense=True)
        objective = Objective(X, y, tie=1.0, domain=domain)
        return Problem(kind, X, y, 1.0, objective, wide, domain)
    if kind in ("logistic", "classes"):
        y = draw_labels(X, 2 if kind == "logistic" else 5, rng)
    else:
        score = X @ rng.standard_normal(p) / np.sqrt(p)
        y = score + rng.standard_normal(n)
        if kind == "Poisson":
            y = rng.poisson(np.exp(0.7 * score)).astype(float)
    if kind == "classes":
        return Problem(kind, X, y, decay, Objective(X, y, fit_intercept=True))
    if kind == "alphas":
        from sklearn.linear_model import RidgeCV

        decay = float(RidgeCV(ALPHAS).fit(X, y).alpha_)
    return Problem(kind, X, y, decay, Smooth(X, y, kind, decay))


def own(at):
    """Sktie."""
    import sktie

    C = np.inf if at.decay == 0 else 1.0 / at.decay
    rows, pair = at.X, None
    if at.kind == "tied":
        rows, pair = np.column_stack([at.X, at.domain]), -1

    def fit(tol):
        if at.kind in ("ridge", "alphas"):
            many = at.kind == "alphas"
            model = sktie.TiedRidgeCV(alphas=ALPHAS) if many else sktie.TiedRidge()
            model.fit(at.X, at.y)
            return at.result(model.coef_, model.intercept_)
        if at.kind == "Poisson":
            model = sktie.TiedPoissonRegressor(alpha=at.share, tol=tol)
        else:
            model = sktie.TiedLogisticRegression(
                pair, C=C, tol=tol, fit_intercept=at.shifts
            )
        model.fit(rows, at.y)
        if pair is not None:
            return found(model.domain_coef_, model.domain_intercept_)
        return at.result(model.coef_, model.intercept_, model.n_iter_, model.max_iter)

    return solver("sktie", fit, 1e-20)


def scikit_learn(at, name):
    """Its estimator of each kind."""
    from sklearn.linear_model import (
        LogisticRegression,
        PoissonRegressor,
        Ridge,
        RidgeCV,
    )

    options = {"solver": name, "max_iter": 10_000, "fit_intercept": at.shifts}

    def fit(tol):
        if at.kind == "alphas":
            model = RidgeCV(ALPHAS).fit(at.X, at.y)
            return at.result(model.coef_, model.intercept_)
        if at.kind == "ridge":
            model = Ridge(solver=name).fit(at.X, at.y)
            return at.result(model.coef_, model.intercept_)
        if at.kind == "Poisson":
            model = PoissonRegressor(alpha=at.share, tol=tol, **options)
        else:
            model = LogisticRegression(C=1.0 / at.decay, tol=tol, **options)
        model.fit(at.rows, at.y)
        iterations = np.max(model.n_iter_), model.max_iter
        return at.result(model.coef_, model.intercept_, *iterations)

    return solver(name, fit)


FAMILIES = {"logistic": "binomial", "tied": "binomial", "Poisson": "poisson"}


def glum(at, name):
    """Iteratively reweighted least squares, which it chooses for ridge penalties."""
    from glum import GeneralizedLinearRegressor

    family = FAMILIES.get(at.kind, "normal")

    def fit(tol):
        model = GeneralizedLinearRegressor(
            family=family,
            alpha=at.share,
            l1_ratio=0,
            gradient_tol=tol,
            max_iter=1000,
            fit_intercept=at.shifts,
        )
        model.fit(at.rows, at.y)
        return at.result(model.coef_, model.intercept_)

    return solver("glum", fit)


def skglm(at, name):
    """An elastic net without its lasso: its plain L2 has no solver with intercept."""
    from skglm import GeneralizedLinearEstimator, datafits, solvers
    from skglm.penalties import L1_plus_L2

    datafit = {"Poisson": datafits.Poisson, "ridge": datafits.Quadratic}.get(
        at.kind, datafits.Logistic
    )
    y = 2.0 * at.y - 1.0 if datafit is datafits.Logistic else at.y

    def fit(tol):
        way = getattr(solvers, name)(
            tol=tol, fit_intercept=at.shifts, max_iter=1000, p0=at.rows.shape[1]
        )
        model = GeneralizedLinearEstimator(datafit(), L1_plus_L2(at.share, 0.0), way)
        model.fit(at.rows, y)
        return at.result(model.coef_, model.intercept_ if at.shifts else 0.0)

    fit(0.1)  # numba compiles
    return solver(f"skglm, {name}", fit)


def adelie(at, name):
    """A group elastic net without its lasso, at one strength."""
    import adelie

    rows = np.asfortranarray(at.rows)
    y = at.y.astype(np.float64)

    def fit(tol):
        glm = {"Poisson": adelie.glm.poisson, "ridge": adelie.glm.gaussian}.get(
            at.kind, adelie.glm.binomial
        )
        state = adelie.grpnet(
            X=rows,
            glm=glm(y),
            alpha=0,
            lmda_path=np.array([at.share]),
            intercept=at.shifts,
            progress_bar=False,
            early_exit=False,
            tol=tol,
            n_threads=1,
        )
        return at.result(state.betas.toarray()[-1], state.intercepts[-1])

    return solver("adelie", fit)


def statsmodels(at, name):
    """Maximum likelihood, without any penalty."""
    import statsmodels.api as sm

    rows = sm.add_constant(at.X)

    def fit(tol):
        if at.kind == "logistic":
            result = sm.Logit(at.y, rows).fit(method="newton", tol=tol, disp=0)
        else:
            result = sm.GLM(at.y, rows, family=sm.families.Poisson()).fit(tol=tol)
        return at.result(result.params[1:], result.params[0])

    return solver("statsmodels", fit)


MAKE = {
    "scikit-learn": scikit_learn,
    "glum": glum,
    "skglm": skglm,
    "adelie": adelie,
    "statsmodels": statsmodels,
}


def keys(quick):
    """A cell for each problem and peer that is here."""
    cells = []
    for name, (kind, *_, decay) in PROBLEMS.items():
        for library, names in SOLVERS["no decay" if decay == 0 else kind].items():
            module = MODULES.get(library, library)
            if importlib.util.find_spec(module) is None:
                print(f"not measured: {name} with {library}, which is not installed")
                continue
            cells += [
                " | ".join([name, library, *([way] if way else [])]) for way in names
            ]
    return [cells]


def measure(key, quick, known):
    """One problem with sktie and a peer."""
    name, library, *way = key.split(" | ")
    gc.freeze()  # modules: without it each collection would take 70 ms
    at = problem(name, quick)
    ours, peer = own(at), MAKE[library](at, way[0] if way else None)
    minimum = certified_minimum(at.objective, [ours, peer])
    cell = {"version": version(library), "minimum": minimum}
    try:
        entries = [qualify(side, at.objective, minimum, LIMIT) for side in (ours, peer)]
    except OutError as reason:
        return {**cell, "reason": str(reason), "ratio": None}
    except SystemError:  # what numba makes of the timer's exception
        return {**cell, "reason": f"over {LIMIT:g} s", "ratio": None}
    cell |= timed_pairs(*entries, clock=time.process_time)
    ratio = cell["ratio"]["median"]
    print(
        f"  sktie {1e3 * cell['sktie']['median']:.2f} ms, ratio {ratio:.2f} "
        f"({cell['ratio']['q1']:.2f} to {cell['ratio']['q3']:.2f})"
    )
    return cell


def summarise(cells):
    """The least ratio for each library."""
    goals = []
    for library in LIBRARIES:
        ratios = [
            cell["ratio"]["median"]
            for key, cell in cells.items()
            if key.split(" | ")[1] == library and cell["ratio"]
        ]
        if ratios:
            text = f"never slower than {library}: least ratio >= 1"
            value = float(min(ratios))
            goals.append({"goal": text, "value": value, "met": value >= 1})
    return {"goals": goals}


def show(summary):
    """Print the goals."""
    for line in summary["goals"]:
        print("goal: {goal} | value {value:.2f} | met {met}".format(**line))


STUDY = Study("peers", QUESTION, {"left out": LEFT_OUT}, keys, measure, summarise, show)

if __name__ == "__main__":
    sys.exit(main(STUDY))
