"""The evidence-chosen tie of intercepts beside a mixed model fitted by REML.

Exam scores of 4059 pupils in 65 schools (Goldstein et al. 1993), which are not shipped:
SKTIE_DATA names the folder of exam_65schools.csv.gz. The peer is `MixedLM` of
statsmodels, which is no dependency of sktie: install it beside sktie. Where either is
absent, the quick form says so and measures nothing; the whole form is refused.

Rules, fixed before anything is measured:

1. *intercept*: `normexam ~ standLRT + sex` with a random intercept for each school:
   `TiedRidge(tie=inf, alpha=0, tie_intercept="auto")`. `tie_intercept_` is to agree
   within 2 % with sigma^2 / (2 tau^2) of MixedLM, the intercepts of the schools with
   its BLUPs to 1e-3.
2. *slope*: `normexam ~ standLRT` with a random intercept and a random slope,
   independent: `TiedRidge(tie="auto", alpha=0, tie_intercept="auto")`; the same for
   both strengths, intercepts and slopes.
3. Both are fitted in turns on one thread, in seconds of the processor; a formula is
   read, and the rows of schools found, before the clock starts.
4. MixedLM runs by Powell's method (intercept) and by its default (slope), without
   random starts. Others of its methods stop early on these rows, and warn.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from _cells import Study, main
from _results import spread

from sktie import TiedRidge

TURNS = 5
QUESTION = "Is the evidence-chosen tie of intercepts the mixed model's?"


def read():
    """The pupils, as a frame."""
    import pandas as pd

    rows = pd.read_csv(Path(os.environ["SKTIE_DATA"]) / "exam_65schools.csv.gz")
    return rows.assign(male=(rows["sex"] == "M").astype(float))


def in_turns(own, peer):
    """Medians of seconds and their ratio, and both results of the last turn."""
    seconds = []
    for _ in range(1 + TURNS):
        turn, results = [], []
        for run in (own, peer):
            start = time.process_time()
            results.append(run())
            turn.append(time.process_time() - start)
        seconds.append(turn)
    seconds = np.array(seconds[1:])
    times = {
        "median_seconds": np.median(seconds, axis=0).round(5).tolist(),
        "ratio": spread(seconds[:, 1] / seconds[:, 0]),
    }
    return times, *results


def intercept(rows):
    """A random intercept."""
    import statsmodels.formula.api as smf

    model = smf.mixedlm("normexam ~ standLRT + male", rows, groups=rows["school"])
    labels = np.sort(rows["school"].unique())
    X, y = rows[["standLRT", "male"]].to_numpy(), rows["normexam"].to_numpy()
    tied = TiedRidge(tie=np.inf, alpha=0.0, tie_intercept="auto")
    domain = {"sample_domain": rows["school"].to_numpy()}
    times, ours, peer = in_turns(
        lambda: tied.fit(X, y, **domain),
        lambda: model.fit(reml=True, method="powell"),
    )
    effects = np.array([peer.random_effects[s].iloc[0] for s in labels])
    expected = peer.scale / (2 * peer.cov_re.iloc[0, 0])
    blups = peer.fe_params["Intercept"] + effects
    return {
        "tie": [ours.tie_intercept_, float(expected)],
        "sigma2": [ours.sigma2_, float(peer.scale)],
        "coef": [ours.coef_.tolist(), peer.fe_params[1:].tolist()],
        "largest difference": float(np.abs(ours.domain_intercept_ - blups).max()),
        **times,
    }


def slope(rows):
    """A random intercept and a random slope, independent of one another."""
    import statsmodels.formula.api as smf
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    model = smf.mixedlm(
        "normexam ~ standLRT", rows, groups=rows["school"], re_formula="~standLRT"
    )
    free = MixedLMParams.from_components(np.ones(2), np.eye(2))
    labels = np.sort(rows["school"].unique())
    X, y = rows[["standLRT"]].to_numpy(), rows["normexam"].to_numpy()
    tied = TiedRidge(tie="auto", alpha=0.0, tie_intercept="auto")
    domain = {"sample_domain": rows["school"].to_numpy()}
    times, ours, peer = in_turns(
        lambda: tied.fit(X, y, **domain), lambda: model.fit(reml=True, free=free)
    )
    effects = np.array([peer.random_effects[s].to_numpy() for s in labels])
    expected = peer.scale / (2 * np.diag(peer.cov_re))
    found = np.column_stack([ours.domain_intercept_, ours.domain_coef_])
    blups = peer.fe_params.to_numpy() + effects
    return {
        "tie": [ours.tie_intercept_, float(expected[0])],
        "tie of slopes": [ours.tie_, float(expected[1])],
        "sigma2": [ours.sigma2_, float(peer.scale)],
        "largest difference": float(np.abs(found - blups).max()),
        **times,
    }


def measure(key, quick, known):
    """One cell; a quarter of the schools in the quick form."""
    rows = read()
    if quick:
        rows = rows[rows["school"] % 4 == 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cell = {"intercept": intercept, "slope": slope}[key](rows)
    return {"statsmodels": version("statsmodels"), **cell}


def keys(quick):
    """Both models, or none in a quick run without the rows or the peer."""
    absent = missing()
    if absent and not quick:
        sys.exit(f"bench_mixed: {absent}")
    if absent:
        print(f"not measured: {absent}")
    return [] if absent else [["intercept", "slope"]]


def missing():
    """What has to be there and is not, as a sentence; empty where nothing is."""
    if not os.environ.get("SKTIE_DATA"):
        return "set SKTIE_DATA to the folder of exam_65schools.csv.gz."
    if importlib.util.find_spec("statsmodels") is None:
        return "install statsmodels, whose MixedLM is the peer."
    return ""


def summarise(cells):
    """The goals."""
    goals = []
    for key, cell in cells.items():
        for name in ("tie", "tie of slopes"):
            if name in cell:
                apart = abs(cell[name][0] / cell[name][1] - 1)
                text = f"{key}: {name} within 2 % of sigma^2 / (2 tau^2)"
                goals.append({"goal": text, "value": apart, "met": apart <= 0.02})
        value = cell["largest difference"]
        text = f"{key}: all domains within 1e-3 of the BLUPs"
        goals.append({"goal": text, "value": value, "met": value <= 1e-3})
    return {"goals": goals}


def show(summary):
    """Print the goals."""
    for line in summary["goals"]:
        print("goal: {goal} | value {value:.2g} | met {met}".format(**line))


STUDY = Study("mixed", QUESTION, {}, keys, measure, summarise, show)

if __name__ == "__main__":
    sys.exit(main(STUDY))
