"""Cost curves: seconds by rows, features, domains, classes, image size and kernels.

Each curve doubles or triples one size and leaves all others as they are. Both sides run
with their defaults, and not to equal objectives: what counts are the exponents, not the
distance between curves (`bench_peers.py` has that). Data are seeded. One thread, and
seconds of the processor, which other programs hardly touch: the median of up to `TURNS`
fits after one that does not count, which take turns with the peer's. A side that has
taken over `LIMIT` seconds is not asked for larger sizes.

*Exponents*: the slope of log seconds by log size over the upper half of a curve, by
least squares, with its standard error. Below it, what a fit costs whatever its size
(some milliseconds of checks and of calls of Python) hides the slope.

Convolutions are timed by the step of a batch of 64 images; *side* is that of square
images, *kernels* the filters of both layers, from 4 and 8 on. PyTorch runs as it comes,
in the default layout, and only where it is installed.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from functools import partial

import numpy as np
from _cells import Study, main
from _problems import draw_labels, easyadapt, gaussian_design
from _results import spread
from threadpoolctl import threadpool_limits

QUESTION = "With which powers of the sizes of a problem does the time of a fit grow?"
TURNS, LIMIT, BUDGET = 5, 8.0, 3.0
ROWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
FEATURES = (16, 32, 64, 128, 256, 512)
DOMAINS = (4, 16, 64, 256, 1024, 4096)
CLASSES = (3, 5, 10, 20, 40)
SIDES = (8, 12, 16, 24, 32, 48, 64)
KERNELS = (1, 2, 4, 8, 16)
SHARED = {"n_rows": 10_000, "n_features": 50, "rows of a domain": 100}


def logistic(n=10_000, p=50, n_classes=2):
    """One plain classifier, and scikit-learn's."""
    from sklearn.linear_model import LogisticRegression

    from sktie import TiedLogisticRegression

    rng = np.random.default_rng(0)
    X = gaussian_design(n, p, rng)
    y = draw_labels(X, n_classes, rng)
    peer = "newton-cholesky" if n_classes == 2 else "lbfgs"
    model = LogisticRegression(solver=peer, max_iter=1000)
    return {
        "sktie": lambda: TiedLogisticRegression().fit(X, y),
        f"LogisticRegression, {peer}": lambda: model.fit(X, y),
    }


def ridge(n=10_000, p=50):
    """One plain ridge regression, and scikit-learn's."""
    from sklearn.linear_model import Ridge

    from sktie import TiedRidge

    rng = np.random.default_rng(0)
    X = gaussian_design(n, p, rng)
    y = X @ rng.standard_normal(p) + rng.standard_normal(n)
    return {
        "sktie": lambda: TiedRidge().fit(X, y),
        "Ridge, cholesky": lambda: Ridge(solver="cholesky").fit(X, y),
    }


def counts(n=10_000, p=50):
    """One plain Poisson regression, and scikit-learn's."""
    from sklearn.linear_model import PoissonRegressor

    from sktie import TiedPoissonRegressor

    rng = np.random.default_rng(0)
    X = gaussian_design(n, p, rng)
    score = 0.7 * X @ rng.standard_normal(p) / np.sqrt(p)
    y = rng.poisson(np.exp(score)).astype(float)
    model = PoissonRegressor(alpha=1e-2, solver="newton-cholesky")
    return {
        "sktie": lambda: TiedPoissonRegressor(alpha=1e-2).fit(X, y),
        "PoissonRegressor, newton-cholesky": lambda: model.fit(X, y),
    }


def tied(T, p=10, n_each=100):
    """Domains tied to their mean, and scikit-learn on augmented features."""
    from sklearn.linear_model import LogisticRegression

    from sktie import TiedLogisticRegression

    rng = np.random.default_rng(0)
    X = gaussian_design(T * n_each, p, rng)
    domain = rng.permutation(np.arange(T * n_each) % T)
    y = draw_labels(X, 2, rng, domain=domain, n_domains=T)
    whole = np.column_stack([X, domain])
    Z = easyadapt(X, domain, T, 1.0, 1.0, dense=False).Z
    peer = LogisticRegression(fit_intercept=False, max_iter=1000)
    return {
        "sktie": lambda: TiedLogisticRegression(-1, fit_intercept=False).fit(whole, y),
        "LogisticRegression, lbfgs on EasyAdapt": lambda: peer.fit(Z, y),
    }


def tied_ridge(T, p=10, n_each=100):
    """The same of a ridge regression."""
    from sktie import TiedRidge

    rng = np.random.default_rng(0)
    X = gaussian_design(T * n_each, p, rng)
    domain = rng.permutation(np.arange(T * n_each) % T)
    y = X @ rng.standard_normal(p) + rng.standard_normal(len(X))
    whole = np.column_stack([X, domain])
    return {"sktie": lambda: TiedRidge(-1).fit(whole, y)}


def images(side=28, times=2):
    """Steps of a convolutional classifier, and of the same network in PyTorch."""
    from bench_conv import Form, Net, Own, Torch, training_problem

    from sktie._parallel import Workers

    net = Net((side, side, 1), (4 * times, 8 * times), batch=64)
    X, y = net.rows(64)
    own = Own(net, *training_problem(net.model(max_iter=1), X, y), Workers())
    found = {"sktie": partial(own.epochs, 1)}
    if importlib.util.find_spec("torch") is not None:
        other = Torch(net, Form(False, False, threads=1), X, y)
        found["PyTorch"] = partial(other.epochs, 1)
    return found


#: {curve: (what makes it, name of the size, sizes)}.
CURVES = {
    "logistic, rows": (logistic, "n", ROWS),
    "ridge, rows": (ridge, "n", ROWS),
    "Poisson, rows": (counts, "n", ROWS),
    "logistic, features": (logistic, "p", FEATURES),
    "ridge, features": (ridge, "p", FEATURES),
    "Poisson, features": (counts, "p", FEATURES),
    "tied logistic, domains": (tied, "T", DOMAINS),
    "tied ridge, domains": (tied_ridge, "T", DOMAINS),
    "softmax, classes": (partial(logistic, p=20), "n_classes", CLASSES),
    "convolutions, side": (images, "side", SIDES),
    "convolutions, kernels": (images, "times", KERNELS),
}


def keys(quick):
    """A cell for each curve."""
    return [list(CURVES)]


def measure(key, quick, known):
    """Seconds of all sides at all sizes."""
    make, size, sizes = CURVES[key]
    gc.freeze()  # modules: without it each collection would take 70 ms
    sizes = sizes[:3] if quick else sizes
    points = {}
    with threadpool_limits(1):
        for value in sizes:
            sides = make(**{size: value})
            wanted = {
                name: run
                for name, run in sides.items()
                if points.get(name, [[0, 0]])[-1][1] <= LIMIT
            }
            for name, seconds in in_turns(wanted, 1 if quick else TURNS).items():
                found = spread(seconds)
                row = [value, *(found[k] for k in ("median", "q1", "q3"))]
                points.setdefault(name, []).append([float(f"{x:.4g}") for x in row])
            print(
                f"  {value}: " + ", ".join(f"{n} {p[-1][1]}" for n, p in points.items())
            )
    return {"size": size, "points": points}


def in_turns(sides, turns):
    """Seconds {name: [...]}, the sides taking turns, within a budget of time."""
    seconds = {name: [] for name in sides}
    for run in sides.values():
        run()
    start = time.perf_counter()
    for _ in range(turns):
        for name, run in sides.items():
            gc.collect()
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
        if time.perf_counter() - start > BUDGET:
            break
    return seconds


def exponent(points):
    """The slope of log seconds by log size over the upper half, and its error."""
    upper = np.log(np.array(points)[-max(3, (len(points) + 1) // 2) :, :2])
    x, y = (upper - upper.mean(axis=0)).T
    slope = x @ y / (x @ x)
    freedom = max(1, len(x) - 2)
    error = np.sqrt(np.square(y - slope * x).sum() / freedom / (x @ x))
    return {"exponent": round(float(slope), 3), "error": round(float(error), 3)}


def summarise(cells):
    """Exponents of all curves, and the goals that follow from the algorithms."""
    fitted = {
        key: {name: exponent(points) for name, points in cell["points"].items()}
        for key, cell in cells.items()
        if min(map(len, cell["points"].values())) >= 3
    }
    goals = []
    for key, found in fitted.items():
        if key.endswith(("rows", "domains")):
            value = found["sktie"]["exponent"]
            text = f"{key}: no more than linear, exponent <= 1.1"
            goals.append({"goal": text, "value": value, "met": value <= 1.1})
    return {"exponents": fitted, "goals": goals}


def show(summary):
    """Print the exponents and the goals."""
    for key, found in summary["exponents"].items():
        for name, fit in found.items():
            print(f"{key:26} {name:40} {fit['exponent']:.2f} +- {fit['error']:.2f}")
    for line in summary["goals"]:
        print("goal: {goal} | value {value} | met {met}".format(**line))


STUDY = Study(
    "scaling", QUESTION, {**SHARED, "turns": TURNS}, keys, measure, summarise, show
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
