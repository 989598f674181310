"""
How much of a school's score is the school?
===========================================

65 schools, of 2 to about 200 pupils each: should every school have its own regression
line, should all have one, or something between?

**Something between, and how far is in the rows.** With ties that the evidence chooses,
a school's predictions are off by 0.152 ± 0.010, with lines of their own by 0.211 ±
0.025 and with one line by 0.313 ± 0.018 (± is the standard deviation between 8 draws).
Schools of fewer than 20 pupils gain most, 0.219 against 0.345; but even those with more
than 80 lose nothing. This is what a mixed model does: a tied level is its prediction of
a random intercept, and the tie is ``sigma^2 / (2 tau^2)``, of the variances within and
between schools.

The pupils are simulated. The scores they imitate, of 4059 pupils in 65 schools in
London (Goldstein et al. 1993), may not be shipped; what is taken from them are the
variances of a mixed model: 0.55 within schools, 0.092 between their levels, 0.015
between their slopes. The normal distributions are those that the evidence assumes: no
draw can tell how much worse it fares where they are wrong. On the real scores it
chooses the ties of a mixed model fitted by REML, to within 0.02 %, and the lines of the
schools are those of that model (``tests/benchmarks/bench_mixed.py``).
"""

# %%
# The pupils
# ----------
# A school has a level and a slope of its own, and pupils that are better or worse when
# they come. Sizes are skewed: half of the schools have fewer than 50 pupils.
import numpy as np

from sktie import TiedRidge

N_SCHOOLS, NOISE, LEVELS, SLOPES = 65, 0.55, 0.092, 0.015
MEAN_LEVEL, MEAN_SLOPE = 0.0, 0.56


def draw(seed):
    """Return the pupils of 65 schools, and the true lines of these."""
    rng = np.random.default_rng(seed)
    sizes = np.clip(np.exp(rng.normal(3.8, 0.9, size=N_SCHOOLS)), 2, 200).astype(int)
    school = np.repeat(np.arange(N_SCHOOLS), sizes)
    lines = np.column_stack(
        [
            MEAN_SLOPE + np.sqrt(SLOPES) * rng.normal(size=N_SCHOOLS),
            MEAN_LEVEL + np.sqrt(LEVELS) * rng.normal(size=N_SCHOOLS),
        ]
    )
    intake = 0.3 * rng.normal(size=N_SCHOOLS)
    before = intake[school] + rng.normal(size=len(school))
    after = lines[school, 0] * before + lines[school, 1]
    after += np.sqrt(NOISE) * rng.normal(size=len(school))
    return before[:, np.newaxis], after, school, lines


# %%
# Three models
# ------------
# Without decay, as in a mixed model: ``tie`` is for the slopes, ``tie_intercept`` for
# the levels, and the evidence chooses both.
MODELS = {
    "separate": TiedRidge(tie=0.0, alpha=0.0),
    "tied": TiedRidge(tie="auto", alpha=0.0, tie_intercept="auto"),
    "pooled": TiedRidge(tie=np.inf, alpha=0.0),
}


def errors(seed):
    """Return models, sizes, and squared errors of each school's predictions.

    They are means over pupils like those of all schools, whose mean is 0 and variance 1
    and a little: the square of the error in the level plus that of the slope.
    """
    X, y, school, lines = draw(seed)
    fitted, found = {}, {}
    for name, model in MODELS.items():
        fitted[name] = model.fit(X, y, sample_domain=school)
        slope = model.domain_coef_[:, 0] - lines[:, 0]
        level = model.domain_intercept_ - lines[:, 1]
        found[name] = np.square(level) + np.square(slope)
    return np.bincount(school), found, model, lines


N_DRAWS = 8
sizes, squares = [], {name: [] for name in MODELS}
ties = []
for seed in range(N_DRAWS):
    size, found, _, _ = errors(seed)
    sizes.append(size)
    ties.append((MODELS["tied"].tie_, MODELS["tied"].tie_intercept_))
    for name, values in found.items():
        squares[name].append(values)

print(f"error of a school's predictions, root mean square over {N_SCHOOLS} schools")
print(f"({N_DRAWS} draws, ± standard deviation between them):")
small = np.array(sizes) < 20
for name, values in squares.items():
    rms = np.sqrt(np.mean(values, axis=1))
    few = np.sqrt(np.mean(np.array(values)[small]))
    many = np.sqrt(np.mean(np.array(values)[~small]))
    print(f"  {name:9} {rms.mean():.3f} ± {rms.std(ddof=1):.3f}", end="")
    print(f"   under 20 pupils {few:.3f}, others {many:.3f}")
slopes, levels = np.median(ties, axis=0)
print(f"chosen ties, median: slopes {slopes:.3g}, levels {levels:.3g}")
print(f"true ones: slopes {NOISE / 2 / SLOPES:.3g}, levels {NOISE / 2 / LEVELS:.3g}")

# %%
# The figure
# ----------
# Left: the first draw, every school's level as its own rows have it and as the tied
# model has it, over the truth. Right: errors over the size of the school, all draws.


def draw_figure():
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    X, y, school, lines = draw(0)
    size = np.bincount(school)
    looks = {"separate": ("#D55E00", "s"), "tied": ("#0072B2", "o")}
    for name, (colour, marker) in looks.items():
        model = MODELS[name].fit(X, y, sample_domain=school)
        left.scatter(
            lines[:, 1],
            model.domain_intercept_,
            s=6 + size / 3,
            marker=marker,
            alpha=0.6,
            color=colour,
            edgecolor="white",
            linewidth=0.4,
            label=name,
        )
    ends = np.array([-0.85, 0.85])
    left.plot(ends, ends, color="grey", lw=0.8)
    left.set(
        xlabel="true level of the school",
        ylabel="estimated level",
        title="Levels, tied: drawn to the mean",
    )
    left.legend(frameon=False)
    edges = np.array([2, 10, 20, 40, 80, 201])
    every = np.concatenate(sizes)
    place = np.digitize(every, edges) - 1
    middle = np.sqrt(edges[:-1] * edges[1:])
    lines = {"separate": "--", "tied": "-", "pooled": ":"}
    looks["pooled"] = ("#007A5A", "^")
    for name, (colour, marker) in looks.items():
        values = np.concatenate(squares[name])
        rms = [np.sqrt(values[place == k].mean()) for k in range(len(middle))]
        right.plot(middle, rms, lines[name], marker=marker, color=colour, label=name)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="pupils of the school",
        ylabel="error of its predictions",
        title="At every size, tied lines predict best",
    )
    right.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    right.set_yticks([0.1, 0.2, 0.3, 0.4], ["0.1", "0.2", "0.3", "0.4"])
    right.minorticks_off()
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


try:
    import matplotlib  # noqa: F401
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw_figure().savefig("schools.png", dpi=110)
    print("The figure is in schools.png")
