"""
With how many rows does a tie stop to matter?
=============================================

Domains with many rows can be fitted alone, and domains with few cannot. Where between
is the border, and what becomes of one model for all?

**With eighty rows for each coefficient nothing is left to gain.** Eight domains have
five coefficients each, which differ by half as much from domain to domain as they are
large. With 25 rows a domain the tie gains 0.153 ± 0.012 in log-loss over separate
models, with 100 rows 0.016 ± 0.002, with 400 only 0.001 (± is the standard error over
20 draws). It never loses, because the strength is the one that the drawn deviations
call for. One shared model is nearly as good as the tied one with 25 rows, 0.015 ± 0.002
behind, and 0.048 ± 0.003 behind with 400: what it lacks are parameters, not rows.
"""

# %%
# Domains that are alike
# ----------------------
# Coefficients are a centre that is drawn from N(0, 1), plus deviations from N(0, 0.25).
# A tie of 2 is the strength of that prior, ``1 / (2 * 0.25)``, and the same for every
# number of rows.
import numpy as np
from sklearn.metrics import log_loss

from sktie import TiedLogisticRegression

N_DOMAINS, N_FEATURES, DEVIATION, N_DRAWS = 8, 5, 0.5, 20
SIZES = [25, 50, 100, 200, 400, 800]
TIES = {"separate": 0.0, "tied": 1 / (2 * DEVIATION**2), "shared": np.inf}


def draw(coefs, n, rng):
    """Return n rows of each domain, the domain as last column, and their classes."""
    domain = np.repeat(np.arange(N_DOMAINS), n)
    x = rng.normal(size=(len(domain), N_FEATURES))
    y = np.sum(x * coefs[domain], axis=1) + rng.logistic(size=len(domain)) > 0
    return np.column_stack([x, domain]), y


def losses(seed):
    """Return the log-loss on other rows, for every size and tie."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=N_FEATURES)
    coefs = centre + DEVIATION * rng.normal(size=(N_DOMAINS, N_FEATURES))
    X_test, y_test = draw(coefs, 500, rng)
    found = []
    for n in SIZES:
        X, y = draw(coefs, n, rng)
        models = [TiedLogisticRegression(-1, tie=tie, C=10) for tie in TIES.values()]
        found.append(
            [
                log_loss(y_test, model.fit(X, y).predict_proba(X_test))
                for model in models
            ]
        )
    return found


loss = np.array([losses(seed) for seed in range(N_DRAWS)])
print("log-loss on other rows, and what the tie gains (± standard error)")
print(
    f"{'rows':>5}", *(f"{name:>9}" for name in TIES), "  over separate    over shared"
)
for k, n in enumerate(SIZES):
    gains = loss[:, k, [0, 2]] - loss[:, k, [1]]
    errors = gains.std(axis=0, ddof=1) / np.sqrt(N_DRAWS)
    print(f"{n:>5}", *(f"{value:9.3f}" for value in loss[:, k].mean(axis=0)), end="  ")
    print(
        *(
            f"{g:+.3f} ± {e:.3f}"
            for g, e in zip(gains.mean(axis=0), errors, strict=True)
        )
    )

# %%
# The figure
# ----------
# Bands are standard errors of the difference from the tied model.


def draw_figure():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    looks = {"separate": ("#D55E00", "s--"), "tied": ("#0072B2", "o-")}
    looks["shared"] = ("#007A5A", "^:")
    for k, name in enumerate(TIES):
        colour, marks = looks[name]
        mean = loss[:, :, k].mean(axis=0)
        error = (loss[:, :, k] - loss[:, :, 1]).std(axis=0, ddof=1) / np.sqrt(N_DRAWS)
        ax.fill_between(
            SIZES, mean - error, mean + error, color=colour, alpha=0.2, lw=0
        )
        ax.plot(SIZES, mean, marks, color=colour, label=name)
    ax.set(
        xscale="log",
        xlabel="rows of each domain",
        ylabel="log-loss on other rows",
        title="Rows make the tie needless, and one shared model wrong",
    )
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return figure


try:
    import matplotlib  # noqa: F401
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw_figure().savefig("how_many_rows.png", dpi=110)
    print("The figure is in how_many_rows.png")
