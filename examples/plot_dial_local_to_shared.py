"""
How much should the places of an image share?
=============================================

``tie`` is a dial. At 0 every place of an image has kernels of its own; at infinity all
places share theirs; between, they are pulled to their mean. Where should it stand?

**At one end or the other, here: at 0 where location matters, at infinity where it does
not.** On centred digits accuracy falls from 0.93 (local kernels) to 0.88 (convolution);
on digits anywhere in a larger frame it rises from 0.49 to 0.87. The standard deviation
over five draws is 0.01 to 0.04.

No tie in between is the best of all. The finite tie that other rows choose is 0.004 ±
0.002 (standard error) behind local kernels on the centred digits, and 0.009 ± 0.004
behind the convolution on the others. What speaks for it is that it is nearly right on
both: with a tie of 1000 accuracy is 0.90 and 0.86. Biases go with the default: at
infinity they are shared, else each place has its own.

Longer training does not change this: with 200 epochs in place of 60 all gain 0.02 to
0.06 on digits that do not test (three draws), and the best ends are the same. Other
networks and numbers of rows are in ``tests/benchmarks/bench_dial.py``.
"""

# %%
# Two sets of the same digits
# ---------------------------
# *Centred:* the images of ``load_digits`` as they are. All digits fill the frame in the
# same way, so it says much where a stroke is. *Anywhere:* every digit at a place drawn
# at random in a larger frame. Where a stroke is now says nothing.
#
# 500 of the digits are for testing alone. 300 of the others are learned from, and the
# rest can choose a tie; which are which, where they stand, and the start of the
# training, is drawn anew five times.
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sktie import SharedConvClassifier
from sktie.inspection import KernelDisplay

N_TRAIN, N_DRAWS, SIDE, FRAME = 300, 5, 8, 12
TIES = [0, 1, 10, 100, 1000, np.inf]
CENTRED, ANYWHERE = "centred", "anywhere"

X, y = load_digits(return_X_y=True)
digits = X.reshape(-1, SIDE, SIDE).astype(np.float32)
others, test = train_test_split(
    np.arange(len(y)), test_size=500, stratify=y, random_state=0
)


def images(name, seed):
    """Return all digits as they are, or each at a place drawn at random."""
    if name == CENTRED:
        return digits
    frames = np.zeros((len(digits), FRAME, FRAME), np.float32)
    corners = np.random.default_rng(seed).integers(FRAME - SIDE + 1, size=(len(y), 2))
    for frame, digit, (row, column) in zip(frames, digits, corners, strict=True):
        frame[row : row + SIDE, column : column + SIDE] = digit
    return frames


# %%
# The network
# -----------
# One layer of 12 kernels, of each of which the largest output counts
# (``global_pool``), wherever it is: so nothing but the kernels can know about places.
# All but ``tie`` is the same throughout, and was settled on digits that do not test.
NETWORK = {
    "filters": 12,
    "kernel_size": 7,
    "pool_size": 1,
    "global_pool": "max",
    "max_iter": 60,
    "n_jobs": 1,
}


def one_draw(name, seed):
    """Return the networks for all ties, and their scores to choose by and to report."""
    frames = images(name, seed)
    train, choice = train_test_split(
        others, train_size=N_TRAIN, stratify=y[others], random_state=seed
    )
    models = [
        SharedConvClassifier(**NETWORK, tie=tie, random_state=seed).fit(
            frames[train], y[train]
        )
        for tie in TIES
    ]
    scores = [
        [model.score(frames[rows], y[rows]) for model in models]
        for rows in (choice, test)
    ]
    return models, scores


cells = [(name, seed) for name in (CENTRED, ANYWHERE) for seed in range(N_DRAWS)]
results = dict(
    zip(cells, Parallel(n_jobs=-1)(delayed(one_draw)(*c) for c in cells), strict=True)
)
choice, accuracy = (
    {
        name: np.array([results[name, seed][1][k] for seed in range(N_DRAWS)])
        for name in (CENTRED, ANYWHERE)
    }
    for k in (0, 1)
)

# %%
# What came out
# -------------
# Mean and standard deviation over the draws. In each draw the rows to choose by name
# the best finite tie, the smallest among equals; it is compared with both ends, as the
# mean of the differences and its standard error.
print(f"{'accuracy; tie:':<20}" + "".join(f"{tie:>16g}" for tie in TIES))
for name, values in accuracy.items():
    cells = zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)
    print(f"  {name:<18}" + "".join(f"{m:>8.3f} ± {s:.3f}" for m, s in cells))
for name, values in accuracy.items():
    best = 1 + choice[name][:, 1:-1].argmax(axis=1)
    print(f"{name}: finite ties chosen {[TIES[k] for k in best]}")
    for end in (0, -1):
        gap = values[np.arange(N_DRAWS), best] - values[:, end]
        error = gap.std(ddof=1) / np.sqrt(N_DRAWS)
        print(f"  minus tie={TIES[end]:g}: {gap.mean():+.3f} ± {error:.3f}")

# %%
# The figure
# ----------
# Below the scores is one kernel of the first draw, as it is at sixteen neighbouring
# places. All places start from the same kernels; what pulls them apart is training.
STYLES = {  # colours of Okabe and Ito
    CENTRED: ("#0072B2", "o", "digits centred: where a stroke is says much"),
    ANYWHERE: ("#D55E00", "s", "digits anywhere: where a stroke is says nothing"),
}
SHOWN = [0, 10, 100, np.inf]
NAMES = {0: "0\nlocal kernels", np.inf: "∞\nconvolution"}


def draw_scores(ax):
    ticks = np.arange(len(TIES))
    for name, (colour, marker, _) in STYLES.items():
        values = accuracy[name]
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        ax.fill_between(
            ticks, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0
        )
        ax.plot(ticks[1:-1], mean[1:-1], color=colour, marker=marker)
        for ends in (slice(2), slice(-2, None)):  # 0 and infinity lie far away
            ax.plot(ticks[ends], mean[ends], color=colour, marker=marker, ls=":")
    for name, place in ((CENTRED, (0.9, 0.955)), (ANYWHERE, (2.1, 0.665))):
        colour, _, text = STYLES[name]
        ax.text(*place, text, color=colour)
    ax.set_xticks(ticks, [NAMES.get(tie, f"{tie:g}") for tie in TIES])
    ax.set(xlabel="tie of the kernels of all places", ylim=(0.45, 1.0))
    ax.set_ylabel("accuracy on new digits")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(
        "Local kernels for centred digits, a convolution for digits anywhere: "
        "no tie between is best",
        loc="left",
    )


def draw_samples(axes, name):
    for ax, image in zip(axes, images(name, 0)[test], strict=False):
        ax.imshow(image, cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(STYLES[name][0])


def draw_kernels(half):
    """Draw one kernel at four by four places, for some ties."""
    models = results[ANYWHERE, 0][0]
    shape = (4, 4, 7, 7)
    places = []
    for tie in SHOWN:
        kernels = models[TIES.index(tie)].coefs_[0][..., 0, 0]
        inner = kernels[4:8, 4:8] if kernels.ndim == 4 else kernels
        places.append(np.broadcast_to(inner, shape))
    axes = KernelDisplay(np.stack(places, axis=-1)).plot(half.subplots()).axes_
    for ax, tie in zip(axes, SHOWN, strict=True):
        ax.set_title(f"tie = {tie:g}".replace("inf", "∞"), fontsize="medium")
    title = "One kernel at 4 x 4 places, from digits anywhere"
    half.suptitle(title, fontsize="large")


def draw(plt):
    figure = plt.figure(figsize=(9.6, 7.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.6, 1], hspace=0.03)
    left, right = top.subfigures(1, 2, width_ratios=[7, 1])
    draw_scores(left.subplots())
    grid = right.subplots(6, 1)
    draw_samples(grid[:3], CENTRED)
    draw_samples(grid[3:], ANYWHERE)
    draw_kernels(bottom)
    return figure


try:
    import matplotlib.pyplot as plt
except ImportError:
    print('No figure without matplotlib: python -m pip install "sktie[plot]"')
else:
    draw(plt).savefig("dial_local_to_shared.png", dpi=100)
    print("The figure is in dial_local_to_shared.png")
