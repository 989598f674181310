"""The rows of two models of different form, brought to one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._design import Design
from sktie._domains import Domains
from sktie._scalar_loss import ByDomain
from sktie._typing import Array, FloatArray, IntArray
from sktie._validation import as_array
from sktie.linear_model._forms import Form


@dataclass(frozen=True)
class Side:
    """One of the two models: its unfitted estimator and the rows that are its own.

    Attributes
    ----------
    estimator : estimator
        As the user gave it.
    form : Form
        What it minimises.
    label : str or int
        The label of its rows.
    """

    estimator: Any
    form: Form
    label: Any

    @property
    def where(self) -> str:
        """Its targets, for messages."""
        return f"y, in the rows of domain {self.label!s}"


@dataclass(frozen=True)
class TwoRows:
    """Training rows, those of a before those of b.

    Attributes
    ----------
    y : ndarray of shape (n_rows, 2)
        Targets of a `ByDomain`.
    weight : ndarray of shape (n_rows,) or None
        Weights, those of classes included.
    design : Design
        The rows of X.
    decay : ndarray of shape (2, 1, n_coefs)
        Decay of the coefficients of both.
    classes : list of ndarray or None
        Labels of the classes of each, if it has any.
    """

    y: Array
    weight: FloatArray | None
    design: Design
    decay: FloatArray
    classes: list[Array | None]


def order_domains(domains: Domains | None, given: Any) -> tuple[Array, IntArray]:
    """Return the labels of a's rows and of b's, and 0 or 1 for each row."""
    if domains is None:
        raise ValueError(
            "TiedPair got no domains: expected a label for each row that says which of "
            "the two models it belongs to. Pass sample_domain to fit, or name a column "
            "of X by pair."
        )
    found = domains.labels.tolist()
    if len(found) != 2:
        raise ValueError(
            f"{domains.source} holds {len(found)} domain(s), {found[:5]}; expected "
            "two, that of the rows of a and that of the rows of b. In "
            "cross-validation, stratify by domain; for more domains of one form, use "
            "TiedLogisticRegression."
        )
    if isinstance(given, str) or np.ndim(as_array("domains", given)) != 1:
        wanted = found if given is None else [given]
    else:
        wanted = list(given)
    if sorted(map(str, wanted)) != sorted(map(str, found)):
        raise ValueError(
            f"domains={given!r}, but {domains.source} holds {found}; expected these "
            "two labels, that of the rows of a first."
        )
    if str(wanted[0]) == str(found[0]):
        return domains.labels, domains.index
    return domains.labels[::-1].copy(), 1 - domains.index


def encode_sides(
    sides: tuple[Side, ...],
    y: Array,
    weight: FloatArray | None,
    design: Design,
    loose: str | None,
) -> TwoRows:
    """Return targets, weights and decay of both models on the scale of sums.

    Parameters
    ----------
    sides : tuple of two `Side`
        The models.
    y, weight : arrays of shape (n_samples,), or None
        Targets and sample weights, in the order of X.
    design : Design
        The rows, those of a first.
    loose : str or None
        The parameters by which nothing holds an intercept, for messages; None where
        something does.
    """
    order, bounds = design.order, design.bounds
    rows = np.arange(design.n_rows) if order is None else order
    targets, weights, found = [], [], []
    decay = np.zeros((2, 1, design.n_coefs))
    for k, side in enumerate(sides):
        own = rows[bounds[k] : bounds[k + 1]]
        given = None if weight is None else weight[own]
        total = _total(side, own, given)
        target, used, classes = side.form.target(
            side.estimator, y[own], given, side.where
        )
        targets.append(ByDomain.join(target, np.full(len(own), k), design.dtype))
        weights.append(np.ones(len(own)) if used is None else used)
        found.append(classes)
        decay[k] = side.form.decay(side.estimator, total)
        if design.fit_intercept:
            decay[k, 0, -1] *= side.form.intercept_decay(side.estimator)
        present = target if given is None else target[given > 0]
        if loose is not None and not side.form.has_minimum(present):
            raise ValueError(
                f"{side.where} holds no event, only zeros: the intercept, which "
                f"{loose} does not tie, would be minus infinity. Use a positive "
                "tie_intercept, or rows with events."
            )
    joined = np.concatenate(weights).astype(design.dtype)
    plain = bool((joined == 1).all())
    return TwoRows(
        np.concatenate(targets), None if plain else joined, design, decay, found
    )


def _total(side: Side, own: IntArray, weight: FloatArray | None) -> float:
    """Return the weight of a model's rows, which must be positive."""
    total = float(len(own) if weight is None else weight.sum())
    if not total > 0:
        raise ValueError(
            f"The rows of domain {side.label!s} have weight zero; expected some row of "
            "positive weight for each model. Give some of them positive weights."
        )
    return total
