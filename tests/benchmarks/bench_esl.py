"""The five networks of ESL, Table 11.1: what constraints on weights are worth.

Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning* (2nd ed.),
section 11.7, after LeCun (1989): the same 320 digits of 16 x 16, five networks with
more and more of their weights local, then shared. The original digits are not public;
these are from MNIST.

Rules, fixed before any test image was measured:

1. Images of MNIST are resized by the mean over areas. *centred*: from 28 x 28 to
   16 x 16, digits in the middle, as MNIST has them. *moved*: to 16 x 13, each at one of
   the four places that a frame of 16 x 16 has for that, drawn at random once for all
   images: where a stroke is says less. This set was added after trials, on images kept
   for choices, in which local kernels did not help with centred digits; so was the
   grid. Report both sets.
2. A seed draws 320 digits, 32 of each class, from the first 50000 training images; it
   is also the seed of the training. 1000 images of the test set, drawn once, test.
3. Activation (tanh as in the original, or relu), decay and size of the steps are chosen
   for each network from `GRID`, by the mean accuracy on 1000 of the last 10000 training
   images after training on 320 others of these, three times. So no choice sees a
   digit that is trained or tested on later. Nothing is dropped out, as in the book;
   all else has its default.
4. Networks are compared seed by seed: the mean difference, its standard error, the
   p-value of a one-sided paired t-test and of Wilcoxon's signed-rank test, and how
   often the first is better. Two seeds may share digits, as 320 of 50000 are drawn.

Links and stored weights are those of the book, and are checked. A link of a tap that
falls on padding counts.

A cell ``choice/SET/NET`` holds the accuracies of the grid and the parameters chosen, a
cell ``test/SET/SEED`` the test accuracy of every network. MNIST needs ``SKTIE_DATA``,
or is fetched from OpenML; ``--quick`` takes `load_digits` instead, made larger.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from itertools import combinations

import numpy as np
from _cells import Study, main
from _problems import mnist
from scipy.stats import ttest_1samp, wilcoxon
from sklearn.datasets import load_digits
from sklearn.model_selection import ParameterGrid

from sktie import SharedConvClassifier

QUESTION = "Test accuracy of the five networks of ESL, Table 11.1, on 320 digits."
SETS, SIZE, N_PLACES = ("centred", "moved"), 16, 4
PER_CLASS, N_TEST, N_SEEDS, N_CHOICES = 32, 1000, 30, 3
LOCAL = {
    "kernel_size": (3, 5),
    "stride": (2, 1),
    "padding": ("same", "valid"),
    "pool_size": 1,
    "bias": "location",
}
NETS = {
    "Net-1": {"filters": ()},
    "Net-2": {"filters": (), "hidden_layer_sizes": (12,)},
    "Net-3": {"filters": (1, 1), "tie": 0.0, **LOCAL},
    "Net-4": {"filters": (2, 1), "tie": (np.inf, 0.0), **LOCAL},
    "Net-5": {"filters": (2, 4), "tie": np.inf, **LOCAL},
}
#: Links, stored weights, and the accuracy in percent, as printed.
PRINTED = {
    "Net-1": (2570, 2570, 80.0),
    "Net-2": (3214, 3214, 87.0),
    "Net-3": (1226, 1226, 88.5),
    "Net-4": (2266, 1132, 94.0),
    "Net-5": (5194, 1060, 98.4),
}
GRID = {
    "activation": ["tanh", "relu"],
    "alpha": [1e-1, 1.0, 10.0],
    "learning_rate_init": [1e-2, 5e-2],
}


def n_links(net):
    """Connections of a network, biases included, from its description."""
    side, channels, links = SIZE, 1, 0
    for k, n_filters in enumerate(net["filters"]):
        size, stride = net["kernel_size"][k], net["stride"][k]
        valid = net["padding"][k] == "valid"
        side = (side - size) // stride + 1 if valid else -(-side // stride)
        links += side**2 * n_filters * (size**2 * channels + 1)
        channels = n_filters
    units = side**2 * channels
    for n_units in (*net.get("hidden_layer_sizes", ()), 10):
        links += n_units * (units + 1)
        units = n_units
    return links


def shares(old, new):
    """The share that old pixels have in each of fewer ones, (new, old)."""
    start = np.arange(new)[:, None] * old / new
    left = np.maximum(start, np.arange(old))
    right = np.minimum(start + old / new, np.arange(old) + 1)
    return (np.clip(right - left, 0, None) * new / old).astype(np.float32)


def resized(kind, X, rng):
    """Square images, as rows, in a frame of 16 x 16."""
    side = int(np.sqrt(X.shape[1]))
    width = SIZE if kind == "centred" else SIZE - N_PLACES + 1
    small = shares(side, SIZE) @ X.reshape(-1, side, side) @ shares(side, width).T
    out = np.zeros((len(X), SIZE, SIZE), np.float32)
    column = rng.integers(SIZE - width + 1, size=len(X))
    for k in range(SIZE - width + 1):
        out[column == k, :, k : k + width] = small[column == k]
    return out.reshape(len(X), -1)


@cache
def images(kind, quick):
    """Images and labels to train on, to choose with, and to test on."""
    if quick:
        X, y = load_digits(return_X_y=True)
        X = X.astype(np.float32)
        (X, X_test), (y, y_test) = (np.split(a, [900]) for a in (X, y))
    else:
        X, y, X_test, y_test = mnist()
        rows = np.random.default_rng(0).choice(len(y_test), N_TEST, replace=False)
        X_test, y_test = X_test[rows], y_test[rows]
    n = len(y) // 6
    parts = {"train": (X[:-n], y[:-n]), "choice": (X[-n:], y[-n:])}
    if quick:
        parts["choice"] = parts["train"]
    parts["test"] = X_test, y_test
    rng = np.random.default_rng(1)
    return {name: (resized(kind, X, rng), y) for name, (X, y) in parts.items()}


def draw(y, rng):
    """Rows of equally many digits of each class."""
    rows = [rng.choice(np.flatnonzero(y == c), PER_CLASS, False) for c in range(10)]
    return np.concatenate(rows)


def fit(name, X, y, seed, quick, **parameters):
    """A network fitted to rows; its stored weights are those of the book."""
    if quick:
        parameters |= {"max_iter": 5}
    net = NETS[name] | parameters
    model = SharedConvClassifier(**net, dropout=0, random_state=seed).fit(X, y)
    found = n_links(NETS[name]), model.n_stored_parameters_
    assert found == PRINTED[name][:2], f"{name}: links, weights {found}"
    return model


def choose(kind, name, quick):
    """The parameters of the grid with the best mean accuracy, and all accuracies."""
    X, y = images(kind, quick)["choice"]
    grid = list(ParameterGrid(GRID))[: 2 if quick else None]
    found = []
    for parameters in grid:
        scores = []
        for draw_number in range(1 if quick else N_CHOICES):
            rng = np.random.default_rng(10_000 + draw_number)
            rows = draw(y, rng)
            others = np.setdiff1d(np.arange(len(y)), rows)
            held = rng.choice(others, min(N_TEST, len(others)), False)
            model = fit(name, X[rows], y[rows], draw_number, quick, **parameters)
            scores.append(float(model.score(X[held], y[held])))
        found.append({**parameters, "accuracy": round(float(np.mean(scores)), 5)})
    best = max(range(len(grid)), key=lambda k: found[k]["accuracy"])
    return {"chosen": grid[best], "grid": found}


def measure(key, quick, known):
    """One cell."""
    stage, kind, which = key.split("/")
    if stage == "choice":
        return choose(kind, which, quick)
    seed, (X, y) = int(which), images(kind, quick)["train"]
    rows = draw(y, np.random.default_rng(seed))
    found = {}
    for name in NETS:
        chosen = known[f"choice/{kind}/{name}"]["chosen"]
        model = fit(name, X[rows], y[rows], seed, quick, **chosen)
        found[name] = round(float(model.score(*images(kind, quick)["test"])), 5)
    return {"accuracy": found}


def keys(quick):
    """The choices, then the seeds."""
    seeds = range(2 if quick else N_SEEDS)
    return [
        [f"choice/{kind}/{name}" for kind in SETS for name in NETS],
        [f"test/{kind}/{seed}" for kind in SETS for seed in seeds],
    ]


def summarise(cells):
    """Accuracies beside the printed ones, and all pairs of networks, for each set."""
    return {kind: _summary(kind, cells) for kind in SETS}


def _summary(kind, cells):
    def of(stage):
        start = f"{stage}/{kind}/"
        return {k[len(start) :]: c for k, c in cells.items() if k.startswith(start)}

    tested = [cell["accuracy"] for cell in of("test").values()]
    chosen = {name: cell["chosen"] for name, cell in of("choice").items()}
    if len(tested) < 2:
        return {"seeds": len(tested), "chosen": chosen, "accuracy": {}, "pairs": []}
    values = {name: np.array([cell[name] for cell in tested]) for name in NETS}
    accuracy = {
        name: {
            "mean": round(float(v.mean()), 4),
            "sd": round(float(v.std(ddof=1)), 4),
            "min": float(v.min()),
            "max": float(v.max()),
            "links": PRINTED[name][0],
            "weights": PRINTED[name][1],
            "printed": PRINTED[name][2] / 100,
        }
        for name, v in values.items()
    }
    pairs = [paired(b, a, values[b] - values[a]) for a, b in combinations(NETS, 2)]
    goals = [pair for pair in pairs if (pair["better"], pair["than"]) in GOALS]
    met = all(pair["difference"] > 0 and pair["p t-test"] < 0.05 for pair in goals)
    return {
        "seeds": len(tested),
        "chosen": chosen,
        "accuracy": accuracy,
        "pairs": pairs,
        "goal": {"goal": "Net-5 > Net-3 > Net-1, paired, p < 0.05", "met": met},
    }


GOALS = {("Net-5", "Net-3"), ("Net-3", "Net-1")}


def paired(better, than, difference):
    """A comparison of two networks over the seeds."""
    n = len(difference)
    tests = {"t-test": 1.0, "Wilcoxon": 1.0}
    if np.ptp(difference) > 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tests["t-test"] = ttest_1samp(difference, 0, alternative="greater").pvalue
            tests["Wilcoxon"] = wilcoxon(difference, alternative="greater").pvalue
    return {
        "better": better,
        "than": than,
        "difference": round(float(difference.mean()), 4),
        "error": round(float(difference.std(ddof=1) / np.sqrt(n)), 4),
        "wins": int(np.sum(difference > 0)),
        "ties": int(np.sum(difference == 0)),
        **{f"p {name}": float(p) for name, p in tests.items()},
    }


def show(summary):
    """Print the tables."""
    for kind, table in summary.items():
        print(f"\n{kind}, {table['seeds']} seeds")
        for name, value in table["accuracy"].items():
            print(
                "{}  links {links:5}  weights {weights:5}  printed {printed:.1%}  "
                "here {mean:.1%} (sd {sd:.1%})  {}".format(
                    name, table["chosen"].get(name), **value
                )
            )
        for pair in table["pairs"]:
            print(
                "{better} over {than}: {difference:+.1%} (se {error:.1%}), "
                "{wins} wins, {ties} ties, p {p t-test:.1e}".format(**pair)
            )
        if "goal" in table:
            print("goal: {goal} | met {met}".format(**table["goal"]))


STUDY = Study(
    "esl",
    QUESTION,
    {"nets": {k: str(v) for k, v in NETS.items()}, "grid": GRID},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
