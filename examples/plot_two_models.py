"""
How alike should two models be?
===============================

Two tasks with the same classes, A with 100 rows and B with 10, drawn at four places of
the dial. Separate (``tie=0``), B follows its ten rows, wherever chance put them. Tied,
it is pulled towards A; as one model (``tie=inf``) both share a line that is right for
neither.

What B gains on fresh rows, over thirty training sets (log-loss; paired differences
from ``tie=0`` with their standard error): 0.519 separate, 0.448 at ``tie=1``
(-0.071 ± 0.033), 0.557 as one model (+0.038 ± 0.042). So tying helps B here, and
sharing everything does not; at ``tie=10`` nothing is left of the gain. It depends on
how alike the two are: the true boundaries differ by 30 degrees here. With 10 degrees
in their place every positive tie helps (``tie=3``: -0.116 ± 0.040); with 60 hardly any
does (``tie=0.3``: -0.034 ± 0.022), and one model does harm (+0.301 ± 0.040).
"""

# %%
# Two data sets, one of them small
# --------------------------------
# A and B have the same two classes. The inputs of B are shifted, and the direction
# that separates its classes is turned by 30 degrees. The last column says which data
# set a row belongs to.
import numpy as np
from scipy.special import expit
from sklearn.metrics import log_loss

from sktie import TiedLogisticRegression

A, B = 0, 1
N_A, N_B = 100, 10
DIRECTION = 3.0 * np.array([[np.cos(t), np.sin(t)] for t in np.deg2rad([30, 60])])
CENTRE = np.array([[-0.6, 0.4], [0.6, -0.4]])


def draw_rows(which, n, rng):
    """Return inputs, the number of the data set as last column, and classes."""
    x = rng.normal(size=(n, 2))
    y = (rng.random(n) < expit(x @ DIRECTION[which])).astype(int)
    return np.column_stack([x + CENTRE[which], np.full(n, which)]), y


def draw_training_set(rng):
    X_a, y_a = draw_rows(A, N_A, rng)
    X_b, y_b = draw_rows(B, N_B, rng)
    while y_b.min() == y_b.max():  # tie=0 needs both classes in each
        X_b, y_b = draw_rows(B, N_B, rng)
    return np.vstack([X_a, X_b]), np.concatenate([y_a, y_b])


# %%
# How well does B do on fresh data?
# ---------------------------------
# Thirty training sets, for every tie and three values of ``C``. Each tie is then shown
# at the ``C`` that is best for it on average, so that no tie wins by a ``C`` that
# happens to suit it.
TIES = [0, 0.1, 0.3, 1, 3, 10, 30, np.inf]
CS = [1, 3, 10]
N_DRAWS = 30

rng = np.random.default_rng(0)
X_fresh, y_fresh = draw_rows(B, 5000, rng)
draws = [draw_training_set(rng) for _ in range(N_DRAWS)]


def fit(draw, tie, C):
    return TiedLogisticRegression(pair=-1, tie=tie, C=C).fit(*draw)


def loss_of_b(model):
    return log_loss(y_fresh, model.predict_proba(X_fresh))


losses = np.array(
    [[[loss_of_b(fit(draw, tie, C)) for draw in draws] for C in CS] for tie in TIES]
)
best_C = losses.mean(axis=2).argmin(axis=1)
losses = losses[np.arange(len(TIES)), best_C]
gain = losses - losses[0]

print(f"log-loss of B on fresh rows; B has {N_B} training rows, A {N_A}")
print(f"{'tie':>6}{'C':>5}{'mean':>8}   difference from tie=0 (± standard error)")
for tie, c, loss, d in zip(TIES, best_C, losses, gain, strict=True):
    error = d.std(ddof=1) / np.sqrt(N_DRAWS)
    print(f"{tie:>6g}{CS[c]:>5g}{loss.mean():>8.3f}   {d.mean():+.3f} ± {error:.3f}")

# %%
# The picture
# -----------
# The training set drawn is the one on which the losses change most nearly as they do
# on average; the curve below it is the average.
SHOWN = {0: "separate", 1: "tied", 10: "tied more", np.inf: "one model"}
COLOUR = {A: "#0072B2", B: "#D55E00"}  # Okabe and Ito
average = gain.mean(axis=1, keepdims=True)
shown_draw = draws[np.square(gain - average).sum(axis=0).argmin()]


def draw_boundary(ax, w, b, **style):
    """Draw the line where both classes are equally probable: w'x + b = 0."""
    ends = -b * w / (w @ w) + np.outer([-9, 9], [-w[1], w[0]]) / np.hypot(*w)
    ax.plot(*ends.T, **style)


def draw_panel(ax, tie):
    X, y = shown_draw
    model = fit(shown_draw, tie, CS[best_C[TIES.index(tie)]])
    truth = DIRECTION[B], -DIRECTION[B] @ CENTRE[B]
    draw_boundary(ax, *truth, color="0.25", lw=1.2, ls=":", zorder=1)
    for which, size, width in ((A, 14, 4), (B, 45, 2)):
        rows = X[:, -1] == which
        for label, face in ((0, "white"), (1, COLOUR[which])):
            ax.scatter(
                *X[rows & (y == label), :2].T,
                s=size,
                marker="o" if which == A else "s",
                facecolor=face,
                edgecolor=COLOUR[which],
                linewidth=0.8 if which == A else 1.4,
                alpha=0.45 if which == A else 1,
                zorder=2 + which,
            )
        draw_boundary(
            ax,
            model.domain_coef_[which, 0],
            model.domain_intercept_[which, 0],
            color=COLOUR[which],
            lw=width,
            ls="-" if which == A else (0, (4, 1.5)),
            zorder=4 + which,
        )
    name = "∞" if tie == np.inf else f"{tie:g}"
    ax.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"{SHOWN[tie]}\ntie = {name}", fontsize=11)
    for side in ax.spines.values():
        side.set_color("0.8")


def label_lines(ax):
    halo = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.7}
    for text, place, colour in (
        (f"A, {N_A} rows", (-0.3, 2.95), COLOUR[A]),
        (f"B, {N_B} rows", (-2.05, -0.95), COLOUR[B]),
        ("true B", (2.55, -2.25), "0.25"),
    ):
        ax.text(
            *place, text, color=colour, ha="center", va="center", fontsize=9, bbox=halo
        )


def draw_curve(ax):
    place = np.arange(len(TIES))
    mean, error = gain.mean(axis=1), gain.std(axis=1, ddof=1) / np.sqrt(N_DRAWS)
    ax.axhline(0, color="0.6", lw=1)
    ax.fill_between(place, mean - error, mean + error, color=COLOUR[B], alpha=0.2, lw=0)
    ax.plot(place, mean, "s-", color=COLOUR[B], ms=5)
    for tie, name in SHOWN.items():
        i = TIES.index(tie)
        ax.plot(i, mean[i], "s", color=COLOUR[B], ms=9)
        ax.annotate(name, (i, mean[i]), (0, 8), textcoords="offset points", ha="center")
    ax.set_xticks(place, ["0", *(f"{tie:g}" for tie in TIES[1:-1]), "∞"])
    ax.set_xlabel("tie")
    ax.set_ylabel("log-loss of B on fresh rows,\nchange from tie = 0")
    ax.spines[["top", "right"]].set_visible(False)


def draw(plt):
    figure = plt.figure(figsize=(9.6, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=[1.25, 1])
    panels = [figure.add_subplot(grid[0, i]) for i in range(4)]
    for ax, tie in zip(panels, SHOWN, strict=True):
        draw_panel(ax, tie)
    label_lines(panels[0])
    draw_curve(figure.add_subplot(grid[1, :]))
    return figure


try:
    import matplotlib.pyplot as plt
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw(plt).savefig("two_models.png", dpi=110)
    print("The figure is in two_models.png")
