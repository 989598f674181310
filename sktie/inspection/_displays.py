"""Pictures of a network: what units see, what kernels look for, and what they find.

Lightness rises with the value in all of them, so that they can be read in grey too.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from sktie._typing import Array, FloatArray
from sktie._validation import as_array, checked_number
from sktie.inspection._fitted import array_of, check_axes, fitted_network, optional
from sktie.inspection._receptive import receptive_field
from sktie.neural_network._architecture import convolution_number

BLUE, ORANGE, PALE = "#0072B2", "#D55E00", "#E6E6E6"  # Okabe and Ito, and a light grey.
#: Made for readers who are colour-blind; its middle is grey.
CMAP = "cividis"
#: Inches: the least and the largest side of a panel, that of a mosaic, and of a figure.
SMALLEST, PANEL, MOSAIC, WIDEST = 0.5, 1.6, 3.0, 12.0
#: Panels of a row, also of mosaics. Images longer than this many widths are stretched.
PER_ROW, MOSAICS_PER_ROW, ELONGATED = 8, 4, 4


class ReceptiveFieldDisplay:
    """Draws the pixels that a unit sees.

    Use `from_estimator`, which draws at once.

    Parameters
    ----------
    mask : ndarray of shape (height, width), dtype bool
        Whether the unit sees the pixel.
    title : str, default=""
        What stands above.
    image : array-like of shape (height, width) or None, default=None
        An image to draw it on.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        What it is part of.

    See Also
    --------
    receptive_field : Computes the mask.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import ReceptiveFieldDisplay, receptive_field
    >>> X = np.random.default_rng(0).normal(size=(20, 64))
    >>> model = SharedConvClassifier(4, max_iter=1).fit(X, np.arange(20) % 2)
    >>> mask = receptive_field(model, layer=0, unit=(1, 2))
    >>> display = ReceptiveFieldDisplay(mask, "what a unit sees")  # .plot() draws it
    >>> int(display.mask.sum())
    16
    """

    ax_: Any
    figure_: Any

    def __init__(self, mask: Array, title: str = "", image: Any = None) -> None:
        self.mask = mask
        self.title = title
        self.image = image

    @classmethod
    def from_estimator(
        cls, estimator: Any, layer: int, unit: Any, *, image: Any = None, ax: Any = None
    ) -> ReceptiveFieldDisplay:
        """Draw the pixels that a unit of a fitted network sees.

        Parameters
        ----------
        estimator : SharedConvClassifier
            A fitted network.
        layer : int
            Number of the layer in ``coefs_``, from 0.
        unit : tuple of int or int
            ``(row, column)`` among the pooled outputs of a convolution, or the position
            in a signal; the number of a unit of the layers after them.
        image : array-like of shape image_shape or (n_features,), default=None
            An image to draw it on.
        ax : matplotlib Axes, default=None
            What to draw on. None makes a figure.

        Returns
        -------
        ReceptiveFieldDisplay
            What was drawn.
        """
        mask = receptive_field(estimator, layer, unit)
        place = np.atleast_1d(unit).tolist()
        name = place[0] if len(place) == 1 else tuple(place)
        title = f"Layer {layer}, unit {name}: sees {mask.sum()} of {mask.size} pixels"
        if image is not None:
            image, shape = as_array("image", image, np.float64), estimator.image_shape_
            if image.size != prod(shape):
                raise ValueError(
                    f"image has shape {image.shape}; expected the {prod(shape)} "
                    f"numbers of one image, {shape}. Pass one row of X."
                )
            image = _pictures([image], shape)[0]
        return cls(mask, title, image).plot(ax)

    def plot(self, ax: Any = None) -> ReceptiveFieldDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on. None makes a figure.

        Returns
        -------
        ReceptiveFieldDisplay
            The display itself, with ``ax_`` and ``figure_``.
        """
        colors = optional("matplotlib.colors", "ReceptiveFieldDisplay.plot")
        check_axes(ax)
        mask = array_of("mask", self.mask, 2)
        height, width = mask.shape
        if ax is None:
            side = min(4.0 * max(width / height, 1), WIDEST)
            ax = _pyplot().subplots(figsize=(side, 4.0), layout="constrained")[1]
        frame = {"extent": (0, width, height, 0), "aspect": _aspect(mask)}
        if self.image is None:
            pair = colors.ListedColormap([PALE, BLUE])
            ax.imshow(mask, cmap=pair, vmin=0, vmax=1, **frame)
        else:
            image = array_of("image", self.image, 2)
            ax.imshow(image, cmap="gray", **frame)
            veil = colors.to_rgba_array(["white"] * mask.size, 0.65)
            veil[mask.ravel().astype(bool), 3] = 0
            ax.imshow(veil.reshape(height, width, 4), **frame)
        if max(height, width) <= 64:  # Beyond, lines would hide the pixels.
            ax.hlines(range(1, height), 0, width, color="white", lw=0.6)
            ax.vlines(range(1, width), 0, height, color="white", lw=0.6)
        segments = optional("matplotlib.collections", "ReceptiveFieldDisplay.plot")
        outline = segments.LineCollection(
            _outline(self.mask), colors=ORANGE, lw=2.2, capstyle="round", clip_on=False
        )
        ax.add_collection(outline, autolim=False)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_title(self.title, fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class KernelDisplay:
    """Draws the kernels of a convolution, at every location where these have their own.

    Use `from_estimator`, which draws at once. All panels have one scale, whose middle
    is zero. Where locations have kernels of their own, a panel holds those of all
    locations, each where it looks; of signals, a row for each location.

    Parameters
    ----------
    kernels : ndarray of shape (rows, columns, filters), or (height, width, rows, \
            columns, filters) with one for every location
        Weights of one input channel.
    title : str, default=""
        What stands above.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_filters,)
        The panels.
    figure_ : matplotlib Figure
        What they are part of.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie.inspection import KernelDisplay
    >>> kernels = np.random.default_rng(0).normal(size=(3, 3, 8))
    >>> display = KernelDisplay(kernels, "at random")  # .plot() draws it
    >>> display.title
    'at random'
    """

    axes_: Any
    figure_: Any

    def __init__(self, kernels: FloatArray, title: str = "") -> None:
        self.kernels = kernels
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, layer: int = 0, *, channel: int = 0, ax: Any = None
    ) -> KernelDisplay:
        """Draw the kernels of a fitted network.

        Parameters
        ----------
        estimator : SharedConvClassifier
            A fitted network.
        layer : int, default=0
            Number of the convolution, from 0.
        channel : int, default=0
            Channel of the layer's input that the weights drawn are for.
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.

        Returns
        -------
        KernelDisplay
            What was drawn.
        """
        layer = _convolution(estimator, layer)
        kernels = estimator.coefs_[layer]
        n_channels = kernels.shape[-2]
        what = f"the input channels of layer {layer}"
        channel = checked_number("channel", channel, n_channels, what)
        title = f"Kernels of layer {layer}"
        if n_channels > 1:
            title += f", input channel {channel} of {n_channels}"
        return cls(kernels[..., channel, :], title).plot(ax)

    def plot(self, ax: Any = None, *, cmap: Any = CMAP) -> KernelDisplay:
        """Draw them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.
        cmap : str or matplotlib Colormap, default="cividis"
            Colours from the most negative weight to the most positive.

        Returns
        -------
        KernelDisplay
            The display itself, with ``axes_`` and ``figure_``.
        """
        check_axes(ax)
        kernels = array_of("kernels", self.kernels, 3, 5)
        n_filters = kernels.shape[-1]
        panels = [_mosaic(kernels[..., k]) for k in range(n_filters)]
        local = kernels.ndim == 5
        n_columns = min(n_filters, MOSAICS_PER_ROW if local else PER_ROW)
        grid = -(-n_filters // n_columns), n_columns
        side = MOSAIC if local else PANEL
        figure, axes = _grid(ax, grid, panels[0].shape, self.title, side)
        largest = float(np.abs(kernels).max()) or 1.0
        scale = {"cmap": cmap, "vmin": -largest, "vmax": largest}
        for k, own in enumerate(axes.ravel()):
            if k < n_filters:
                drawn = _draw_image(own, panels[k], **scale)
                own.set_title(f"{k}", fontsize="small", pad=2)
                if local and self.kernels.shape[0] > 1:
                    _frame(own, panels[k])
            else:
                own.remove()
        self.axes_, self.figure_ = axes.ravel()[:n_filters], figure
        _colorbar(figure, drawn, self.axes_ if ax is None else ax, "weight")
        return self


class FeatureMapDisplay:
    """Draws what the kernels of a convolution find in images, and where.

    Use `from_estimator`, which draws at once: a row for each image, which comes first,
    before a panel for each kernel. All maps have one scale. Signals are drawn as lines.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Images.
    maps : ndarray of shape (n_samples, map_height, map_width, filters)
        Outputs of a convolution.
    title : str, default=""
        What stands above.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_samples, 1 + n_filters)
        The panels.
    figure_ : matplotlib Figure
        What they are part of.

    See Also
    --------
    sktie.SharedConvClassifier.feature_maps : Computes them.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie.inspection import FeatureMapDisplay
    >>> images = np.random.default_rng(0).normal(size=(2, 8, 8))
    >>> maps = np.maximum(images, 0)[..., np.newaxis]
    >>> display = FeatureMapDisplay(images, maps, "what is positive")  # .plot() draws
    >>> display.maps.shape
    (2, 8, 8, 1)
    """

    axes_: Any
    figure_: Any

    def __init__(self, images: Array, maps: FloatArray, title: str = "") -> None:
        self.images = images
        self.maps = maps
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, layer: int = 0, *, ax: Any = None
    ) -> FeatureMapDisplay:
        """Draw the feature maps of a fitted network.

        Parameters
        ----------
        estimator : SharedConvClassifier
            A fitted network.
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            A few images.
        layer : int, default=0
            Number of the convolution, from 0.
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.

        Returns
        -------
        FeatureMapDisplay
            What was drawn.
        """
        layer = _convolution(estimator, layer)
        maps = estimator.feature_maps(X, layer)
        images = _pictures(estimator._pixels_of(X), estimator.image_shape_)
        return cls(images, maps, f"Feature maps of layer {layer}").plot(ax)

    def plot(self, ax: Any = None, *, cmap: Any = CMAP) -> FeatureMapDisplay:
        """Draw them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.
        cmap : str or matplotlib Colormap, default="cividis"
            Colours of the maps, from the smallest output to the largest.

        Returns
        -------
        FeatureMapDisplay
            The display itself, with ``axes_`` and ``figure_``.
        """
        check_axes(ax)
        maps, images = (
            array_of("maps", self.maps, 4),
            array_of("images", self.images, 3),
        )
        n_samples, height, width, n_filters = maps.shape
        if len(images) != n_samples:
            raise ValueError(
                f"images has {len(images)} images, but maps are of {n_samples}; "
                "expected as many. Draw what from_estimator returns."
            )
        signals = images.shape[1] == 1
        shape = (3, 4) if signals else (height, width)
        figure, axes = _grid(ax, (n_samples, 1 + n_filters), shape, self.title)
        low, high = float(maps.min()), float(maps.max())
        for i, row in enumerate(axes):
            panels = [images[i], *np.moveaxis(maps[i], -1, 0)]
            for k, (own, panel) in enumerate(zip(row, panels, strict=True)):
                if signals:
                    limits = (low, high) if k else (panel.min(), panel.max())
                    _draw_signal(own, panel[0], limits, BLUE if k else "black")
                elif k == 0:
                    _draw_image(own, panel, cmap="gray")
                else:
                    drawn = _draw_image(own, panel, cmap=cmap, vmin=low, vmax=high)
                if i == 0:
                    name = f"{k - 1}" if k else "input"
                    own.set_title(name, fontsize="small", pad=2)
        self.axes_, self.figure_ = axes, figure
        if not signals:
            _colorbar(figure, drawn, axes if ax is None else ax, "output")
        return self


def _pyplot() -> Any:
    return optional("matplotlib.pyplot", "plot")


def _convolution(estimator: Any, layer: Any) -> int:
    """Return the number of a convolution of a fitted network."""
    fitted_network(estimator)
    return convolution_number(layer, estimator.layers_)


def _pictures(X: Any, shape: tuple[int, int, int]) -> Array:
    """Return images as (n_samples, height, width), the mean of their channels."""
    pixels = np.asarray(X, dtype=np.float64)
    return np.asarray(pixels.reshape(len(pixels), *shape).mean(axis=-1))


def _mosaic(kernel: FloatArray) -> FloatArray:
    """Return the kernel; or those of all locations, side by side, with NaN between."""
    if kernel.ndim == 2:
        return kernel
    height, width, rows, columns = kernel.shape
    if height == rows == 1:  # Signals.
        return kernel[0, :, 0]
    out = np.full((height, rows + 1, width, columns + 1), np.nan)
    out[:, :-1, :, :-1] = kernel.transpose(0, 2, 1, 3)
    return out.reshape(height * (rows + 1), width * (columns + 1))[:-1, :-1]


def _grid(
    ax: Any,
    grid: tuple[int, int],
    shape: tuple[int, ...],
    title: str,
    largest: float = PANEL,
) -> tuple[Any, Any]:
    """Return a figure and its panels (rows, columns), inside an Axes if given."""
    n_rows, n_columns = grid
    if ax is not None:
        ax.set_axis_off()
        ax.set_title(title, fontsize="medium", pad=16)
        axes = np.empty((n_rows, n_columns), object)
        step_x, step_y = 1 / n_columns, 1 / n_rows
        for i, j in np.ndindex(n_rows, n_columns):
            corner = [(j + 0.05) * step_x, 1 - (i + 0.95) * step_y]
            axes[i, j] = ax.inset_axes([*corner, 0.9 * step_x, 0.8 * step_y])
        return ax.figure, axes
    width = float(np.clip(WIDEST / (n_columns + 1), SMALLEST, largest))
    # Panels are no taller than twice their width, nor flatter than a quarter of it.
    height = width * float(np.clip(shape[0] / shape[1], 0.25, 2))
    size = (width * n_columns + 1.0, (height + 0.25) * n_rows + 0.4)
    size = (max(size[0], 3.2), max(size[1], 1.6))
    figure, axes = _pyplot().subplots(
        n_rows, n_columns, squeeze=False, figsize=size, layout="constrained"
    )
    figure.suptitle(title, fontsize="medium")
    return figure, axes


def _aspect(values: Array) -> str:
    """Return whether pixels are square."""
    return "equal" if max(values.shape) <= ELONGATED * min(values.shape) else "auto"


def _draw_image(ax: Any, values: FloatArray, **scale: Any) -> Any:
    drawn = ax.imshow(values, aspect=_aspect(values), interpolation="nearest", **scale)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return drawn


def _frame(ax: Any, values: FloatArray) -> None:
    """Draw a frame around a mosaic, at a distance of one pixel."""
    height, width = values.shape
    ax.set(xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5))
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color("0.7")


def _draw_signal(ax: Any, values: FloatArray, limits: Any, color: str) -> None:
    low, high = limits
    room = 0.05 * (high - low) or 1.0
    ax.axhline(0, color="0.7", lw=0.8)
    ax.plot(values, color=color, lw=1.2)
    ax.set(xticks=[], yticks=[], ylim=(low - room, high + room))
    ax.spines[:].set_visible(False)


def _colorbar(figure: Any, drawn: Any, axes: Any, label: str) -> None:
    found = axes.ravel().tolist() if isinstance(axes, np.ndarray) else axes
    bar = figure.colorbar(drawn, ax=found, label=label, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)


def _outline(mask: Array) -> Array:
    """Return the edges, (n_edges, 2, 2) in x and y, between pixels in and out of it."""
    edged = np.pad(mask, 1)
    below = np.argwhere(edged[1:, 1:-1] != edged[:-1, 1:-1])[:, ::-1]
    right = np.argwhere(edged[1:-1, 1:] != edged[1:-1, :-1])[:, ::-1]
    across = np.stack([below, below + np.array([1, 0])], axis=1)
    down = np.stack([right, right + np.array([0, 1])], axis=1)
    return np.concatenate([across, down])
