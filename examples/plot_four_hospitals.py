"""
Does tying help each of four hospitals?
=======================================

920 patients of four hospitals, and one question: is a coronary vessel narrowed? A model
for each hospital (*separate*, ``tie=0``), one for all (*pooled*, ``tie=inf``), or four
that are *tied*, with the ``tie`` chosen by inner cross-validation?

**A little, and not everywhere.** The log-loss over all patients is 0.413 separate,
0.411 tied and 0.419 pooled. Tied against separate that is -0.002 ± 0.005, which is
nothing, and against pooled -0.008 ± 0.004 (± is the standard error of the paired
difference).

- VA Long Beach gains from the others: -0.018 ± 0.010 against its separate model, with
  an AUC of 0.731 after 0.703. Pooling serves it as well.
- Switzerland, where 93 % are ill, is hurt by pooling: tied is better by 0.040 ± 0.016.
  Against its separate model it gains nothing (+0.009 ± 0.023). It has eight patients
  without disease, too few to say more.
- Cleveland and Hungary have enough patients of their own: tied differs from separate
  by 0.002 at most. Hungary is better off tied than pooled (-0.012 ± 0.007).

**The intercepts matter more than the coefficients.** With the coefficients tied and an
intercept for each hospital (``tie_intercept=False``) the log-loss is 0.408, and the
inner cross-validation asks for ``tie=inf`` in 10 of 25 folds. That is hardly more than
scikit-learn's ``LogisticRegression`` with the hospital as a one-hot feature: 0.410, a
difference of -0.002 ± 0.003. These hospitals differ in how many of their patients are
ill, much more than in what the findings mean. What tying gives here is that nobody has
to know this beforehand: at no hospital is it worse than the better of separate and
pooled by more than 0.009.
"""

# %%
# The data
# --------
# The last column says which hospital a patient was seen at. It is no feature: it is
# passed through untouched and tells ``TiedLogisticRegression`` whose model a row
# belongs to. Where a value is missing the median over all hospitals stands in, with
# an indicator beside it: Switzerland recorded no cholesterol at all, so it has no
# median of its own.
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.datasets import load_heart_sites

heart = load_heart_sites(as_frame=False)
X, y = heart.data, heart.target
hospital = X[:, -1].astype(int)
categories = [heart.feature_names.index(name) for name in ("cp", "restecg")]
numbers = [i for i in range(X.shape[1] - 1) if i not in categories]

impute_numbers = SimpleImputer(strategy="median", add_indicator=True)
impute_categories = SimpleImputer(strategy="most_frequent")
preprocess = make_column_transformer(
    (make_pipeline(impute_numbers, StandardScaler()), numbers),
    (make_pipeline(impute_categories, OneHotEncoder()), categories),
    ("passthrough", [-1]),
)

# %%
# One fold
# --------
# Every model has its ``C`` chosen by the same inner cross-validation, from one grid:
# separate models want more decay than a pooled one. *Tied* also chooses its ``tie``
# there, 0 and infinity among the candidates. All folds are stratified by hospital and
# class: Switzerland has only eight patients without disease, and ``tie=0`` needs both
# classes at every hospital.
#
# `TiedLogisticRegressionCV` fits all ties of a ``C`` one from another, which takes a
# third of the time of a grid search and chooses the same.
#
# The inner folds share what ``preprocess`` learnt, medians and scales, but no labels.
# The outer test fold takes part in nothing.
TIES = [0, 1, 3, 10, 30, 100, np.inf]
CS = [4.0**k for k in range(-2, 2)]


def without_hospital(Z):
    return Z[:, :-1]


def one_hot_hospital(Z):
    return np.hstack([Z[:, :-1], Z[:, -1:] == np.unique(hospital)])


def one_fold(train, test, seed):
    """Return the probability of disease by each model, and the ties chosen."""
    folds = StratifiedKFold(4, shuffle=True, random_state=seed)
    inner = list(folds.split(train, 2 * hospital[train] + y[train]))
    encode = clone(preprocess).fit(X[train])
    Z, Z_test = encode.transform(X[train]), encode.transform(X[test])

    found, chosen = {}, {}
    for name, tie_intercept in (("tied", True), ("tied, own intercepts", False)):
        search = TiedLogisticRegressionCV(
            pair=-1,
            ties=TIES,
            Cs=CS,
            cv=inner,
            tie_intercept=tie_intercept,
            refit=False,
        ).fit(Z, y[train])
        chosen[name] = search.tie_
        best_C = search.Cs_[search.scores_.argmax(axis=0)]
        for tie, C in zip(TIES, best_C, strict=True):
            model = TiedLogisticRegression(
                pair=-1, tie=tie, C=C, tie_intercept=tie_intercept
            ).fit(Z, y[train])
            found[name, tie] = model.predict_proba(Z_test)[:, 1]
        found[name] = found[name, chosen[name]]

    def plain(view):
        model = LogisticRegression(max_iter=1000)
        search = GridSearchCV(model, {"C": CS}, cv=inner, scoring="neg_log_loss")
        return search.fit(view(Z), y[train]).predict_proba(view(Z_test))[:, 1]

    found["separate"] = found["tied", 0]
    found["pooled"] = found["tied", np.inf]
    found["scikit-learn, pooled"] = plain(without_hospital)
    found["scikit-learn, site one-hot"] = plain(one_hot_hospital)
    return found, chosen


# %%
# Five times five folds
# ---------------------
# In each repeat every patient is predicted once, by models that did not see that
# patient.
N_REPEATS = 5

tasks = [
    (train, test, repeat)
    for repeat in range(N_REPEATS)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=repeat).split(
        X, 2 * hospital + y
    )
]
results = Parallel(n_jobs=-1)(delayed(one_fold)(*task) for task in tasks)

probability = {name: np.empty((N_REPEATS, len(y))) for name in results[0][0]}
for (_, test, repeat), (found, _) in zip(tasks, results, strict=True):
    for name, values in found.items():
        probability[name][repeat, test] = values

# %%
# What came out
# -------------
# A score is computed from all predictions of a repeat for a hospital at once, not
# fold by fold: a test fold holds one or two healthy patients of Switzerland, too few
# for an AUC. (Five models then share one ranking, which costs a small hospital a
# little AUC, in every row of the table.) The spread is the standard
# deviation over the repeats: what the split does.
#
# The differences are paired, patient by patient, on the log-loss averaged over the
# repeats. Their standard error is over patients: what another set of patients would
# do. It is optimistic, for the training sets of the folds overlap.
ARMS = [
    "separate",
    "tied",
    "tied, own intercepts",
    "pooled",
    "scikit-learn, pooled",
    "scikit-learn, site one-hot",
]
SCORES = {
    "log-loss (lower is better)": log_loss,
    "AUC": roc_auc_score,
    "accuracy": lambda y, p: accuracy_score(y, p > 0.5),
}
PAIRS = [
    ("tied", "separate"),
    ("tied", "pooled"),
    ("tied, own intercepts", "separate"),
    ("tied, own intercepts", "tied"),
    ("tied, own intercepts", "scikit-learn, site one-hot"),
]
groups = {name: hospital == code for code, name in enumerate(heart.site_names)}
groups["all"] = np.ones(len(y), dtype=bool)


def loss_of_patients(name):
    p = probability[name]
    return -np.log(np.where(y == 1, p, 1 - p)).mean(axis=0)


def difference(first, second, rows):
    gap = (loss_of_patients(first) - loss_of_patients(second))[rows]
    return gap.mean(), gap.std(ddof=1) / np.sqrt(len(gap))


def print_row(title, cells):
    print(f"{title:<32}" + "".join(f"{cell:>16}" for cell in cells))


for title, score in SCORES.items():
    print_row(title, groups)
    for arm in ARMS:
        values = np.array(
            [[score(y[g], p[g]) for g in groups.values()] for p in probability[arm]]
        )
        spread = zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)
        print_row("  " + arm, [f"{mean:.3f} ± {std:.3f}" for mean, std in spread])
    print()
print_row("difference of log-loss", groups)
for first, second in PAIRS:
    print("  " + first + " - " + second)
    gaps = [difference(first, second, rows) for rows in groups.values()]
    print_row("", [f"{mean:+.3f} ± {error:.3f}" for mean, error in gaps])
print()
for name in results[0][1]:
    ties = [chosen[name] for _, chosen in results]
    counts = ", ".join(f"{t:g}: {ties.count(t)}" for t in TIES if t in ties)
    print(f"{name}: tie chosen in {len(ties)} folds (tie: times)  {counts}")

# %%
# The figure
# ----------
# From separate models on the left to shared coefficients on the right: what becomes of
# each hospital? The band is one standard error of the paired difference. The line of
# own intercepts ends, on the right, in one model but for its intercepts.
STYLES = {  # colours of Okabe and Ito
    "tied": ("#0072B2", "-", "o"),
    "tied, own intercepts": ("#D55E00", "--", "s"),
}


def draw_dial(ax, rows):
    place = np.arange(len(TIES))
    ax.axhline(0, color="0.6", lw=1)
    for name, (colour, line, marker) in STYLES.items():
        gaps = [difference((name, tie), "separate", rows) for tie in TIES]
        mean, error = np.array(gaps).T
        ax.fill_between(
            place, mean - error, mean + error, color=colour, alpha=0.18, lw=0
        )
        ax.plot(place, mean, color=colour, ls=line, marker=marker, ms=4)
    ax.set_xticks(place, ["0", *(f"{tie:g}" for tie in TIES[1:-1]), "∞"], fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("tie")


def draw(plt):
    figure, axes = plt.subplots(
        1, len(groups), figsize=(11, 3.4), sharey=True, layout="constrained"
    )
    for ax, (name, rows) in zip(axes, groups.items(), strict=True):
        draw_dial(ax, rows)
        ax.set_title(
            f"{name}\n{rows.sum()} patients, {y[rows].mean():.0%} ill", fontsize=10
        )
    axes[0].set_ylabel("change of log-loss against separate\n(below 0 is better)")
    busiest = axes[heart.site_names.index("Switzerland")]
    for place, text, name in (
        ((3.3, 0.052), "intercepts\ntied too", "tied"),
        ((3.0, -0.034), "own intercepts", "tied, own intercepts"),
    ):
        busiest.text(*place, text, color=STYLES[name][0], ha="center", fontsize=9)
    return figure


try:
    import matplotlib.pyplot as plt
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw(plt).savefig("four_hospitals.png", dpi=110)
    print("The figure is in four_hospitals.png")
