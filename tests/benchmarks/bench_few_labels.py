"""Few labels, many rows: accuracy on new rows against the number of labels.

Rules, fixed before anything is measured:

1. Labels are drawn by class, equally many of each. All other training rows are there
   without labels, the same rows for every method that uses them.
2. Every strength is chosen by cross-validation on the labelled rows only (2 or 3
   folds, log-loss; accuracy for LabelSpreading, which may give a class probability 0),
   with the grids below, by scikit-learn's GridSearchCV. The number of clusters is set
   beforehand.
3. With one label of each class nothing can be cross-validated: the methods take
   `DEFAULTS`. They were fixed on the other data set: those for MNIST with load_digits,
   those for load_digits with training images of MNIST; the same values suited both.
4. Test rows decide nothing. They are 360 rows of load_digits, new in every split, and
   the test set of MNIST. The training rows of MNIST are 10000 images, drawn once.
5. Differences are paired over the splits; their standard errors are over the splits.

The constants of the cluster-to-class table were chosen with load_digits and MNIST.
Wine, breast cancer and iris (features standardised, over all rows; no label is seen)
were not looked at before.

The negative control has two classes that differ along one direction, and clusters that
differ along all others. There `tie=0` is right, and is in the grid.

Command line::

    python tests/benchmarks/bench_few_labels.py [--quick] [--cases REGEX] [--jobs N]

`results/few_labels.json` holds the accuracy of each method in every cell, a data set
with a number of labels and a split, and the summary. A run is resumed where it
stopped. `--quick` runs a tiny form in seconds and stores nothing. MNIST needs
``SKTIE_DATA``, or is fetched from OpenML.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass

import joblib
import numpy as np
from _problems import mnist
from _results import DIRECTORY, environment
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    TiedLogisticRegression,
    TiedMLPClassifier,
)
from sktie.model_selection import LabeledSplit

N_SPLITS = 20
#: Fewer splits where one takes minutes; 1000 labels are no longer few.
N_SPLITS_SLOW = {("digits", 1000): 5, ("mnist", 1000): 5}
LABELS = {
    "digits": (10, 20, 50, 100, 200, 1000),
    "mnist": (10, 20, 50, 100, 200, 1000),
    "control": (20, 50, 100, 200),
    "wine": (6, 15, 30),
    "cancer": (4, 10, 20),
    "iris": (6, 15, 30),
}
CLUSTERS = {"digits": 300, "mnist": 600, "control": 100}
#: A fifth of the rows.
CLUSTERS |= {"wine": 24, "cancer": 76, "iris": 20}
UNITS = CLUSTERS | {"mnist": 300}
SMALL = {"wine": load_wine, "cancer": load_breast_cancer, "iris": load_iris}
CS = [0.1, 1.0, 10.0, 100.0]
TIES = [0.0, 0.1, 1.0, 10.0, np.inf]
GRIDS = {
    "linear": {"C": CS},
    "tied": {"tie": TIES, "C": [1.0, 100.0]},
    "free output": {"tie": [0.0, np.inf], "alpha": [0.01, 0.1]},
    "tied output": [
        {"tie": [np.inf], "tie_output": [0.01, 0.1, 1.0, 10.0]},
        {"tie": [0.0], "tie_output": [0.0], "alpha": [0.01, 0.1]},
    ],
}
#: A free hidden layer of 600 units and 784 features takes minutes a search.
MNIST_GRIDS = {
    "free output": {"tie": [np.inf], "alpha": [0.01, 0.1]},
    "tied output": {"tie": [np.inf], "tie_output": [0.01, 0.1, 1.0, 10.0]},
}
DEFAULTS = {
    "linear": {"C": 1.0},
    "tied": {"tie": 10.0, "C": 100.0},
    "free output": {"tie": np.inf, "alpha": 0.1},
    "tied output": {"tie": np.inf, "tie_output": 1.0},
}
NEIGHBOURS = [5, 7, 10]
#: gamma of LabelSpreading, in units of 1 / median squared distance to the 7th
#: neighbour, chosen on load_digits with 20 labels (0.5, 1, 2, 4 were tried).
RBF_FACTOR = 2.0


@dataclass(frozen=True)
class Data:
    """Training rows with all their labels, and test rows."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def control(rng, n=2400):
    """Clusters in nine directions, classes along the tenth."""
    centre = rng.standard_normal((12, 9))
    cluster = rng.integers(12, size=n)
    noise = 0.4 * rng.standard_normal((n, 9))
    X = np.column_stack([centre[cluster] + noise, rng.standard_normal(n)])
    return X, (X[:, 9] + 0.3 * rng.standard_normal(n) > 0).astype(int)


def load(name, split, quick):
    """The data of a split."""
    rng = np.random.default_rng(1000 + split)
    if name == "mnist":
        X, y, X_test, y_test = mnist()
        rows = np.random.default_rng(0).permutation(len(y))[: 1000 if quick else 10000]
        return Data(X[rows], y[rows], X_test, y_test)
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X = X / 16
    elif name == "control":
        X, y = control(rng)
    else:
        X, y = SMALL[name](return_X_y=True)
        X = StandardScaler().fit_transform(X)
    n_test = {"digits": 360, "control": 1200}.get(name, len(y) // 3)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=n_test, stratify=y, random_state=split
    )
    return Data(X, y, X_test, y_test)


class Remembering:
    """Mixed into a prior: anchors asked for again with the same labels are kept."""

    def linear_anchor(self, X, y_index, n_classes, sample_weight=None):
        return self._once(super().linear_anchor, X, y_index, n_classes)

    def readout_anchor(self, X, y_index, n_classes, sample_weight=None):
        return self._once(super().readout_anchor, X, y_index, n_classes)

    def _once(self, method, X, y_index, n_classes):
        kept = self.__dict__.setdefault("_kept", {})
        key = method.__name__, np.asarray(y_index).tobytes()
        if key not in kept:
            kept[key] = method(X, y_index, n_classes)
        return kept[key]


class Clusters(Remembering, KMeansPrior):
    """`KMeansPrior` that remembers."""


class Units(Remembering, AutoencoderPrior):
    """`AutoencoderPrior` that remembers."""


def fit_priors(name, data, split, memory, quick):
    """The two priors, fitted on all rows; those of MNIST are few, and kept on disk."""
    few = 20 if quick else 10**9
    seed = split % 5 if name == "mnist" else split
    fit = memory.cache(_fit_prior)
    found = {
        "KMeansPrior": fit(KMeansPrior, min(few, CLUSTERS[name]), data.X, seed),
        "AutoencoderPrior": fit(
            AutoencoderPrior,
            min(few, UNITS[name]),
            data.X,
            0 if name == "mnist" else seed,
        ),
    }
    # What is on disk is the plain prior: other processes know no class of this one.
    found["KMeansPrior"].__class__ = Clusters
    found["AutoencoderPrior"].__class__ = Units
    return found


def _fit_prior(kind, size, X, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        slow = kind is AutoencoderPrior and len(X) > 5000
        options = {"max_iter": 60} if slow else {}
        return kind(size, random_state=seed, **options).fit(X)


def choose(name, model, form, X, y, n_per_class, seed):
    """The model with its strengths chosen on labelled rows, fitted on all."""
    if n_per_class < 2:
        return model.set_params(**DEFAULTS[form]).fit(X, y)
    grids = GRIDS | MNIST_GRIDS if name == "mnist" else GRIDS
    folds = StratifiedKFold(min(3, n_per_class), shuffle=True, random_state=seed)
    search = GridSearchCV(
        model,
        grids[form],
        cv=LabeledSplit(folds),
        scoring="neg_log_loss",
        error_score="raise",
    )
    return search.fit(X, y).best_estimator_


def graphs(X, X_test):
    """What LabelSpreading needs of the rows: nearest training rows, and gamma."""
    n_near = max(NEIGHBOURS)
    neighbours = NearestNeighbors(n_neighbors=n_near).fit(X)
    own = neighbours.kneighbors(X, return_distance=False)
    new = neighbours.kneighbors(X_test, return_distance=False)
    seventh = np.square(X - X[own[:, 6]]).sum(axis=1)
    return own, new, float(RBF_FACTOR / np.median(seventh))


def knn_kernel(own, new, k):
    """The kernel of LabelSpreading(kernel="knn", n_neighbors=k), from stored lists."""

    def kernel(X, Y):
        lists = own if Y is X else new
        place = np.repeat(np.arange(len(lists)), k), lists[:, :k].ravel()
        shape = len(lists), len(own)
        graph = sparse.csr_matrix((np.ones(len(place[0])), place), shape=shape)
        return graph if Y is X else graph.T.tocsr()

    return kernel


def spread_labels(data, y_seen, n_per_class, seed, memory):
    """Accuracies on new rows of LabelSpreading with both kernels."""
    own, new, gamma = memory.cache(graphs)(data.X, data.X_test)

    def knn(k, y):
        kernel = knn_kernel(own, new, k)
        return LabelSpreading(kernel=kernel, max_iter=100).fit(data.X, y)

    n_neighbours = NEIGHBOURS[1]
    if n_per_class >= 2:
        # The graph may hold the row that is left out: its label is what is hidden.
        folds = StratifiedKFold(min(3, n_per_class), shuffle=True, random_state=seed)
        known, scores = np.flatnonzero(y_seen >= 0), []
        for k in NEIGHBOURS:
            right = 0
            for _, held in folds.split(known, y_seen[known]):
                y_fold = y_seen.copy()
                y_fold[known[held]] = -1
                found = knn(k, y_fold).transduction_[known[held]]
                right += np.sum(found == y_seen[known[held]])
            scores.append(right)
        n_neighbours = NEIGHBOURS[int(np.argmax(scores))]
    rbf = LabelSpreading(kernel="rbf", gamma=gamma).fit(data.X, y_seen)
    return {
        "LabelSpreading knn": knn(n_neighbours, y_seen).score(data.X_test, data.y_test),
        "LabelSpreading rbf": rbf.score(data.X_test, data.y_test),
    }


def measure(name, n_labels, split, memory, quick):
    """The accuracies of all methods in one cell, {method: accuracy}."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="invalid value encountered in divide")
    data = load(name, split, quick)
    classes = np.unique(data.y)
    n_per_class = n_labels // len(classes)
    rng = np.random.default_rng(split)
    labelled = np.concatenate(
        [rng.choice(np.flatnonzero(data.y == c), n_per_class, False) for c in classes]
    )
    y_seen = np.full(len(data.y), -1)
    y_seen[labelled] = data.y[labelled]
    X_few, y_few = data.X[labelled], data.y[labelled]
    found = {}

    def score(method, model, transform=None):
        X = data.X_test if transform is None else transform(data.X_test)
        found[method] = model.score(X, data.y_test)

    def chosen(model, form, X=X_few, y=y_few):
        return choose(name, model, form, X, y, n_per_class, split)

    alone = chosen(LogisticRegression(max_iter=500), "linear")
    score("LogisticRegression", alone)
    base = LogisticRegression(C=alone.C, max_iter=200, tol=1e-3)
    score("SelfTraining", SelfTrainingClassifier(base).fit(data.X, y_seen))
    found |= spread_labels(data, y_seen, n_per_class, split, memory)
    for prior_name, prior in fit_priors(name, data, split, memory, quick).items():
        frozen = FrozenEstimator(prior)
        if prior_name == "KMeansPrior":
            for code in ("one-hot", "soft", "triangle"):
                prior.set_params(code=code)
                model = chosen(
                    LogisticRegression(max_iter=1000),
                    "linear",
                    prior.transform(X_few),
                )
                score(f"LogisticRegression on {code} codes", model, prior.transform)
        method = f"TiedLogisticRegression, {prior_name}"
        tied = TiedLogisticRegression(frozen, unlabeled=-1)
        score(method, chosen(tied, "tied", data.X, y_seen))
        forms = ["tied output"] + ["free output"] * (prior_name == "KMeansPrior")
        for form in forms:
            method = f"TiedMLPClassifier, {prior_name}, {form}"
            network = TiedMLPClassifier(frozen, unlabeled=-1, tol=1e-4)
            score(method, chosen(network, form, data.X, y_seen))
    return {method: round(float(value), 5) for method, value in found.items()}


def summarise(cells):
    """Means with standard deviations, and paired differences with standard errors."""
    groups: dict = {}
    for key, cell in cells.items():
        name, n_labels, _ = key.split("/")
        groups.setdefault((name, int(n_labels)), []).append(cell["accuracy"])
    return [
        _summary(name, n_labels, groups[name, n_labels])
        for name, n_labels in sorted(groups)
    ]


def _summary(name, n_labels, rows):
    values = {m: np.array([row[m] for row in rows]) for m in rows[0]}
    n = len(rows)

    def difference(a, b):
        d = values[a] - values[b]
        error = d.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
        return {"mean": round(d.mean(), 4), "error": round(error, 4)}

    ours = [m for m in values if m.startswith("Tied")]
    peers = ["LogisticRegression", "SelfTraining"]
    peers += [m for m in values if m.startswith("LabelSpreading")]
    return {
        "data": name,
        "labels": n_labels,
        "splits": n,
        "accuracy": {
            m: {"mean": round(v.mean(), 4), "sd": round(v.std(ddof=min(1, n - 1)), 4)}
            for m, v in values.items()
        },
        "difference": {m: {p: difference(m, p) for p in peers} for m in ours},
    }


def show(summary):
    """Print the table of one data set and number of labels."""
    print(
        f"\n{summary['data']}, {summary['labels']} labels, {summary['splits']} splits"
    )
    for method, value in summary["accuracy"].items():
        gaps = summary["difference"].get(method, {})
        text = "  ".join(
            f"{peer} {d['mean']:+.3f}±{d['error']:.3f}" for peer, d in gaps.items()
        )
        print(f"  {method:44} {value['mean']:.3f} ± {value['sd']:.3f}  {text}")


def main():
    """Run the cells that are not stored, several at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny, nothing is stored")
    parser.add_argument("--force", action="store_true", help="measure stored ones too")
    parser.add_argument("--cases", default="", metavar="REGEX", help="only these cells")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    path = DIRECTORY / "few_labels.json"
    cells, known = {}, {}
    if path.exists() and not args.quick:
        known = json.loads(path.read_text())["cells"]
    if args.quick:
        names = [("digits", m, s) for m in (10, 20) for s in range(2)]
        names += [("control", 20, 0)]
    else:
        names = [
            (name, m, s)
            for s in range(N_SPLITS)
            for name in LABELS
            for m in LABELS[name]
            if s < N_SPLITS_SLOW.get((name, m), N_SPLITS)
        ]
    keys = {f"{name}/{m}/{s}": (name, m, s) for name, m, s in names}
    todo = [
        key
        for key in keys
        if re.search(args.cases, key) and (args.force or key not in known)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        memory = joblib.Memory(scratch, verbose=0)
        work = joblib.Parallel(args.jobs, return_as="generator_unordered")
        cells = dict(known)
        for key, accuracy, seconds in work(
            joblib.delayed(_cell)(key, keys[key], memory, args.quick) for key in todo
        ):
            cells[key] = {"accuracy": accuracy, "seconds": round(seconds, 1)}
            if not args.quick:
                _write(path, {k: cells[k] for k in keys if k in cells})
            print(f"{key} ({seconds:.0f} s)", flush=True)
    for summary in summarise({k: cells[k] for k in keys if k in cells}):
        show(summary)
    return 0


def _cell(key, what, memory, quick):
    start = time.perf_counter()
    return key, measure(*what, memory, quick), time.perf_counter() - start


def _write(path, cells):
    content = {
        "format": 1,
        "benchmark": "few_labels",
        "question": "Accuracy on new rows with few labels and many rows without.",
        "command": "python tests/benchmarks/bench_few_labels.py",
        "environment": environment(),
        "settings": {"clusters": CLUSTERS, "units": UNITS, "rbf_factor": RBF_FACTOR},
        "cells": cells,
        "summary": summarise(cells),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=0, allow_nan=False) + "\n")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
