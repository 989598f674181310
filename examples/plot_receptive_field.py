"""
Who sees whom in a convolution?
===============================

Five inputs and five outputs. In a dense layer every output sees every input: 25 links,
and a weight for each. In a convolution whose kernel has width 3 an output sees three
neighbouring inputs, and an input affects three outputs: 13 links, and three weights,
for all outputs share theirs.

The figure follows figures 9.2, 9.3 and 9.5 of Goodfellow, Bengio and Courville, *Deep
Learning*. Its links are computed, not placed by hand.
"""

# %%
# Two networks
# ------------
# A signal of length 5, and layers of five units each: two convolutions with one kernel,
# or dense layers. Training does not matter here, for links are the same whatever the
# weights; one epoch on random signals will do.
import numpy as np

from sktie import SharedConvClassifier
from sktie.inspection import influence, receptive_field, sharing_report

LENGTH, MIDDLE = 5, 2
rng = np.random.default_rng(0)
X, y = rng.normal(size=(20, LENGTH)), np.arange(20) % 2

settings = {"image_shape": (LENGTH,), "max_iter": 1, "random_state": 0}
convolution = SharedConvClassifier((1, 1), kernel_size=3, pool_size=1, **settings)
dense = SharedConvClassifier((), hidden_layer_sizes=(LENGTH, LENGTH), **settings)
convolution.fit(X, y)
dense.fit(X, y)

# %%
# Both directions
# ---------------
# ``influence`` follows the links up, from an input to what it affects;
# ``receptive_field`` follows them down, from a unit to the inputs it sees. A unit g3
# one layer up sees all five inputs, through three units: what units see grows with
# depth.
#
# The report counts as Table 11.1 of *The Elements of Statistical Learning* does: 15
# links of a convolution, two of them to the padding at the ends, and five to biases.
for name, model in (("convolution", convolution), ("dense layers", dense)):
    print(f"{name}: what x3 affects, what s3 sees, and what g3 above it sees")
    found = (
        influence(model, MIDDLE, 0),
        receptive_field(model, 0, MIDDLE),
        receptive_field(model, 1, MIDDLE),
    )
    print("  " + ", ".join(str(mask.astype(int).ravel()) for mask in found))
print()
print(sharing_report(convolution))


# %%
# The figure
# ----------
# Every line is a link that ``influence`` reports. Lines of the convolution that look
# alike share a weight; of the dense layer, each line has a weight of its own.
STYLES = [  # Colours of Okabe and Ito, for the three weights of the kernel.
    {"color": "#009E73", "ls": (0, (1, 1))},
    {"color": "#0072B2", "ls": "-"},
    {"color": "#D55E00", "ls": (0, (4, 1.5))},
]
DENSE = {"color": "0.15", "ls": "-"}
HEIGHT = 1.7


def draw_unit(ax, place, level, name, asked, answer):
    """Draw a circle: black if it is asked about, grey if it is in the answer."""
    face, edge, ink = ("0.86", "0.15", "black") if answer else ("white", "0.75", "0.55")
    if asked:
        face, edge, ink = "0.15", "0.15", "white"
    place = place, level * HEIGHT
    ax.scatter(*place, s=620, color=face, edgecolor=edge, lw=1.6, zorder=4)
    text = {"ha": "center", "va": "center_baseline", "fontsize": 12, "zorder": 5}
    ax.text(*place, name, color=ink, **text)


def draw_link(ax, i, o, tap, lit):
    """Draw the line from an input to an output."""
    style = DENSE if tap is None else STYLES[tap]
    width, alpha = (2.4, 1.0) if lit else (1.3, 0.15 if tap is None else 0.3)
    ax.plot([i, o], [0, HEIGHT], lw=width, alpha=alpha, zorder=2 if lit else 1, **style)
    if lit and tap is not None:
        ax.text(
            i + 0.55 * (o - i),
            0.55 * HEIGHT,
            f"$w_{tap + 1}$",
            color=style["color"],
            ha="center",
            va="center",
            fontsize=12,
            bbox={"fc": "white", "ec": "none", "pad": 1.5},
            zorder=3,
        )


def draw_panel(ax, links, shared, from_below):
    """Draw inputs x and outputs s, and what the middle one has to do with."""
    for i, o in np.argwhere(links):
        lit = (i if from_below else o) == MIDDLE
        draw_link(ax, i, o, i - o + 1 if shared else None, lit)
    answer = links[MIDDLE] if from_below else links[:, MIDDLE]
    for place in range(LENGTH):
        chosen = place == MIDDLE
        x = chosen and from_below, answer[place] and not from_below
        s = chosen and not from_below, answer[place] and from_below
        draw_unit(ax, place, 0, f"$x_{place + 1}$", *x)
        draw_unit(ax, place, 1, f"$s_{place + 1}$", *s)
    ax.set(xlim=(-0.5, LENGTH - 0.5), ylim=(-0.3, HEIGHT + 0.3))
    ax.set_axis_off()
    verb = "$x_3$ affects {} outputs" if from_below else "$s_3$ sees {} inputs"
    ax.set_title(verb.format(answer.sum()), fontsize=11)


def draw(plt):
    figure = plt.figure(figsize=(9.6, 6.2), layout="constrained")
    halves = figure.subfigures(1, 2, wspace=0.04)
    models = {"Convolution": convolution, "Dense layer": dense}
    for half, (name, model) in zip(halves, models.items(), strict=True):
        links = np.array([influence(model, i, 0).ravel() for i in range(LENGTH)])
        n_links, n_weights = links.sum(), model.coefs_[0].size
        half.suptitle(f"{name}: {n_links} links, {n_weights} weights", fontsize=14)
        for ax, from_below in zip(half.subplots(2, 1), (True, False), strict=True):
            draw_panel(ax, links, model is convolution, from_below)
    return figure


try:
    import matplotlib.pyplot as plt
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw(plt).savefig("receptive_field.png", dpi=110)
    print("The figure is in receptive_field.png")
