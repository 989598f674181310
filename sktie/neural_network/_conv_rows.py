"""How a network of convolutions reads rows: images, labels, weights and domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._domains import (
    Domains,
    check_columns,
    check_domain_use,
    cut_column,
    domain_index,
    is_column,
    known_domains,
    read_domains,
)
from sktie._labels import (
    check_domain_classes,
    check_partial_classes,
    check_weight,
    class_weights,
    classes_to_come,
    encode_sample,
    index_of_known,
)
from sktie._persistence import VersionedEstimator
from sktie._rows import canonical_order, drop_zero_weight
from sktie._typing import Array, FloatArray, IntArray
from sktie.neural_network._images import read_images


@dataclass(frozen=True)
class Rows:
    """Rows to train on.

    Attributes
    ----------
    X : ndarray of shape (n_given, n_pixels)
        Pixels of all rows that were given.
    index : ndarray of shape (n_samples,)
        Which of them, and in which order: no copy of the pixels is made.
    weight : ndarray of shape (n_samples,)
        Positive weights.
    y_index : ndarray of shape (n_samples,)
        Index of each row's class.
    domain : ndarray of shape (n_samples,) or None
        Number of each row's domain, where there are domains.
    """

    X: Array
    index: IntArray
    weight: FloatArray
    y_index: IntArray
    domain: IntArray | None = None


class ReadingConvolutions(VersionedEstimator):
    """Base of the networks of convolutions: from what users hand in to arrays."""

    classes_: Array
    domains_: Array
    image_shape_: tuple[int, int, int]

    def _images_of(
        self,
        X: Any,
        image_shape: Any,
        sample_domain: Any = None,
        *,
        name: str = "sample_domain",
        reset: bool = False,
        **target: Any,
    ) -> tuple[Array, tuple[int, int, int], Any, Domains | None]:
        """Return pixels, the shape of an image, y if given, and domains if any."""
        column = is_column(self.pair)
        if column:
            self._check_rows(X, reset)
        columns, domains = read_domains(self, X, sample_domain, name)
        X, shape, y = read_images(
            self,
            columns.without(),
            image_shape,
            self.signals,
            cut=column,
            reset=reset,
            **target,
        )
        return X, shape, y, domains

    def _pixels_of(self, X: Any) -> Array:
        """Return the pixels of rows whose domains do not matter."""
        column = is_column(self.pair)
        if column:
            self._check_rows(X, reset=False)
            X = cut_column(X, self.pair).without()
        return read_images(
            self, X, self.image_shape_, self.signals, cut=column, reset=False
        )[0]

    def _check_rows(self, X: Any, reset: bool) -> None:
        """Check rows that hold a column of domains."""
        if getattr(X, "ndim", 2) > 2:
            raise ValueError(
                f"pair={self.pair!r} names a column, but X holds arrays of shape "
                f"{X.shape[1:]}; expected rows (n_samples, n_features). Flatten the "
                "images, or pass the domains by sample_domain, with pair=None."
            )
        check_columns(self, X, reset)

    def _domain_of(
        self, domains: Domains | None, name: str = "sample_domain"
    ) -> IntArray | None:
        """Return the number of each row's domain, for a model that knows some."""
        check_domain_use(self, domains, name)
        return None if domains is None else domain_index(self, domains)

    def _check_partial(self, classes: Any) -> None:
        """Check that what is asked for can be done row by row."""
        if self.early_stopping:
            raise ValueError(
                "partial_fit cannot hold rows back for early_stopping=True, as it "
                "sees some rows at a time. Set early_stopping=False, or call fit."
            )
        check_partial_classes(self)
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError(
                "The first call of partial_fit needs `classes`, all labels that will "
                "ever occur: partial_fit(X, y, classes=np.unique(all_labels))."
            )

    def _read(self, X: Any, y: Any, sample_weight: Any, sample_domain: Any) -> Rows:
        """Validate and encode all rows; return those that weigh something, in order."""
        X, shape, y, domains = self._images_of(
            X, self.image_shape, sample_domain, reset=True, y=y
        )
        # The dtype of the pixels, which may be integers, is none for weights.
        self.classes_, sample = encode_sample(
            np.empty((len(X), 0)), y, sample_weight, self.class_weight, None
        )
        self.image_shape_ = shape
        self._know(domains)
        if domains is not None:
            separate = np.array_equal(self.tie_pair, 0)
            check_domain_classes(
                domains,
                sample.y_index,
                self.classes_,
                sample.weight,
                f"tie_pair={self.tie_pair}" if separate else None,
                "a positive tie_pair",
            )
        weight = np.ones(len(X)) if sample.weight is None else sample.weight
        index = None if domains is None else domains.index
        return self._in_order(X, weight, sample.y_index, index, merge=True)

    def _know(self, domains: Domains | None) -> None:
        """Keep the labels of the domains, if there are any."""
        self.__dict__.pop("domains_", None)
        if domains is not None:
            self.domains_ = domains.labels

    def _in_order(
        self,
        X: Array,
        weight: FloatArray,
        y_index: IntArray,
        domain: IntArray | None,
        *,
        merge: bool,
    ) -> Rows:
        """Return the rows that weigh something; merged and ordered, if asked to."""
        n_classes, cell = len(self.classes_), y_index
        if domain is not None:
            cell = domain * n_classes + cell
        X, weight, cell = drop_zero_weight(X, weight, cell)
        index = None
        if merge:
            index, weight = canonical_order(X, weight, cell)
        if index is None:
            index = np.arange(len(X))
        cell = cell[index]
        if domain is None:
            return Rows(X, index, weight, cell)
        domain, y_index = np.divmod(cell, n_classes)
        return Rows(X, index, weight, y_index, domain)

    def _read_more(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        sample_domain: Any,
        first: bool,
    ) -> Rows:
        """Validate and encode the rows of one call of `partial_fit`."""
        shape = self.image_shape if first else self.image_shape_
        X, shape, y, domains = self._images_of(
            X, shape, sample_domain, reset=first, y=y
        )
        self.image_shape_ = shape
        self.classes_ = classes_to_come(classes, None if first else self.classes_)
        y_index = index_of_known(y, self.classes_, "y")
        weight = check_weight(sample_weight, np.empty((len(X), 0)))
        factors = class_weights(self.class_weight, self.classes_, y_index, weight)
        weight = np.ones(len(X)) if weight is None else weight
        if factors is not None:
            weight = weight * factors[y_index]
        index = self._known_domain(domains, first)
        return self._in_order(X, weight, y_index, index, merge=False)

    def _known_domain(self, domains: Domains | None, first: bool) -> IntArray | None:
        """Return the numbers of domains, all of which the first call must know."""
        if first:
            self._know(domains)
        check_domain_use(self, domains)
        if domains is None:
            return None
        return known_domains(
            domains,
            self.domains_,
            "Give the first call of partial_fit rows of all domains, or call fit.",
        )
