"""A picture of what a model has learned of its domains: who goes with whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.utils.validation import check_is_fitted

from sktie._typing import Array, FloatArray, IntArray
from sktie.inspection._fitted import array_of, check_axes, optional

#: Made for readers who are colour-blind; its middle is grey.
CMAP = "cividis"
#: Domains that are named on the axes, at most; inches for each, and of the figure.
MOST_NAMES, EACH, SMALLEST, WIDEST = 40, 0.28, 3.2, 9.0


class RelatednessDisplay:
    """Draws which domains a model with ``graph="learned"`` found to be related.

    Use `from_estimator`, which draws at once. A cell is the correlation of two domains'
    deviations from their mean: near 1 where they deviate together, near -1 where one
    does the contrary of the other. Domains that go together stand together.

    Parameters
    ----------
    covariance : array-like of shape (n_domains, n_domains)
        ``domain_covariance_`` of the model.
    domains : array-like of shape (n_domains,)
        Labels of the domains.

    Attributes
    ----------
    correlation : ndarray of shape (n_domains, n_domains)
        Correlations, in the order of ``domains``; 0 for a domain that is the mean.
    order : ndarray of int of shape (n_domains,)
        The domains from left to right: leaves of a clustering by average linkage.
    ax_ : matplotlib Axes
        What was drawn inside.
    figure_ : matplotlib Figure
        What it is part of.
    image_ : matplotlib AxesImage
        The cells.

    See Also
    --------
    sktie.TiedLogisticRegression : The model.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import RelatednessDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, domain = rng.normal(size=(400, 2)), np.arange(400) % 4
    >>> y = np.where(domain < 2, X[:, 0], X[:, 1]) + rng.logistic(size=400) > 0
    >>> model = TiedLogisticRegression(graph="learned", tie=10)
    >>> model = model.fit(X, y, sample_domain=domain)
    >>> display = RelatednessDisplay(model.domain_covariance_, model.domains_)
    >>> display.correlation[0].round(1).tolist()  # .plot() draws it
    [1.0, 0.8, -1.0, -0.9]
    """

    ax_: Any
    figure_: Any
    image_: Any

    def __init__(self, covariance: Any, domains: Any) -> None:
        self.covariance = covariance
        self.domains = domains

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> RelatednessDisplay:
        """Draw what a fitted model has learned.

        Parameters
        ----------
        estimator : TiedLogisticRegression or TiedLogisticRegressionCV
            Fitted with ``graph="learned"``.
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.

        Returns
        -------
        RelatednessDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the model has learned no relatedness, or one for each of several targets.
        """
        check_is_fitted(estimator)
        covariance = getattr(estimator, "domain_covariance_", None)
        if covariance is None:
            raise ValueError(
                f"estimator is a {type(estimator).__name__} with "
                f"graph={getattr(estimator, 'graph', None)!r}; expected a model fitted "
                "with graph='learned', which has domain_covariance_. Of a pipeline "
                "pass the step itself, of a search its best_estimator_."
            )
        if np.ndim(covariance) > 2:
            raise ValueError(
                f"estimator has a covariance for each of {len(covariance)} targets; "
                "expected one. Draw them one by one: "
                "RelatednessDisplay(covariance, domains).plot()."
            )
        return cls(covariance, estimator.domains_).plot(ax=ax)

    @property
    def correlation(self) -> FloatArray:
        """Correlations of the domains' deviations."""
        covariance = array_of("covariance", self.covariance, 2).astype(np.float64)
        if covariance.shape[0] != covariance.shape[1]:
            raise ValueError(
                f"covariance has shape {covariance.shape}; expected a square matrix. "
                "Pass domain_covariance_ of a model."
            )
        spread = np.sqrt(np.diagonal(covariance))
        inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
        found = inverse[:, np.newaxis] * covariance * inverse
        return np.asarray(np.clip(found, -1.0, 1.0))

    @property
    def order(self) -> IntArray:
        """The domains, those that go together next to one another."""
        distance = 1.0 - self.correlation
        if len(distance) < 3:
            return np.arange(len(distance))
        np.fill_diagonal(distance, 0.0)
        near = linkage(squareform(distance, checks=False), "average")
        return np.asarray(leaves_list(near), dtype=np.intp)

    def plot(self, *, ax: Any = None) -> RelatednessDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw inside. None makes a figure.

        Returns
        -------
        RelatednessDisplay
            The display itself, with what it drew.
        """
        pyplot = optional("matplotlib.pyplot", "RelatednessDisplay")
        order = self.order
        check_axes(ax)
        names: Array = np.asarray(self.domains, dtype=object)
        if names.shape != (len(order),):
            raise ValueError(
                f"domains has shape {names.shape}, but covariance is of {len(order)} "
                "domains; expected a label for each. Pass domains_ of a model."
            )
        names = names[order]
        if ax is None:
            side = float(np.clip(EACH * len(names) + 2.0, SMALLEST, WIDEST))
            _, ax = pyplot.subplots(figsize=(side, 0.85 * side), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        cells = self.correlation[np.ix_(order, order)]
        self.image_ = ax.imshow(cells, cmap=CMAP, vmin=-1, vmax=1)
        if len(names) <= MOST_NAMES:
            labels = [str(name) for name in names]
            ax.set_yticks(range(len(names)), labels)
            turn = {"rotation": 90} if max(map(len, labels)) > 2 else {}
            ax.set_xticks(range(len(names)), labels, **turn)
        else:
            ax.set(xticks=[], yticks=[], xlabel=f"{len(names)} domains")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = self.figure_.colorbar(self.image_, ax=ax, label="correlation")
        bar.outline.set_visible(False)
        return self
