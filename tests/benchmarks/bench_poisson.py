"""One plain model of counts: `pair=None` against scikit-learn's `PoissonRegressor`.

Correlated Gaussian features, counts of mean about 1, an intercept. Both sides are timed
at an equal objective, by the rules of `_harness`; the peer is the faster of
scikit-learn's two solvers.
"""

import sys
from dataclasses import dataclass

import numpy as np
from _cells import Study, main
from _harness import Solver, compare
from _problems import BLOCK, gaussian_design
from scipy.special import xlogy

QUESTION = (
    "Seconds to fit one plain Poisson regression (pair=None), dense, "
    "against the fastest solver of scikit-learn at an equal objective."
)
GRID = {
    f"n={n} p={p} alpha={alpha:g}": (n, p, alpha)
    for n in (2_000, 20_000, 200_000)
    for p in (20, 100)
    for alpha in (1.0, 1e-4)
}
QUICK = {"n=2000 p=5 alpha=0.0001": (2_000, 5, 1e-4)}
FASTER = 1.0  # the least ratio that meets the goal


@dataclass(frozen=True)
class Objective:
    """Half the mean deviance and the decay, from their formula."""

    X: np.ndarray
    y: np.ndarray
    alpha: float

    def __call__(self, parameters):
        """The value at (coef, intercept)."""
        return self.value_gradient(*parameters)[0]

    def certificate(self, parameters):
        """Bound on the relative gap, by strong convexity.

        Its modulus is alpha but for the intercept, along which the counts of these
        data curve the objective by about their mean, which is more.
        """
        value, slopes, offset = self.value_gradient(*parameters)
        return 0.5 * (slopes @ slopes / self.alpha + offset**2 / 0.1) / value

    def value_gradient(self, coef, intercept):
        """The value, and its gradients for coefficients and intercept."""
        value, slopes, offset = 0.0, np.zeros_like(coef), 0.0
        for start in range(0, len(self.y), BLOCK):
            X, y = self.X[start : start + BLOCK], self.y[start : start + BLOCK]
            raw = X @ coef + intercept
            mu = np.exp(raw)
            value += (mu - y * raw + xlogy(y, y) - y).sum()
            slopes += X.T @ (mu - y)
            offset += (mu - y).sum()
        n = len(self.y)
        value = value / n + 0.5 * self.alpha * coef @ coef
        return value, slopes / n + self.alpha * coef, offset / n


def draw(n, p):
    """Rows, and counts that depend on all features."""
    rng = np.random.default_rng(0)
    X = gaussian_design(n, p, rng)
    coef = rng.standard_normal(p) / np.sqrt(p)
    return X, rng.poisson(np.exp(0.7 * X @ coef)).astype(float)


def solvers(X, y, alpha):
    """Ours, and those of scikit-learn."""
    from sklearn.linear_model import PoissonRegressor

    from sktie import TiedPoissonRegressor

    def parameters(fitted):
        return fitted.coef_, fitted.intercept_

    def plain(name):
        def fit(tol):
            model = PoissonRegressor(alpha=alpha, solver=name, tol=tol, max_iter=10_000)
            return model.fit(X, y)

        return Solver(name, fit, parameters)

    def ours(tol):
        return TiedPoissonRegressor(alpha=alpha, tol=tol, max_iter=10_000).fit(X, y)

    return Solver("sktie", ours, parameters, tight=1e-20), [
        plain(name) for name in ("newton-cholesky", "lbfgs")
    ]


def keys(quick):
    """All sizes."""
    return [list(QUICK if quick else GRID)]


def measure(key, quick, known):
    """Fit one problem with both libraries."""
    n, p, alpha = (QUICK if quick else GRID)[key]
    X, y = draw(n, p)
    facts = {"n": n, "p": p, "alpha": alpha}
    found = compare(key, facts, Objective(X, y, alpha), *solvers(X, y, alpha))
    assert found["status"] == "measured", found
    ours, peer = found["sktie"], found["peer"]
    print(
        f"  sktie {1e3 * ours['median']:.2f} ms, {peer['name']} "
        f"{1e3 * peer['median']:.2f} ms, ratio {found['ratio']['median']:.2f}"
    )
    return {
        key: value
        for key, value in found.items()
        if key not in ("case", "facts", "environment")
    }


def summarise(cells):
    """Never slower."""
    ratios = [cell["ratio"]["median"] for cell in cells.values()]
    least, median = float(min(ratios)), float(np.median(ratios))
    return {
        "goals": [
            {"goal": "never slower", "value": least, "met": least >= FASTER},
            {"goal": "median ratio", "value": median, "met": median >= FASTER},
        ]
    }


def show(summary):
    """Print the goals."""
    for line in summary["goals"]:
        print("goal: {goal} | value {value:.2f} | met {met}".format(**line))


STUDY = Study("poisson", QUESTION, {"alpha": 1e-4}, keys, measure, summarise, show)

if __name__ == "__main__":
    sys.exit(main(STUDY))
