"""What a prior costs, how fast its classifiers predict, and how both grow with rows.

Three kinds of cases:

- *cost*: `TiedLogisticRegression(pair=KMeansPrior(k))` on rows of which few have
  labels, against the two things it cannot do without: `KMeans` on all rows, and one
  plain logistic regression on all rows, with all their labels.
- *predict*: labels of new rows, against `LabelSpreading` (knn and rbf) fitted on the
  same rows.
- *rows*: the fit on all 60000 images of MNIST, per 10000 rows, against that on 10000.

MNIST needs ``SKTIE_DATA``, or is fetched from OpenML.
"""

import gc
import sys
import time
import warnings
from functools import partial

import numpy as np
from _harness import Case, main
from _problems import gaussian_design, mnist
from _results import goal, ratios, row, spread
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.semi_supervised import LabelSpreading

from sktie import KMeansPrior, TiedLogisticRegression, TiedMLPClassifier

QUESTION = (
    "Seconds that a prior costs, and that its classifiers take to predict, beside what "
    "scikit-learn needs for the same."
)
PER_CLASS = 10
PAIRS = 5


def blobs(n, p, n_blobs, rng):
    """Rows around random centres; the class is one of four groups of centres."""
    centre = 2.0 * rng.standard_normal((n_blobs, p))
    blob = rng.integers(n_blobs, size=n)
    return gaussian_design(n, p, rng) + centre[blob], blob % 4


def load(name):
    """Rows and all their labels."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X / 16, y
    if name.startswith("mnist"):
        X, y, _, _ = mnist()
        n = int(name.partition(" ")[2])
        return X[:n], y[:n]
    n, p = (int(word.partition("=")[2]) for word in name.split()[1:])
    return blobs(n, p, 40, np.random.default_rng(0))


def few(y):
    """Labels of some rows of each class, -1 for the others."""
    seen = np.full(len(y), -1)
    for label in np.unique(y):
        chosen = np.flatnonzero(y == label)[:PER_CLASS]
        seen[chosen] = label
    return seen


COSTS = [
    ("digits", 100),
    ("blobs n=20000 p=20", 100),
    ("blobs n=100000 p=50", 100),
    ("mnist 10000", 100),
    ("mnist 10000", 300),
]


def cases(quick):
    """All cases; a tiny form of each kind for --quick."""
    costs = [("blobs n=2000 p=10", 20)] if quick else COSTS
    found = [
        Case(f"cost, {name}, k={k}", {"kind": "cost", "k": k}, partial(cost, name, k))
        for name, k in costs
    ]
    data, k = ("digits", 30) if quick else ("mnist 10000", 300)
    for kernel in ("knn", "rbf"):
        for model in ("TiedLogisticRegression", "TiedMLPClassifier"):
            name = f"predict, {data}, {model}, LabelSpreading {kernel}"
            facts = {"kind": "predict", "kernel": kernel}
            found.append(Case(name, facts, partial(predict, data, k, model, kernel)))
    if not quick:
        facts = {"kind": "rows"}
        found.append(Case("rows, mnist, k=300", facts, growth))
    return found


def timed(own, peer, pairs=PAIRS):
    """Seconds of two calls in turns, after one of each."""
    seconds = np.empty((2, pairs + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(pairs + 1):
            for side, call in enumerate((own, peer)):
                gc.collect()
                start = time.perf_counter()
                call()
                seconds[side, turn] = time.perf_counter() - start
    return seconds[:, 1:]


def record(case, facts, seconds, peer):
    """The row of paired seconds."""
    sides = {"sktie": spread(seconds[0]), "peer": {"name": peer, **spread(seconds[1])}}
    ratio = spread(seconds[1] / seconds[0])
    return row(case, facts, **sides, ratio=ratio, repeats=seconds.shape[1])


def cost(name, k, null):
    """Time the tied fit against k-means and a plain fit."""
    X, y = load(name)
    seen = few(y)

    def tied():
        prior = KMeansPrior(k, random_state=0, minibatch=False)
        TiedLogisticRegression(prior, unlabeled=-1).fit(X, seen)

    def parts():
        KMeans(k, n_init=1, random_state=0).fit(X)
        TiedLogisticRegression().fit(X, y)

    facts = {"kind": "cost", "n": len(X), "p": X.shape[1], "k": k}
    seconds = timed(parts if null else tied, parts)
    return record(f"cost, {name}, k={k}", facts, seconds, "KMeans + plain fit")


def predict(name, k, kind, kernel, null):
    """Time predictions of new rows."""
    X, y = load(name)
    half = len(X) // 2
    X_new = X[half:] if name == "digits" else mnist()[2]
    X, seen = (X[:half], few(y[:half])) if name == "digits" else (X, few(y))
    prior = KMeansPrior(k, random_state=0)
    models = {
        "TiedLogisticRegression": TiedLogisticRegression(prior, unlabeled=-1),
        "TiedMLPClassifier": TiedMLPClassifier(
            prior, tie=np.inf, tie_output=1, unlabeled=-1
        ),
    }
    gamma = 0.02 if name.startswith("mnist") else 5.0
    spreading = LabelSpreading(kernel=kernel, gamma=gamma)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, peer = models[kind].fit(X, seen), spreading.fit(X, seen)
    own = (peer if null else model).predict
    seconds = timed(partial(own, X_new), partial(peer.predict, X_new))
    facts = {"kind": "predict", "n": len(X_new), "p": X.shape[1], "k": k}
    case = f"predict, {name}, {kind}, LabelSpreading {kernel}"
    return record(case, facts, seconds, f"LabelSpreading {kernel}")


def growth(null):
    """Time the fit on 60000 rows, per 10000, against that on 10000."""

    def fit(n):
        X, y = load(f"mnist {n}")
        # k-means runs for a fixed number of passes: its own stop depends on the rows.
        prior = KMeansPrior(
            300, random_state=0, minibatch=False, max_iter=20, init="random"
        )
        TiedLogisticRegression(prior, unlabeled=-1).fit(X, few(y))

    many = 10_000 if null else 60_000
    seconds = timed(partial(fit, many), partial(fit, 10_000), pairs=3)
    seconds[0] /= many / 10_000
    facts = {"kind": "rows", "n": many, "p": 784, "k": 300}
    return record("rows, mnist, k=300", facts, seconds, "the fit on 10000 rows")


def summarise(rows):
    """The goals: half as much again at most; a hundred times faster; linear in rows."""
    return [
        goal(
            "cost beyond k-means and a plain fit under 50 %: least ratio >= 1/1.5",
            ratios(rows, kind="cost"),
            lambda value: value >= 1 / 1.5,
            min,
        ),
        goal(
            "predicts 100 times faster than LabelSpreading: least ratio >= 100",
            ratios(rows, kind="predict"),
            lambda value: value >= 100,
            min,
        ),
        goal(
            "linear in rows: 60000 rows take at most 1.25 times 6 of 10000",
            ratios(rows, kind="rows"),
            lambda value: value >= 0.8,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main("priors", QUESTION, cases, summarise))
