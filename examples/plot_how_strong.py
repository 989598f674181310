"""
Where between separate and shared do four hospitals belong?
===========================================================

Coefficients that are tied move from one model for each hospital (``tie=0``) to one for
all (``tie=inf``). Where on the way do they predict best?

**In between, at a tie of about 5.** The leave-one-out log-loss is 0.409 there. Separate
models are worse by 0.009 ± 0.005, and one shared model by 0.031 ± 0.008 (± is the
standard error of the paired difference). Ties from 4.6 to 22 are within one standard
error of the best, so the strength need not be found precisely.

The figure shows why. All ten women of Switzerland were ill, so that its own model takes
women for the sicker. The others know better, and at the best tie Switzerland has learnt
it from them: only 31 % of its estimate is its own. Cleveland and Hungary keep more than
half.

Two grains of salt. The best of 24 scores flatters: with ``tie`` and ``C`` chosen on
other patients than they are scored on, hardly a gain over separate models is left
(``plot_four_hospitals.py``). And what resists sharing is mostly the share of the ill:
with ``tie_intercept=False`` one vector of coefficients for all is worse than the best
tie by 0.001 ± 0.001.
"""

# %%
# The data
# --------
# 920 patients of four hospitals, and one question: is a coronary vessel narrowed? The
# column ``site`` says where a patient was seen; it is no feature, and names the domain
# of each row. Numbers are on one scale, where a value is missing the median over all
# hospitals stands in. Medians and scales come from all rows, but from no label.
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktie import TiedLogisticRegression
from sktie.datasets import load_heart_sites
from sktie.inspection import TyingPathDisplay, tying_path, tying_report

heart = load_heart_sites()
categories = ["sex", "cp", "restecg"]
numbers = list(heart.data.columns.drop([*categories, "site"]))
preprocess = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(drop="if_binary", sparse_output=False),
        ),
        categories,
    ),
    ("passthrough", ["site"]),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
X, y = preprocess.fit_transform(heart.data), heart.target

# %%
# One path
# --------
# 24 strengths, 0 and infinity among them, each fitted from the one before, and each
# scored on every patient by the model that would not have seen that patient.
model = TiedLogisticRegression("site")
path = tying_path(model, X, y)


loss = -path.scores
print(f"best tie {path.best_tie:.2g}, leave-one-out log-loss {loss.min():.3f}")
for name, place in (("separate", 0), ("shared", -1)):
    worse, error = loss[place] - loss.min(), path.paired_errors[place]
    print(f"  {name} is worse by {worse:.3f} ± {error:.3f}")
near = path.ties[loss - loss.min() <= path.paired_errors]
print(f"  ties within one standard error: {near.min():.2g} to {near.max():.2g}")

# %%
# Who borrows
# -----------
# At the best tie, how much of each hospital's model comes from its own patients?
model.set_params(tie=path.best_tie).fit(X, y)
print(tying_report(model, X, y))

# %%
# The same with intercepts that are free:
free = tying_path(TiedLogisticRegression("site", tie_intercept=False), X, y)
gap, error = free.scores.max() - free.scores[-1], free.paired_errors[-1]
print(f"free intercepts: shared against the best tie {gap:+.3f} ± {error:.3f}")

# %%
# The figure
# ----------
# The three features whose coefficients the tie moves most, and the score.


def draw():
    figure = TyingPathDisplay(path).plot().figure_
    figure.suptitle("Tied hospitals predict better than separate or shared ones")
    return figure


try:
    import matplotlib  # noqa: F401
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw().savefig("how_strong.png", dpi=110)
    print("The figure is in how_strong.png")
