"""
When does a hospital outgrow the model of others?
=================================================

A new hospital has 15, 30 or 60 patients of its own, and a model that three other
hospitals have made. It may take that model as it is, fit its own patients alone
(``LogisticRegression()``), or tie its own fit to the model of the others, as strongly
as the evidence says. Each of four hospitals is the new one in turn.

**Two not with 60 patients, one with 30, one with the first 15.** In Cleveland and Long
Beach the model of the others has a log-loss of 0.481 and 0.527 on other patients, and
60 of their own alone come to 0.498 and 0.547. Hungary passes it with 30 patients, and
Switzerland, where 93 % are ill, at once: 0.254 against 0.535.

Nobody knows beforehand which of these a hospital is. The tied model is near the better
of the two from 30 patients on, within 0.02, but for Switzerland, where it needs an
intercept of its own (0.241 against 0.233 with 30 patients). With 15 patients the
strength is itself a guess: the standard deviation between 20 draws is up to 0.11, with
an intercept of its own up to 0.23, and the model of the others, or decay, is the safer
choice. In Hungary the evidence errs now and then with 60 patients, too.
"""

# %%
# A model from three hospitals
# ----------------------------
# Each hospital is the new one in turn. Its patients take no part in the model of the
# others, nor in the medians and scales, which go with that model: coefficients mean
# something on the scale that they were trained on.
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktie import TiedLogisticRegression
from sktie.datasets import load_heart_sites

X, y = load_heart_sites(return_X_y=True)
hospital = X["site"].to_numpy(str)
numbers = ["age", "trestbps", "thalach", "exang", "oldpeak"]
prepare = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    (OneHotEncoder(drop="if_binary"), ["sex", "cp"]),
)
SIZES, N_DRAWS = [15, 30, 60], 20
NAMES = ["others' model", "own patients alone", "tied", "tied, own intercept"]


def one_hospital(name):
    """Return the log-loss on other patients of it: draws, numbers of patients, models.

    Half of the hospital is to test on. Of the other half, some are there to learn from.
    """
    new = hospital == name
    others = LogisticRegression().fit(prepare.fit_transform(X[~new]), y[~new])
    Z, target = prepare.transform(X[new]), y[new].to_numpy()
    tied = TiedLogisticRegression(FrozenEstimator(others), tie="auto", C=np.inf)
    free = clone(tied).set_params(tie_intercept=False)
    to_fit = LogisticRegression(), tied, free

    def one_draw(seed):
        train, test = train_test_split(
            np.arange(len(target)), test_size=0.5, stratify=target, random_state=seed
        )
        found = []
        for n in SIZES:
            rows = train
            if n < len(train) - 1:
                rows, _ = train_test_split(
                    train, train_size=n, stratify=target[train], random_state=seed
                )
            models = [others, *(m.fit(Z[rows], target[rows]) for m in to_fit)]
            found.append(
                [log_loss(target[test], m.predict_proba(Z[test])) for m in models]
            )
        return found

    return np.array([one_draw(seed) for seed in range(N_DRAWS)])


names = sorted(set(hospital))
loss = dict(
    zip(names, Parallel(n_jobs=-1)(map(delayed(one_hospital), names)), strict=True)
)
print(
    f"log-loss on other patients, {N_DRAWS} draws (± standard deviation between them)"
)
for name in names:
    print(f"{name:<24}", *(f"{model:>22}" for model in NAMES))
    for k, n in enumerate(SIZES):
        mean, spread = (
            loss[name][:, k].mean(axis=0),
            loss[name][:, k].std(axis=0, ddof=1),
        )
        cells = (f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True))
        print(f"{n:>15} patients", *(f"{cell:>22}" for cell in cells))

# %%
# The figure
# ----------
# Bars are standard deviations between the draws.


def draw():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(11, 3.6), layout="constrained")
    looks = {
        1: ("#D55E00", "s", "--"),
        2: ("#0072B2", "o", "-"),
        3: ("#007A5A", "^", ":"),
    }
    place = np.arange(len(SIZES))
    for ax, name in zip(axes, names, strict=True):
        mean, spread = loss[name].mean(axis=0), loss[name].std(axis=0, ddof=1)
        ax.axhline(mean[0, 0], color="0.4", lw=1.5, label=NAMES[0])
        for k, (colour, marker, line) in looks.items():
            ax.errorbar(
                place + 0.1 * (k - 2),
                mean[:, k],
                spread[:, k],
                color=colour,
                marker=marker,
                ls=line,
                capsize=2,
                elinewidth=0.8,
                label=NAMES[k],
            )
        ax.set_xticks(place, [str(n) for n in SIZES])
        ax.set_title(f"{name}\n{y[hospital == name].mean():.0%} ill", fontsize=10)
        ax.set_ylim(0.15, 0.85)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("own patients")
    axes[0].set_ylabel("log-loss on other patients")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


try:
    import matplotlib  # noqa: F401
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw().savefig("transfer.png", dpi=110)
    print("The figure is in transfer.png")
