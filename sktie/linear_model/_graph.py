"""Models of domains that a graph relates: what ``graph=`` says, and what it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktie._domains import Domains
from sktie._graph import DomainGraph, read_graph
from sktie._learned import LearnedCoordinates
from sktie._problem import TiedProblem
from sktie._related import Related, RelatedCoordinates
from sktie._tie import HubCoordinates, Tie, TiedCoordinates

#: The value of ``graph=`` by which relatedness is estimated with the model.
LEARNED = "learned"
#: Numbers in the Hessians of all domains that Newton's method may hold: 1 GiB.
MOST_NUMBERS = 1 << 27


def learns(model: Any) -> bool:
    """Whether a model estimates which of its domains are related."""
    graph = getattr(model, "graph", None)
    return isinstance(graph, str) and graph == LEARNED


def read_relations(model: Any) -> DomainGraph | None:
    """Return the graph of a model that knows its domains, and set what it tells.

    None where there is no graph, and where it is to be learned.

    Parameters
    ----------
    model : TiedLinearModel
        Has the parameter ``graph``, and ``domains_`` where there are some.

    Raises
    ------
    ValueError
        If it is no graph of the domains, or does not go with other parameters.
    """
    if model.graph is None:
        return None
    if not hasattr(model, "domains_"):
        raise ValueError(
            f"graph= says which domains are related, but pair={model.pair!r} and "
            "sample_domain name none. Name the column of X that holds them by pair, "
            "or pass sample_domain."
        )
    if model.decay == "shared" and not learns(model):
        raise ValueError(
            "decay='shared' decays the mean of all domains, which a graph does not "
            "know; expected decay='each' with graph=. Use that, with C times the "
            "number of domains where they share all."
        )
    own = not isinstance(model.tie_intercept, (bool, np.bool_))
    if learns(model) and model.max_distance is not None and own:
        raise ValueError(
            f"max_distance={model.max_distance:g} with graph='learned' and "
            f"tie_intercept={model.tie_intercept}; expected True or False: intercepts "
            "and coefficients have one covariance. Use one of these, or tie."
        )
    chooser = f"{type(model).__name__}CV"
    for name, value, remedy in (
        ("tie", "auto", chooser),
        ("C", "auto", chooser),
        ("alpha", "auto", chooser),
        ("tie_intercept", "auto", "a number"),
        ("store_covariance", True, "a bootstrap over rows, or graph=None"),
    ):
        if np.any(getattr(model, name, None) == value):
            raise ValueError(
                f"{name}={value!r} is not available with graph=; use {remedy}."
            )
    if learns(model):
        return None
    graph = read_graph(model.graph, model.domains_)
    n_domains = graph.n_domains
    model.component_ = graph.component[:n_domains].copy()
    model.n_components_ = graph.n_components
    labels = list(graph.labels[n_domains:])
    of_one_kind = len({isinstance(label, str) for label in labels}) <= 1
    plain = of_one_kind and all(isinstance(label, (str, int)) for label in labels)
    inferred = np.empty(len(labels), dtype=object)
    inferred[:] = labels
    model.inferred_domains_ = np.array(labels) if labels and plain else inferred
    return graph


def coordinates_of(
    model: Any,
    graph: DomainGraph | None,
    tie: Tie,
    shape: tuple[int, int, int],
    design: Any,
    steepest: float,
) -> HubCoordinates | RelatedCoordinates:
    """Return the coordinates of members that are tied as a model says.

    ``steepest`` bounds the second derivative of a row's loss in its raw prediction,
    weight included. A graph needs it, and `read_relations` returns one.
    """
    if graph is None:
        learned = learns(model) and shape[0] > 1
        return (
            LearnedCoordinates(tie, shape) if learned else TiedCoordinates(tie, shape)
        )
    squares = design.squares() * max(steepest, 1e-300)
    return RelatedCoordinates(Tie(Related(graph), tie.strength), shape, squares)


def components(model: Any, domains: Domains) -> Domains:
    """Return the components of a model's graph as domains, each named by its first."""
    _, first = np.unique(model.component_, return_index=True)
    index = model.component_[domains.index]
    return Domains(domains.labels[first], index, domains.source)


def has_room(problem: TiedProblem) -> bool:
    """Whether the Hessians of all members may be held at a time."""
    n_members, n_outputs, n_coefs = problem.coordinates.shape
    return n_members * (n_outputs * n_coefs) ** 2 <= MOST_NUMBERS


def check_no_graph(model: Any, what: str, remedy: str) -> None:
    """Check that a model has no graph, for what does not know about graphs."""
    if getattr(model, "graph", None) is not None:
        raise ValueError(
            f"{what} does not know about graph=, which {type(model).__name__} has; "
            f"expected graph=None. {remedy}"
        )
