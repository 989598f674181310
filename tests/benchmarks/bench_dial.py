"""Accuracy on new rows against `tie`, from local kernels to shared ones.

Two sets of the same digits (`load_digits`, 8 x 8, centred by those who made them):

- *centred*: as they are. What a pixel means depends on where it is.
- *placed*: each digit at a place drawn at random in a frame of 16 x 16. What a pixel
  means does not.

Rules, fixed before anything is measured:

1. *default* is the default network. *pooled* has no pooling but by 2 after the first
   convolution, and keeps the maximum of each kernel over all locations after the last.
   All else has its default but `tie`, the same for both convolutions. Biases follow
   the default: shared where `tie` is infinite, of each location below. So that the two
   can be told apart, "inf, bias" is an infinite tie with biases of each location, the
   limit of large finite ties. Networks were settled on the rows of rule 2 to choose
   with, of the first split.
2. A split holds 500 rows to test on and 297 to choose `tie` with; 200 of the other
   1000 are trained on. Rows are drawn by class. Ten splits; within one all
   strengths have the same rows, the same frames and the same seed.
3. The table holds the accuracy of every strength on both. Which finite strength is
   compared with 0 and infinity is chosen in each split by the 297 rows: the highest
   accuracy, of equals the largest strength. Test rows choose nothing.
4. Differences are paired over the splits; so are their standard errors, which do not
   know that the splits share digits.

A cell ``NET/SET/ROWS/SPLIT`` holds {tie: accuracy} on the test rows, and on those to
choose with.
"""

from __future__ import annotations

import sys

import numpy as np
from _cells import Study, main
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sktie import SharedConvClassifier

QUESTION = "Accuracy on new rows against tie, where location matters and where not."
SETS = ("centred", "placed")
ROWS, N_SPLITS, N_TEST, N_CHOICE, FRAME = (200,), 10, 500, 297, 16
TIES = [0.0, *(10.0**k for k in range(-3, 5)), np.inf]
NETS = {"default": {}, "pooled": {"pool_size": (2, 1), "global_pool": "max"}}
LOCATION = "inf, bias"


def place(X, rng):
    """Digits, each at a random place in a larger frame."""
    side = 8
    out = np.zeros((len(X), FRAME, FRAME), X.dtype)
    down, right = rng.integers(FRAME - side + 1, size=(2, len(X)))
    for image, digit, i, j in zip(out, X, down, right, strict=True):
        image[i : i + side, j : j + side] = digit.reshape(side, side)
    return out.reshape(len(X), -1)


def split_rows(name, n_rows, split):
    """Images and labels to train on, to choose with, and to test on."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    if name == "placed":
        X = place(X, np.random.default_rng(split))
    rows, test = train_test_split(
        np.arange(len(y)), test_size=N_TEST, stratify=y, random_state=split
    )
    rows, choice = train_test_split(
        rows, test_size=N_CHOICE, stratify=y[rows], random_state=split
    )
    if n_rows < len(rows):
        rows, _ = train_test_split(
            rows, train_size=n_rows, stratify=y[rows], random_state=split
        )
    return [(X[part], y[part]) for part in (rows, choice, test)]


def measure(key, quick, known):
    """The accuracies of all strengths in one split."""
    net, name, n_rows, split = key.split("/")
    (X, y), *others = split_rows(name, int(n_rows), int(split))
    found = {"choice": {}, "test": {}}
    common = NETS[net] | ({"max_iter": 2} if quick else {})
    dial = {f"{tie:g}": {"tie": tie} for tie in TIES}
    dial[LOCATION] = {"tie": np.inf, "bias": "location"}
    for label, parameters in dial.items():
        model = SharedConvClassifier(
            **common, **parameters, random_state=int(split)
        ).fit(X, y)
        for part, rows in zip(found, others, strict=True):
            found[part][label] = round(float(model.score(*rows)), 5)
    return found


def keys(quick):
    """All splits of all sets; one stage."""
    if quick:
        return [[f"{net}/{name}/200/0" for net in NETS for name in SETS]]
    return [
        [
            f"{net}/{name}/{n_rows}/{split}"
            for split in range(N_SPLITS)
            for net in NETS
            for name in SETS
            for n_rows in ROWS
        ]
    ]


def summarise(cells):
    """Of each network, set and number of rows: the curve, and what a tie wins."""
    groups = {}
    for key, cell in cells.items():
        net, name, n_rows, _ = key.split("/")
        groups.setdefault((net, name, int(n_rows)), []).append(cell)
    return [_summary(*group, cells) for group, cells in groups.items()]


def _summary(net, name, n_rows, cells):
    test = {tie: np.array([cell["test"][tie] for cell in cells]) for tie in DIAL}
    finite = [f"{tie:g}" for tie in TIES if 0 < tie < np.inf]
    chosen = []
    for cell in cells:
        best = max(cell["choice"][tie] for tie in finite)
        chosen.append([t for t in finite if cell["choice"][t] == best][-1])
    own = np.array([c["test"][tie] for c, tie in zip(cells, chosen, strict=True)])
    return {
        "net": net,
        "data": name,
        "rows": n_rows,
        "splits": len(cells),
        "accuracy": {tie: _spread(values) for tie, values in test.items()},
        "chosen": {tie: chosen.count(tie) for tie in finite if tie in chosen},
        "accuracy of chosen": _spread(own),
        "chosen minus": {tie: _spread(own - test[tie]) for tie in ("0", "inf")},
        "inf minus 0": _spread(test["inf"] - test["0"]),
    }


DIAL = [f"{tie:g}" for tie in TIES] + [LOCATION]


def _spread(values):
    n = len(values)
    sd = float(values.std(ddof=1)) if n > 1 else 0.0
    numbers = {"mean": float(values.mean()), "sd": sd, "error": sd / np.sqrt(n)}
    return {key: round(float(value), 5) for key, value in numbers.items()}


def show(summary):
    """Print the curves."""
    for group in summary:
        print("\n{net}, {data}, {rows} rows, {splits} splits".format(**group))
        for tie, value in group["accuracy"].items():
            print(f"  tie {tie:>9}  {value['mean']:.4f} ± {value['error']:.4f}")
        print("  finite tie chosen: {chosen}".format(**group))
        for tie, value in group["chosen minus"].items():
            print(f"  chosen minus {tie}: {value['mean']:+.4f} ± {value['error']:.4f}")


STUDY = Study(
    "dial",
    QUESTION,
    {"nets": NETS, "ties": DIAL, "rows": ROWS},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
