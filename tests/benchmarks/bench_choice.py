"""What choosing the tie by the evidence is worth.

Rules, fixed before anything was measured:

1. *strength*: 50 families of T domains with 100 rows and 5 features each, drawn from
   the prior of the model: deviations of standard deviation 0.5 about means of standard
   deviation 1, so that C = T and tie = 1/(2 0.5^2) - 1/(2C) are the truth; intercepts,
   which are tied but not decayed, deviate accordingly. How far is `tie_` of tie="auto",
   with the true C and with C="auto"?
2. *family*: 8 domains of 40 rows and 5 features each, with common coefficients of
   standard deviation 1 and deviations of 0 (identical), 0.3 and 1; and *unrelated*
   coefficients of standard deviation 1. 8 seeds; log-loss on 500 other rows of every
   domain.
3. *heart*: the four hospitals of `load_heart_sites`, without cholesterol (missing in a
   whole hospital), half of the rows to train on and half to test, 10 splits with equal
   shares of hospitals and outcomes. Medians and scales are those of training rows.
4. Arms: "auto", tie and C by the evidence; "free intercept", the same with
   tie_intercept=False; "separate" and "pooled", C by the evidence; "loo",
   `TiedLogisticRegressionCV(ties=10)`.
5. Differences of log-loss are paired by seed or split, with standard errors. The goal:
   "auto" is within two standard errors of the better of separate and pooled, or better.
   All families are reported. Splits of one data set share rows: their standard errors
   are too small.

A cell ``strength/T/C`` holds quantiles of tie_, a cell ``family/NAME/SEED`` or
``heart/SEED`` the log-losses, strengths and seconds of the arms, a cell ``time/SIZE``
seconds of fits.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from _cells import Study, main
from _results import spread
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import TiedLogisticRegression
from sktie.datasets import load_heart_sites
from sktie.model_selection import TiedLogisticRegressionCV

QUESTION = "Does the evidence find the tie, and what is its choice worth?"
TS, SPREAD, N_DRAWS = (8, 16, 32), 0.5, 50
FAMILIES = {"identical": 0.0, "near": 0.3, "far": 1.0, "unrelated": None}
N_SEEDS, N_SPLITS = 8, 10
SIZES = {"T=8 n_t=200 p=5": (8, 200, 5), "T=8 n_t=2000 p=50": (8, 2000, 50)}
ARMS = {
    "auto": lambda: TiedLogisticRegression(tie="auto", C="auto"),
    "free intercept": lambda: TiedLogisticRegression(
        tie="auto", C="auto", tie_intercept=False
    ),
    "separate": lambda: TiedLogisticRegression(tie=0.0, C="auto"),
    "pooled": lambda: TiedLogisticRegression(tie=np.inf, C="auto"),
    "loo": lambda: TiedLogisticRegressionCV(ties=10),
}


def draw(rng, coef, n_rows, intercept=0.0):
    """Rows, labels and domains, of equally many rows for each row of coefficients."""
    domain = np.repeat(np.arange(len(coef)), n_rows)
    X = rng.normal(size=(domain.size, coef.shape[1]))
    raw = np.sum(X * coef[domain], axis=1)
    raw += np.broadcast_to(intercept, len(coef))[domain]
    return X, (raw + rng.logistic(size=raw.size) > 0).astype(int), domain


def measure_strength(n_domains, C, quick):
    """Quantiles of tie_, and of C_, over draws from the prior."""
    found = []
    truth = 1 / (2 * SPREAD**2) - 1 / (2 * n_domains)
    for seed in range(3 if quick else N_DRAWS):
        rng = np.random.default_rng(seed)
        coef = rng.normal(size=5) + SPREAD * rng.normal(size=(n_domains, 5))
        intercept = rng.normal(size=n_domains) / np.sqrt(2 * truth)
        X, y, domain = draw(rng, coef, 100, intercept)
        model = TiedLogisticRegression(
            tie="auto", C="auto" if C == "auto" else n_domains
        )
        model.fit(X, y, sample_domain=domain)
        found.append((model.tie_, model.C_))
    ties, Cs = np.array(found).T
    quartiles = np.percentile(ties, [25, 50, 75], method="nearest")
    return {
        "truth": truth,
        "tie": dict(
            zip(("q1", "median", "q3"), [_number(t) for t in quartiles], strict=True)
        ),
        "at 0": int((ties == 0).sum()),
        "at infinity": int(np.isinf(ties).sum()),
        "C": spread(Cs),
    }


def _number(value):
    """A number that JSON has."""
    return "inf" if np.isinf(value) else float(f"{value:.4g}")


def compare(train, test):
    """Log-losses of all arms."""
    (X, y, domain), (X_test, y_test, domain_test) = train, test
    cell = {"loss": {}, "tie": {}, "C": {}, "seconds of arms": {}}
    for name, make in ARMS.items():
        start = time.perf_counter()
        model = make().fit(X, y, sample_domain=domain)
        cell["seconds of arms"][name] = round(time.perf_counter() - start, 3)
        p = model.predict_proba(X_test, sample_domain=domain_test)
        cell["loss"][name] = round(float(log_loss(y_test, p)), 5)
        cell["tie"][name] = _number(model.tie_)
        cell["C"][name] = _number(model.C_)
    return cell


def family(name, seed):
    """Training and test rows of one family."""
    rng = np.random.default_rng(1000 + seed)
    spread_, coef = FAMILIES[name], rng.normal(size=(8, 5))
    if spread_ is not None:
        coef = rng.normal(size=5) + spread_ * coef
    return draw(rng, coef, 40), draw(rng, coef, 500)


def heart(seed):
    """Training and test rows of the hospitals, imputed and scaled."""
    bunch = load_heart_sites(as_frame=False)
    names = list(bunch.feature_names)
    of = {name: bunch.data[:, names.index(name)] for name in names}
    cp, ecg = (
        (of[name][:, None] == np.arange(1, n)).astype(float)
        for name, n in (("cp", 4), ("restecg", 3))
    )
    plain = ["age", "sex", "trestbps", "fbs", "thalach", "exang", "oldpeak"]
    X = np.column_stack([*(of[name] for name in plain), cp, ecg])
    y, site = bunch.target, of["site"].astype(int)
    splitter = StratifiedShuffleSplit(1, test_size=0.5, random_state=seed)
    rows, others = next(splitter.split(X, 2 * site + y))
    scale = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    train = scale.fit_transform(X[rows]), y[rows], site[rows]
    return train, (scale.transform(X[others]), y[others], site[others])


def measure_time(size, quick):
    """Seconds of a plain fit and of choices, medians of five."""
    n_domains, n_rows, n_features = SIZES[size]
    rng = np.random.default_rng(0)
    coef = rng.normal(size=n_features) / n_features**0.5
    coef = coef + 0.3 * rng.normal(size=(n_domains, n_features))
    X, y, domain = draw(rng, coef, n_rows)
    makers = {
        "plain": TiedLogisticRegression,
        "tie='auto'": lambda: TiedLogisticRegression(tie="auto"),
        "tie='auto', C='auto'": ARMS["auto"],
    }
    found = {name: [] for name in makers}
    for _ in range(1 if quick else 5):
        for name, make in makers.items():
            start = time.perf_counter()
            make().fit(X, y, sample_domain=domain)
            found[name].append(time.perf_counter() - start)
    median = {name: float(np.median(values)) for name, values in found.items()}
    ratio = {name: round(t / median["plain"], 1) for name, t in median.items()}
    return {"median": median, "ratio to plain": ratio}


def measure(key, quick, known):
    """One cell."""
    kind, *rest = key.split("/")
    if kind == "strength":
        return measure_strength(int(rest[0]), rest[1], quick)
    if kind == "time":
        return measure_time(rest[0], quick)
    if kind == "family":
        return compare(*family(rest[0], int(rest[1])))
    return compare(*heart(int(rest[0])))


def keys(quick):
    """One stage."""
    names = list(FAMILIES)[:1] if quick else list(FAMILIES)
    return [
        [f"time/{size}" for size in (list(SIZES)[:1] if quick else SIZES)]
        + [
            f"strength/{T}/{C}"
            for T in TS[: 1 if quick else None]
            for C in ("known", "auto")
        ]
        + [f"family/{n}/{k}" for n in names for k in range(2 if quick else N_SEEDS)]
        + [f"heart/{k}" for k in range(2 if quick else N_SPLITS)]
    ]


def summarise(cells):
    """Means of log-loss, and paired differences from "auto", for each set."""
    groups = {}
    for key, cell in cells.items():
        if "loss" in cell:
            groups.setdefault(key.rpartition("/")[0], []).append(cell)
    loss = {name: _compared(group) for name, group in groups.items()}
    values = [table["auto minus better end"] for table in loss.values()]
    met = all(v["mean"] <= 2 * v["error"] for v in values)
    return {
        "loss": loss,
        "strength": {k: c for k, c in cells.items() if k.startswith("strength/")},
        "time": {k: c for k, c in cells.items() if k.startswith("time/")},
        "goal": {"goal": "auto within 2 se of the better end, or better", "met": met},
    }


def _compared(group):
    losses = {arm: np.array([cell["loss"][arm] for cell in group]) for arm in ARMS}
    ends = [losses["separate"], losses["pooled"]]
    better = min(ends, key=np.mean)
    return {
        "n": len(group),
        "mean": {arm: round(float(v.mean()), 4) for arm, v in losses.items()},
        "auto minus better end": _paired(losses["auto"] - better),
        **{
            f"auto minus {arm}": _paired(losses["auto"] - losses[arm])
            for arm in ("separate", "pooled", "loo", "free intercept")
        },
        "ties of auto": [cell["tie"]["auto"] for cell in group],
        "seconds": {
            arm: float(np.median([c["seconds of arms"][arm] for c in group]))
            for arm in ARMS
        },
    }


def _paired(difference):
    error = (
        difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0
    )
    return {"mean": round(float(difference.mean()), 4), "error": round(float(error), 4)}


def show(summary):
    """Print the tables."""
    for key, cell in summary["time"].items():
        print(key, cell["median"], cell["ratio to plain"])
    for key, cell in summary["strength"].items():
        print(key, "truth {truth:.2f}, found {tie}, C {C[median]:.3g}".format(**cell))
    for name, table in summary["loss"].items():
        print(f"\n{name}, {table['n']} draws", table["mean"])
        for key, value in table.items():
            if key.startswith("auto minus"):
                print("  {}: {mean:+.4f} (se {error:.4f})".format(key, **value))
        print("  ties", table["ties of auto"], "seconds", table["seconds"])
    print("goal: {goal} | met {met}".format(**summary["goal"]))


STUDY = Study(
    "choice",
    QUESTION,
    {"spread": SPREAD, "families": FAMILIES, "draws": N_DRAWS, "sizes": SIZES},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
