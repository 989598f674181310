"""Draw the figures of the idea: ``python docs/draw_figures.py`` (needs matplotlib).

Every picture is drawn twice, ``NAME-light.svg`` and ``NAME-dark.svg``, without a
background, in inks for pages of either kind. Nothing is drawn by hand that could be
computed: points are minima of the penalised losses whose contours are shown.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np

IMAGES = Path(__file__).parent / "images"
RESULTS = Path(__file__).parents[1] / "tests" / "benchmarks" / "results"
TIES = [0.0, *np.geomspace(1e-3, 1e3, 200), np.inf]


@dataclass(frozen=True)
class Ink:
    """Colours of one kind of page; the four are of Okabe and Ito."""

    name: str
    text: str
    faint: str
    line: str
    four: tuple[str, ...]


INKS = (
    Ink("light", "#1b1f24", "#9aa3ad", "#5b6570",
        ("#0072B2", "#D55E00", "#007A5A", "#B0568A")),
    Ink("dark", "#e8ebee", "#6f7a86", "#aab4be",
        ("#56B4E9", "#F0883E", "#2FC39A", "#E09BC6")),
)  # fmt: skip

# -- Four domains: each has a quadratic loss, and all of them a tie --------------------

CENTRES = np.array([[-1.15, 0.75], [0.55, 1.25], [1.45, -0.1], [-0.05, -1.2]])
ANGLES, LONG, SHORT = np.deg2rad([20, 100, 60, 160]), 0.35, 1.6


def hessian(angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([LONG, SHORT]) @ turn.T


HESSIANS = np.array([hessian(angle) for angle in ANGLES])


def tied(tie):
    """Minimise sum_t (w - c_t)' H_t (w - c_t) / 2 + tie sum_t |w_t - mean|^2."""
    n, pull = len(CENTRES), HESSIANS @ CENTRES[..., np.newaxis]
    if tie == np.inf:
        one = np.linalg.solve(HESSIANS.sum(axis=0), pull.sum(axis=0)[:, 0])
        return np.tile(one, (n, 1))
    between = 2 * tie * (np.eye(n) - 1 / n)
    system = np.kron(between, np.eye(2))
    for t in range(n):
        system[2 * t : 2 * t + 2, 2 * t : 2 * t + 2] += HESSIANS[t]
    return np.linalg.solve(system, pull.ravel()).reshape(n, 2)


def contours(ax, hessian, centre, levels, **style):
    """Draw where w'Hw/2 around the centre has the given values."""
    angle = np.linspace(0, 2 * np.pi, 120)
    values, vectors = np.linalg.eigh(hessian)
    circle = vectors @ (np.array([np.cos(angle), np.sin(angle)]).T / np.sqrt(values)).T
    for level in levels:
        ax.plot(*(centre[:, np.newaxis] + np.sqrt(2 * level) * circle), **style)


def bare(ax, x, y):
    ax.set(xlim=x, ylim=y, aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def dial(plt, ink):
    """Parameters of four domains, at three places of the dial."""
    figure = plt.figure(figsize=(9, 3.9))
    path = np.array([tied(tie) for tie in TIES])
    shown = {"separate": 0.0, "tied": 0.45, "shared": np.inf}
    for i, (name, tie) in enumerate(shown.items()):
        ax = figure.add_axes((0.01 + 0.33 * i, 0.23, 0.32, 0.68))
        bare(ax, (-2.2, 2.5), (-2.0, 2.3))
        members = tied(tie)
        mean = members.mean(axis=0)
        for t, colour in enumerate(ink.four):
            contours(
                ax,
                HESSIANS[t],
                CENTRES[t],
                [0.04, 0.15],
                color=colour,
                lw=1,
                alpha=0.45,
            )
            ax.plot(*path[:, t].T, color=ink.faint, lw=0.9, ls=":", zorder=1)
            if 0 < tie < np.inf:
                ax.plot(*np.array([members[t], mean]).T, color=ink.line, lw=1.6)
        if tie == np.inf:
            ax.plot(*mean, "o", ms=17, mfc="none", mec=ink.line, mew=1.6)
            wedge = {"radius": 0.17, "startangle": 45, "center": mean}
            ax.pie([1] * 4, colors=ink.four, **wedge)
            bare(ax, (-2.2, 2.5), (-2.0, 2.3))
        else:
            for t, colour in enumerate(ink.four):
                ax.plot(*members[t], "o", ms=11, color=colour, zorder=4)
        ax.set_title(name, fontsize=15, color=ink.text, pad=4)
    bar = figure.add_axes((0.06, 0.02, 0.88, 0.2))
    bar.set(xlim=(-0.02, 1.02), ylim=(-1, 1))
    bar.axis("off")
    bar.plot([0, 1], [0.25, 0.25], color=ink.line, lw=3, solid_capstyle="round")
    for place, text in ((0.12, "0"), (0.5, "finite"), (0.88, "∞")):
        bar.plot(place, 0.25, "o", ms=13, color=ink.four[0], mec=ink.text, mew=1.2)
        bar.text(place, -0.75, text, ha="center", fontsize=14, color=ink.text)
    bar.text(-0.02, -0.75, "tie =", ha="left", fontsize=14, color=ink.text)
    return figure


# -- One penalty, three beliefs --------------------------------------------------------


def beliefs(plt, ink):
    """Paths of a coefficient pair that is decayed, tied to a model, tied to another."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.5))
    best, own = np.array([1.5, 1.1]), hessian(np.deg2rad(115))
    best_b, own_b = np.array([-0.35, 1.75]), hessian(np.deg2rad(35))
    anchor = np.array([2.3, -0.2])
    strengths = np.array([*np.geomspace(1e-3, 1e4, 200)])
    marked = (0.1, 0.4, 1.6)

    def towards(point, strength):
        system = own + strength * np.eye(2)
        return np.linalg.solve(system, own @ best + strength * point)

    def both(strength):
        """Minimise both losses and strength / 2 |w_A - w_B|^2."""
        link = strength * np.array([[1.0, -1.0], [-1.0, 1.0]])
        system = np.kron(link, np.eye(2))
        system[:2, :2] += own
        system[2:, 2:] += own_b
        return np.linalg.solve(system, np.r_[own @ best, own_b @ best_b])

    titles = ("decayed: tied to zero", "tied to a model", "tied to one another")
    for ax, title in zip(axes, titles, strict=True):
        bare(ax, (-1.9, 3.1), (-1.15, 3.1))
        ax.plot([-1.9, 3.1], [0, 0], color=ink.faint, lw=0.7, zorder=0)
        ax.plot([0, 0], [-1.15, 3.1], color=ink.faint, lw=0.7, zorder=0)
        contours(ax, own, best, [0.05, 0.2, 0.45], color=ink.four[0], lw=1, alpha=0.5)
        ax.plot(*best, "o", mfc="none", mec=ink.four[0], ms=7)
        ax.set_title(title, fontsize=13, color=ink.text)

    def path(ax, points, dots, colour):
        ax.plot(*points.T, color=colour, lw=2)
        ax.plot(*dots.T, "o", color=colour, ms=6)

    for ax, point in ((axes[0], np.zeros(2)), (axes[1], anchor)):
        points = np.array([towards(point, s) for s in strengths])
        path(ax, points, np.array([towards(point, s) for s in marked]), ink.four[0])
        ax.plot(*point, "s", color=ink.four[1], ms=10)
    ax = axes[2]
    contours(ax, own_b, best_b, [0.05, 0.2, 0.45], color=ink.four[1], lw=1, alpha=0.5)
    ax.plot(*best_b, "o", mfc="none", mec=ink.four[1], ms=7)
    pairs = np.array([both(s) for s in strengths])
    dots = np.array([both(s) for s in marked])
    for k in (0, 1):
        cut = slice(2 * k, 2 * k + 2)
        path(ax, pairs[:, cut], dots[:, cut], ink.four[k])
    for dot in dots:
        ax.plot(*dot.reshape(2, 2).T, color=ink.line, lw=1, ls=":")
    text = {"fontsize": 12, "color": ink.text, "ha": "center"}
    axes[0].text(-0.25, -0.45, "0", **text)
    axes[1].text(anchor[0] + 0.45, anchor[1] - 0.3, "$w_A$", **text)
    axes[2].text(2.35, 1.55, "A", **{**text, "color": ink.four[0]})
    axes[2].text(-1.3, 2.35, "B", **{**text, "color": ink.four[1]})
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.9, wspace=0.04)
    return figure


# -- From a dense layer to a convolution -----------------------------------------------


def layers(plt, ink):
    """Weights of three layers from nine inputs to seven outputs."""
    n_in, width = 9, 3
    n_out = n_in - width + 1
    figure, axes = plt.subplots(
        2, 3, figsize=(9, 5.2), gridspec_kw={"height_ratios": [1, 1.5]}
    )
    rng = np.random.default_rng(1)
    colours = mpl.colormaps["viridis" if ink.name == "light" else "plasma"]
    taps = [ink.four[0], ink.four[1], ink.four[2]]
    counts = {
        "dense": ("every output sees every input", n_in * n_out),
        "local": ("each sees three, with weights of its own", width * n_out),
        "shared": ("the same three weights everywhere", width),
    }
    for i, (name, (words, count)) in enumerate(counts.items()):
        top, below = axes[:, i]
        for ax in (top, below):
            ax.axis("off")
        top.set(xlim=(-0.6, n_in - 0.4), ylim=(-0.35, 1.3))
        below.set(xlim=(-0.1, n_in + 0.1), ylim=(n_out + 0.1, -0.1), aspect="equal")
        for out in range(n_out):
            for into in range(n_in):
                tap = into - out
                inside = 0 <= tap < width
                if name == "shared":
                    colour = taps[tap] if inside else "none"
                elif name == "dense" or inside:
                    colour = colours(0.15 + 0.8 * rng.random())
                else:
                    colour = "none"
                box = plt.Rectangle(
                    (into + 0.06, out + 0.06),
                    0.88,
                    0.88,
                    fc=colour,
                    ec=ink.faint,
                    lw=0.5,
                )
                below.add_patch(box)
                if colour != "none":
                    ends = [into, out + (width - 1) / 2]
                    wide = 0.5 if name == "dense" else 1.4
                    top.plot(ends, [0, 1], color=colour, lw=wide, zorder=1)
        units = {"color": ink.text, "ms": 5, "zorder": 3}
        top.plot(np.arange(n_in), np.zeros(n_in), "o", **units)
        top.plot(np.arange(n_out) + (width - 1) / 2, np.ones(n_out), "o", **units)
        top.set_title(name, fontsize=15, color=ink.text)
        below.text(
            n_in / 2,
            n_out + 0.35,
            f"{words}\n{count} stored" + (", 21 used" if name == "shared" else ""),
            ha="center",
            va="top",
            fontsize=10.5,
            color=ink.text,
        )
    axes[0, 0].text(-0.6, -0.21, "inputs", fontsize=9, color=ink.line)
    axes[0, 0].text(-0.6, 1.12, "outputs", fontsize=9, color=ink.line)
    figure.subplots_adjust(0.01, 0.1, 0.99, 0.92, wspace=0.06, hspace=0.02)
    return figure


# -- What fits cost, from the stored benchmark -----------------------------------------

PANELS = {
    "rows": ("logistic, rows", "ridge, rows", "Poisson, rows"),
    "features": ("logistic, features", "ridge, features", "Poisson, features"),
    "domains": ("tied logistic, domains", "tied ridge, domains"),
    "classes": ("softmax, classes",),
    "side of images": ("convolutions, side",),
    "kernels, times 4 and 8": ("convolutions, kernels",),
}


def scaling(plt, ink):
    """Seconds by sizes, log by log: sktie solid, its peer dashed."""
    stored = json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))
    figure, axes = plt.subplots(2, 3, figsize=(9, 6))
    for ax, (size, curves) in zip(axes.flat, PANELS.items(), strict=True):
        for curve, colour in zip(curves, ink.four, strict=False):
            fitted = stored["summary"]["exponents"][curve]
            sides = stored["cells"][curve]["points"].items()
            for k, (name, points) in enumerate(sides):
                x, y, *_ = np.transpose(points)
                style = {"ls": "--", "lw": 1.2} if k else {"marker": "o", "lw": 2.0}
                label = f"{curve.split(',')[0]}, {fitted[name]['exponent']:.2f}"
                ax.loglog(x, y, ms=4, color=colour, label=None if k else label, **style)
        ax.set_xlabel(size, color=ink.text, fontsize=11)
        ax.tick_params(which="both", color=ink.line, labelcolor=ink.text, labelsize=8.5)
        ax.set_xticks(x[[0, len(x) // 2, -1]])
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        ax.yaxis.set_major_locator(mpl.ticker.LogLocator(numticks=6))
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["bottom", "left"]].set_color(ink.line)
        ax.legend(frameon=False, labelcolor=ink.text, fontsize=9, loc="upper left")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** (0.1 + 0.1 * len(curves)))
    for ax in axes[:, 0]:
        ax.set_ylabel("seconds", color=ink.text, fontsize=11)
    figure.tight_layout()
    return figure


FIGURES = {"dial": dial, "beliefs": beliefs, "layers": layers, "scaling": scaling}


def main():
    """Write all figures."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    # Without dates and random names, so that the same code writes the same file.
    plt.rcParams["svg.hashsalt"] = "sktie"
    for name, draw in FIGURES.items():
        for ink in INKS:
            figure = draw(plt, ink)
            figure.savefig(
                IMAGES / f"{name}-{ink.name}.svg",
                transparent=True,
                metadata={"Date": None, "Creator": None},
            )
            plt.close(figure)


if __name__ == "__main__":
    main()
