"""
Should these hospitals share one model?
=======================================

Four hospitals, fourteen coefficients. ``compatibility_test`` asks whether the rows
contradict the belief that every coefficient is the same everywhere; the path of ties
asks what the belief costs in predictions. Do the two agree, and whom do they exclude?

**Three may share; the fourth may share all but its intercept.**

- Cleveland, Hungary and VA Long Beach: nothing speaks against one model (p = 0.09, and
  no coefficient stands out). It predicts worse than the best tie by 0.002 ± 0.003 in
  leave-one-out log-loss: not measurably.
- With Switzerland, where 93 % are ill, one model is rejected (p < 0.0001), and costs
  0.031 ± 0.008.
- With Switzerland, but an intercept for each hospital: p = 0.09 again, and a cost of
  0.000 ± 0.001.

The test needs no tie and no decay, the path needs no null hypothesis, and they say the
same. Take the test with a grain of salt: p = 0.09 with 28 coefficients to compare is no
proof that they are equal, and the three cases were looked at one after the other.
Hungary and Cleveland alone are on the edge (p = 0.07; with free intercepts 0.05). What
a test cannot say is whether a tie pays: separate models are worse than the best tie
here by 0.010 ± 0.006 although nothing is rejected, and a rejection would not tell how
strong to tie instead.
"""

# %%
# The data
# --------
# 920 patients, and one question: is a coronary vessel narrowed? Every category but the
# first has a column of its own, so that nothing is collinear; numbers are on one scale,
# and where one is missing the median over the hospitals stands in.
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktie import TiedLogisticRegression
from sktie.datasets import load_heart_sites
from sktie.inspection import compatibility_test, tying_path

heart = load_heart_sites()
categories = ["sex", "cp", "restecg"]
numbers = list(heart.data.columns.drop([*categories, "site"]))
preprocess = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(drop="first", sparse_output=False),
        ),
        categories,
    ),
    ("passthrough", ["site"]),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
everyone = np.ones(len(heart.target), dtype=bool)
three = (heart.data["site"] != "Switzerland").to_numpy()

# %%
# Two questions, three times
# --------------------------
# Where the classes of a hospital are separable its likelihood has no maximum, and a
# score test decides, which needs the shared model only: Switzerland has eight patients
# without disease. Its p-value, too, is for all coefficients together.
CASES = {
    "three hospitals": (three, True),
    "with Switzerland": (everyone, True),
    "with Switzerland,\nintercepts free": (everyone, False),
}
pvalues, costs, errors = [], [], []
for name, (rows, tie_intercept) in CASES.items():
    X, y = preprocess.fit_transform(heart.data[rows]), heart.target[rows]
    model = TiedLogisticRegression("site", tie_intercept=tie_intercept)
    # The bootstrap is for single coefficients, where even the score test cannot tell.
    report = compatibility_test(model, X, y, n_bootstrap=0)
    path = tying_path(model, X, y)
    pvalues.append(report.pvalue)
    costs.append(path.scores.max() - path.scores[-1])
    errors.append(path.paired_errors[-1])
    print(f"{' '.join(name.split())}: p = {report.pvalue:.2g}", end=", ")
    print(f"sharing costs {costs[-1]:.3f} ± {errors[-1]:.3f}", end=", ")
    apart = path.scores.max() - path.scores[0], path.paired_errors[0]
    print(f"separating {apart[0]:.3f} ± {apart[1]:.3f}")
    if rows is three:
        print(report)

# %%
# The figure
# ----------
# Evidence against sharing on the left, what sharing costs on the right.


def draw():
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.2), sharey=True, layout="constrained"
    )
    places = np.arange(len(CASES))
    left.plot(pvalues, places, "o", color="tab:blue", ms=9)
    left.axvline(0.05, color="0.5", lw=1, ls="--")
    left.text(0.05, -0.75, "0.05", color="0.4", ha="center", va="center")
    left.set(xscale="log", xlim=(1e-8, 1), xlabel="p-value of one model for all")
    left.set(yticks=places, yticklabels=list(CASES), ylim=(len(CASES) - 0.5, -0.5))
    right.errorbar(costs, places, xerr=errors, fmt="o", color="tab:blue", ms=9)
    right.axvline(0, color="0.5", lw=1, ls="--")
    right.set(xlabel="leave-one-out log-loss of sharing,\nabove the best tie (± 1 SE)")
    figure.suptitle("One model for three of four; for all, if intercepts are free")
    return figure


try:
    import matplotlib  # noqa: F401
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw().savefig("should_these_be_tied.png", dpi=110)
    print("The figure is in should_these_be_tied.png")
