"""Dependencies between the features of one model: coefficients near or equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sktie._quadratic import Quadratic
from sktie._shares import Shares
from sktie._typing import Array, FloatArray, Matrix

#: Relative difference of two ratios that are meant to be equal.
SAME_RATIO = 1e-9
#: Strength of a tie, relative to the curvature of the losses, above which what is left
#: of the tied features' differences is rounding.
STIFFEST = 1e13
#: The largest product of ratios: squares of it and of its inverse are numbers.
MOST_RATIO = 1e100


@dataclass(frozen=True)
class FeatureTie:
    """Features whose coefficients should be close, with a strength of their own.

    An item of ``feature_ties`` of `TiedLogisticRegression`, where a bare list or dict
    of features stands for a strength of 1. It adds, with the strength s and times
    ``feature_tie``::

        s/2 * 2 sum_i (w_i - r_i m)^2,    m = sum_i r_i w_i / sum_i r_i^2

    where i runs over the features and ``r_i`` are their ratios: twice the squared
    distance to coefficients in these ratios. For two features of equal ratio it is
    ``s/2 (w_1 - w_2)^2``; for any number it is the tie of domains to their mean.

    Parameters
    ----------
    features : list or dict
        Two features or more: names, where X has names of columns, or positions of the
        coefficients. A dict gives each feature its ratio, finite and not 0: ``{"left":
        1, "right": -1}`` ties the one to the negative of the other.
    strength : float, default=1.0
        In [0, inf]; infinity makes the coefficients equal.

    See Also
    --------
    TiedLogisticRegression : Takes them.

    Examples
    --------
    Two features that mean nearly the same, and one that means the opposite:

    >>> from sktie import FeatureTie, TiedLogisticRegression
    >>> X = [[0, 1, 0], [1, 1, 0], [2, 1, 1], [3, 4, 0]]
    >>> ties = [FeatureTie({0: 1, 1: 1, 2: -1}, strength=100)]
    >>> model = TiedLogisticRegression(feature_ties=ties).fit(X, [0, 0, 1, 1])
    >>> print(model.coef_.round(2))
    [[ 0.39  0.39 -0.38]]
    """

    features: Any
    strength: float = 1.0


class _Group(NamedTuple):
    """Features by position, their ratios, and a strength."""

    places: list[int]
    ratios: FloatArray
    strength: float


class Features:
    """The features of a model, to be named or numbered.

    Parameters
    ----------
    n_features : int
        Number of coefficients, without the intercept.
    names : array of shape (n_features,) or None
        Names of their columns.
    """

    def __init__(self, n_features: int, names: Array | None) -> None:
        self.n_features = n_features
        self.names = None if names is None else [str(name) for name in names]

    def label(self, place: int) -> str:
        """Return what the user calls a feature, for messages."""
        return str(place) if self.names is None else repr(self.names[place])

    def place(self, feature: Any, where: str) -> int:
        """Return the position of a feature that the parameter ``where`` names."""
        if isinstance(feature, str):
            if self.names is None:
                raise ValueError(
                    f"{where} names the feature {feature!r}, but X has no column "
                    "names. Pass a data frame, or use positions."
                )
            if feature not in self.names:
                shown = [*self.names[:12], "..."][: self.n_features]
                raise ValueError(
                    f"{where} names the feature {feature!r}, which is no feature of X; "
                    f"it has {shown}. Use one of these, or a position."
                )
            return self.names.index(feature)
        whole = isinstance(feature, Integral) and not isinstance(feature, bool)
        n = self.n_features
        if not whole or not -n <= feature < n:
            raise ValueError(
                f"{where} holds {feature!r}; expected a name, or the position of a "
                f"coefficient from {-n} to {n - 1} (columns of X without that of the "
                "domains)."
            )
        return int(feature) % n

    def group(self, item: Any, strength: float, where: str) -> _Group:
        """Return the features of one list or dict."""
        if isinstance(item, np.ndarray):
            item = item.tolist()
        named = isinstance(item, Mapping)
        if not named and not (isinstance(item, Sequence) and not isinstance(item, str)):
            raise ValueError(
                f"{where} holds {item!r}; expected groups of features, such as "
                "['left', 'right'] or {'left': 1, 'right': -1}."
            )
        places = [self.place(feature, where) for feature in item]
        if len(places) < 2:
            raise ValueError(
                f"{where} holds the group {item!r}; expected two features or more. A "
                "single one is equal to itself: drop the group."
            )
        for place in places:
            if places.count(place) > 1:
                raise ValueError(
                    f"{where} holds the group {item!r}, in which the feature "
                    f"{self.label(place)} appears twice; expected it once."
                )
        values = list(item.values()) if named else [1.0] * len(places)
        for ratio in values:
            real = isinstance(ratio, Real) and not isinstance(ratio, bool)
            if not real or not np.isfinite(ratio) or ratio == 0:
                raise ValueError(
                    f"{where} holds the ratio {ratio!r} in {item!r}; expected finite "
                    "numbers that are not 0. Drop a feature whose coefficient is 0."
                )
        return _Group(places, np.array(values, dtype=np.float64), strength)

    def groups(self, items: Any, where: str, graded: bool = True) -> list[_Group]:
        """Return all groups of a list, strengths being 1 where they have none.

        Unless ``graded``, none may have a strength.
        """
        number = isinstance(items, np.ndarray) and not items.ndim
        single = number or isinstance(items, (str, Mapping, FeatureTie))
        if single or not isinstance(items, Iterable):
            raise ValueError(
                f"{where}={items!r}; expected a list of groups of features. Put the "
                "one group into a list."
            )
        found = []
        for item in items:
            strength = 1.0
            if isinstance(item, FeatureTie):
                if not graded:
                    raise ValueError(
                        f"{where} holds {item!r}; expected lists or dicts of features: "
                        "what is equal has no strength. Use feature_ties."
                    )
                strength, item = item.strength, item.features
                check_strength(strength, f"The strength of a FeatureTie in {where}")
            found.append(self.group(item, float(strength), where))
        return found

    def edges(self, graph: Matrix, where: str) -> list[_Group]:
        """Return the edges of a graph; what ties a feature to itself does nothing."""
        n = self.n_features
        if graph.shape != (n, n):
            raise ValueError(
                f"{where} is an array of shape {graph.shape}; expected a graph, the "
                f"adjacency of {n} features, ({n}, {n}). Pass groups as a list."
            )
        # A copy: infinite weights meet zeros in no product this way.
        links = sp.coo_array(graph)
        links.sum_duplicates()
        row, column = links.row, links.col
        weight = np.asarray(links.data, dtype=np.float64)
        if np.isnan(weight).any() or (weight < 0).any():
            raise ValueError(
                f"{where} is a graph with weights that are negative or NaN; expected "
                "strengths from 0 to inf. For a sign flip use a group {i: 1, j: -1}."
            )
        ends = zip(row.tolist(), column.tolist(), strict=True)
        table = dict(zip(ends, weight.tolist(), strict=True))
        for (i, j), value in table.items():
            if table.get((j, i), 0.0) != value:
                raise ValueError(
                    f"{where} is a graph with the weight {value:g} from "
                    f"{self.label(i)} to {self.label(j)} and {table.get((j, i), 0.0):g}"
                    " back; expected a symmetric one. Use graph + graph.T, halved."
                )
        ones = np.ones(2)
        return [
            _Group([i, j], ones, float(value))
            for (i, j), value in table.items()
            if i < j and value > 0
        ]


def check_strength(strength: Any, what: str) -> None:
    """Check that a strength is a number in [0, inf]."""
    real = isinstance(strength, Real) and not isinstance(strength, bool)
    if not real or not strength >= 0:
        raise ValueError(
            f"{what} is {strength!r}; expected a number from 0 (free) to inf (equal)."
        )


def read_strengths(tie: Any, features: Features) -> float | FloatArray:
    """Return the strength of the tie, one number or one for each coefficient.

    Parameters
    ----------
    tie : float, dict or array-like of shape (n_features,)
        A dict holds strengths by name or position; None is the key of the others.
    features : Features
        What it names.
    """
    if isinstance(tie, Real):
        return float(tie)
    n = features.n_features
    if isinstance(tie, Mapping):
        found = np.full(n, np.nan)
        for key, strength in tie.items():
            check_strength(strength, f"tie[{key!r}]")
            if key is None:
                continue
            place = features.place(key, "tie")
            if not np.isnan(found[place]):
                raise ValueError(
                    f"tie holds the feature {features.label(place)} twice, by name "
                    "and by position; expected it once."
                )
            found[place] = strength
        left = np.flatnonzero(np.isnan(found))
        if len(left) and None not in tie:
            shown = ", ".join(features.label(int(i)) for i in left[:5])
            raise ValueError(
                f"tie has no strength for {len(left)} of {n} features ({shown}"
                f"{', ...' if len(left) > 5 else ''}); expected one for each. Give "
                "the others theirs by the key None: tie={..., None: 1.0}."
            )
        found[left] = tie.get(None, 0.0)
        return found
    try:
        array: FloatArray = np.asarray(tie, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.shape != (n,) or not (array >= 0).all():
        raise ValueError(
            f"tie={tie!r}; expected a number, a dict of strengths by feature, or an "
            f"array of {n} strengths from 0 to inf, one for each coefficient."
        )
    return array


@dataclass(frozen=True)
class Dependencies:
    """What is known about the coefficients of one model.

    Attributes
    ----------
    features : Features
        Their features.
    shares : Shares or None
        Coefficients that are equal, or in fixed ratios; None where all are stored.
    root : sparse matrix of shape (n_ties, n_features) or None
        B: the ties of finite strength add ``1/2 |B w|^2``.
    """

    features: Features
    shares: Shares | None
    root: Any | None

    def aggregated(self, X: Matrix, skip: int | None) -> tuple[Matrix, int | None]:
        """Return the columns of the stored coefficients, and which is no feature."""
        if self.shares is None:
            return X, skip
        return self.shares.aggregate(X, skip), None

    def quadratic(
        self, n_outputs: int, design: Any, mean_weight: float
    ) -> Quadratic | None:
        """Return the ties as a penalty of each output's stored coefficients.

        Beside the curvature of the losses, which is about that of ``s_i x_i^2``,
        strengths above `STIFFEST` are not told from that: they count as it.
        """
        if self.root is None:
            return None
        root = self.root if self.shares is None else self.root @ self.shares.basis
        root = sp.csr_array(root)
        curvature = design.column_squares()
        curvature *= mean_weight
        n_rows, n_coefs = root.shape[0], design.n_coefs
        row = np.repeat(np.arange(n_rows), np.diff(root.indptr))
        most: FloatArray = np.ones(n_rows)
        np.maximum.at(most, row, curvature[root.indices])
        size = np.zeros(n_rows)
        np.maximum.at(size, row, np.abs(root.data))
        limit = np.sqrt(STIFFEST * most)
        root.data *= np.minimum(1.0, limit / np.maximum(size, limit))[row]
        # An intercept, last of the n_coefs, is in no tie.
        root = sp.csr_array(
            (root.data, root.indices, root.indptr), shape=(n_rows, n_coefs)
        )
        return Quadratic(root, (n_outputs, n_coefs), root=True)


def read_dependencies(
    feature_ties: Any, feature_tie: float, feature_shares: Any, features: Features
) -> Dependencies:
    """Return the dependencies that the parameters of an estimator ask for.

    Parameters
    ----------
    feature_ties : list, array or sparse matrix, or None
        Groups of features, or a graph.
    feature_tie : float
        Factor of their strengths, in [0, inf].
    feature_shares : list or None
        Groups of features.
    features : Features
        What they name.
    """
    ties: list[_Group] = []
    if isinstance(feature_ties, np.ndarray) or sp.issparse(feature_ties):
        ties = features.edges(feature_ties, "feature_ties")
    elif feature_ties is not None:
        ties = features.groups(feature_ties, "feature_ties")
    if feature_tie == 0 and any(np.isinf(tie.strength) for tie in ties):
        raise ValueError(
            "feature_tie=0 times a strength of inf in feature_ties has no value. Use "
            "feature_shares for what is equal at any feature_tie."
        )
    ties = [tie._replace(strength=tie.strength * feature_tie) for tie in ties]
    equal = [tie for tie in ties if np.isinf(tie.strength)]
    if feature_shares is not None:
        equal = features.groups(feature_shares, "feature_shares", False) + equal
    return Dependencies(
        features,
        shares=_union(equal, features) if equal else None,
        root=_root(
            [tie for tie in ties if 0 < tie.strength < np.inf], features.n_features
        ),
    )


def _root(ties: list[_Group], n_features: int) -> Any | None:
    """Return B, a row or more for each tie."""
    if not ties:
        return None
    rows, columns, values, n_rows = [], [], [], 0
    for places, ratios, strength in ties:
        unit = ratios / np.abs(ratios).max()
        unit = unit / np.linalg.norm(unit)
        if len(places) == 2:  # one difference says it all
            block = np.array([[unit[1], -unit[0]]])
        else:
            block = np.eye(len(places)) - np.outer(unit, unit)
        row, column = np.indices(block.shape)
        rows.append(n_rows + row.ravel())
        columns.append(np.asarray(places)[column.ravel()])
        values.append(np.sqrt(2.0 * strength) * block.ravel())
        n_rows += len(block)
    places_of = (np.concatenate(rows), np.concatenate(columns))
    return sp.csr_array((np.concatenate(values), places_of), shape=(n_rows, n_features))


def _union(groups: list[_Group], features: Features) -> Shares:
    """Return the stored coefficients that equalities leave; each is its first feature.

    A forest: ``w_i = ratio_i w_(parent i)``. Equalities that meet must agree.
    """
    n = features.n_features
    parent, ratio = list(range(n)), [1.0] * n

    def root_of(i: int) -> tuple[int, float]:
        path, multiple = [], 1.0
        while parent[i] != i:
            path.append(i)
            i = parent[i]
        for j in reversed(path):
            multiple *= ratio[j]
            parent[j], ratio[j] = i, multiple
        return i, multiple

    for places, ratios, _ in groups:
        first = places[0]
        for place, own in zip(places[1:], ratios[1:].tolist(), strict=True):
            wanted = own / float(ratios[0])  # w_place = wanted * w_first
            (a, of_first), (b, of_place) = root_of(first), root_of(place)
            if a == b:
                found = of_place / of_first
                if not abs(found - wanted) <= SAME_RATIO * abs(wanted):
                    raise ValueError(
                        f"The coefficient of {features.label(place)} is to be "
                        f"{wanted:.6g} times that of {features.label(first)}, and by "
                        f"other equalities {found:.6g} times; both are true of 0 "
                        "alone. Drop one of these from feature_shares, or from the "
                        "feature_ties of infinite strength."
                    )
                continue
            # w_place = of_place w_b and w_first = of_first w_a.
            if a < b:
                parent[b], ratio[b] = a, wanted * of_first / of_place
            else:
                parent[a], ratio[a] = b, of_place / (wanted * of_first)
    found_roots = [root_of(i) for i in range(n)]
    roots = np.array([root for root, _ in found_roots])
    multiples = np.array([multiple for _, multiple in found_roots])
    size = np.abs(multiples)
    if not ((size <= MOST_RATIO) & (size >= 1 / MOST_RATIO)).all():
        raise ValueError(
            f"The ratios of feature_shares multiply to more than {MOST_RATIO:g} or "
            "less than its inverse; expected moderate ones. Scale the features instead."
        )
    return Shares(np.unique(roots, return_inverse=True)[1].ravel(), multiples)
