"""How much sharing saves: connections and parameters of a network and its twins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie.inspection._fitted import fitted_network, optional
from sktie.inspection._tables import html_table, text_table
from sktie.nn import ConnectedLayer, ConvolutionLayer, DomainHeads, Layer

#: The networks of a report: the fitted one and two that have its outputs.
NETWORKS = ("this network", "locally connected", "dense")
COUNTS = ("connections", "logical_parameters", "stored_parameters", "nbytes")
SPANS = [("", 1), ("", 1), ("parameters stored by", 3)]


@dataclass(frozen=True)
class LayerSharing:
    """Counts of one layer, of one network.

    Attributes
    ----------
    layer : str
        Number and kind.
    connections : int
        One for every input that an output sees, and one for its bias.
    logical_parameters : int
        Parameters if nothing were shared: one for every connection.
    stored_parameters : int
        Parameters that are stored.
    nbytes : int
        Bytes that these take.
    """

    layer: str
    connections: int
    logical_parameters: int
    stored_parameters: int
    nbytes: int


@dataclass(frozen=True)
class SharingReport:
    """Connections and parameters of a network and of two that share nothing.

    The *locally connected* twin has the same connections, and a kernel and a bias of
    its own at every location. In the *dense* twin every output of a layer sees every
    input of it. Both compute as many outputs in every layer. Print the report for a
    table, or leave it at the end of a notebook's cell.

    Parameters
    ----------
    networks : dict of str to tuple
        The rows of each network, "this network", "locally connected" and "dense": one
        for each layer with parameters, in order, with the attributes ``layer``,
        ``connections``, ``logical_parameters``, ``stored_parameters``, ``nbytes``.

    See Also
    --------
    sharing_report : Makes it.

    Notes
    -----
    Connections are the links of Table 11.1 in [1]_: taps that fall on padding count,
    as does the bias of every output. Outputs count before pooling. The logical
    parameters of a layer, a kernel and a bias at every location, are therefore as many
    as its connections.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani, J. Friedman (2009). The Elements of Statistical
       Learning, section 11.7.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import sharing_report
    >>> X = np.random.default_rng(0).normal(size=(20, 256))
    >>> y = np.arange(20) % 10
    >>> model = SharedConvClassifier(8, max_iter=1).fit(X, y)
    >>> print(sharing_report(model))
                                parameters stored by
    layer          connections  this network  locally connected      dense
    0 convolution       20,480            80             20,480    526,336
    1 output             5,130         5,130              5,130      5,130
    all                 25,610         5,210             25,610    531,466
    bytes                             41,680            204,880  4,251,728
    """

    networks: dict[str, tuple[LayerSharing, ...]]

    @property
    def connections(self) -> int:
        """Connections of this network."""
        return self.total().connections

    @property
    def logical_parameters(self) -> int:
        """Parameters that this network would have if it shared nothing."""
        return self.total().logical_parameters

    @property
    def stored_parameters(self) -> int:
        """Parameters that this network stores."""
        return self.total().stored_parameters

    @property
    def nbytes(self) -> int:
        """Bytes that these take."""
        return self.total().nbytes

    def total(self, network: str = "this network") -> LayerSharing:
        """Return the sums over the layers of a network.

        Parameters
        ----------
        network : {"this network", "locally connected", "dense"}, \
                default="this network"
            Which of the three.

        Returns
        -------
        LayerSharing
            A row like those of the layers, named "all".
        """
        if not isinstance(network, str) or network not in self.networks:
            raise ValueError(
                f"network={network!r}; expected one of {list(self.networks)}. Leave "
                "it out for this network."
            )
        rows = self.networks[network]
        sums = [sum(getattr(row, name) for row in rows) for name in COUNTS]
        return LayerSharing("all", *sums)

    def to_frame(self) -> Any:
        """Return all counts.

        Returns
        -------
        pandas.DataFrame
            A row for each network and layer, and for each network's sum, "all"; a
            column for each count.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = optional("pandas", "SharingReport.to_frame")
        found = {
            (network, row.layer): [getattr(row, name) for name in COUNTS]
            for network, rows in self.networks.items()
            for row in (*rows, self.total(network))
        }
        index = pandas.MultiIndex.from_tuples(found, names=["network", "layer"])
        return pandas.DataFrame(list(found.values()), index=index, columns=COUNTS)

    def __str__(self) -> str:
        return text_table(SPANS, self._cells())

    def _repr_html_(self) -> str:
        return html_table(SPANS, self._cells(), ruled="all")

    def _cells(self) -> list[list[str]]:
        """Return the table: of twins, what they store is what they have."""
        columns = [(*self.networks[name], self.total(name)) for name in NETWORKS]
        table = [["layer", "connections", *NETWORKS]]
        for own, local, dense in zip(*columns, strict=True):
            counts = [own.connections]
            counts += [row.stored_parameters for row in (own, local, dense)]
            table.append([own.layer, *(f"{count:,}" for count in counts)])
        sizes = [f"{self.total(name).nbytes:,}" for name in NETWORKS]
        return [*table, ["bytes", "", *sizes]]


def sharing_report(estimator: Any) -> SharingReport:
    """Count connections and parameters, with and without sharing.

    Parameters
    ----------
    estimator : SharedConvClassifier
        A fitted network.

    Returns
    -------
    SharingReport
        Counts of this network, of its locally connected twin, and of its dense twin.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import sharing_report
    >>> X = np.random.default_rng(0).normal(size=(20, 256))
    >>> y = np.arange(20) % 10
    >>> report = sharing_report(SharedConvClassifier(8, max_iter=1).fit(X, y))
    >>> report.connections, report.stored_parameters
    (25610, 5210)
    >>> report.total("dense").stored_parameters
    531466
    """
    network = fitted_network(estimator)
    ties = [part.get("tie", 0.0) for part in estimator.layers_]
    n_domains = estimator.layers_[-1].get("domains", 1)
    rows: dict[str, list[LayerSharing]] = {name: [] for name in NETWORKS}
    parameters = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    layers = network.layers_with_weights
    for k, (layer, own) in enumerate(zip(layers, parameters, strict=True)):
        tie = ties[k] if isinstance(layer, ConvolutionLayer) else 0.0
        kind = "output" if k == len(layers) - 1 else _kind(layer, tie)
        n_in, n_taps, n_out = _links(layer)
        stored = sum(part.size for part in own)
        if k == len(layers) - 1:
            # Every domain has outputs of its own, and their weights, if not shared.
            n_out *= n_domains
            stored *= n_domains if isinstance(layer, DomainHeads) else 1
        itemsize = np.dtype(own[0].dtype).itemsize
        counts = (
            (n_out * (n_taps + 1), stored),
            (n_out * (n_taps + 1), n_out * (n_taps + 1)),
            (n_out * (n_in + 1), n_out * (n_in + 1)),
        )
        for name, (links, held) in zip(NETWORKS, counts, strict=True):
            row = LayerSharing(f"{k} {kind}", links, links, held, held * itemsize)
            rows[name].append(row)
    return SharingReport({name: tuple(found) for name, found in rows.items()})


def _kind(layer: Layer, tie: float) -> str:
    if not isinstance(layer, ConvolutionLayer):
        return "hidden"
    if layer.shared:
        return "convolution"
    return f"local, tie={tie:g}" if tie > 0 else "local"


def _links(layer: Layer) -> tuple[int, int, int]:
    """Return the inputs of a layer, those that each output sees, and the outputs."""
    if isinstance(layer, ConvolutionLayer):
        own = layer.convolution
        return math.prod(own.in_shape), own.n_taps, math.prod(own.out_shape)
    assert isinstance(layer, ConnectedLayer | DomainHeads)
    return layer.n_in, layer.n_in, layer.n_out
