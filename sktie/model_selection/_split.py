"""Cross-validation of models that learn from rows without labels too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import column_or_1d

from sktie._compat import n_samples_of
from sktie._labels import labelled_rows
from sktie._persistence import VersionedEstimator
from sktie._typing import Array, IntArray
from sktie._validation import as_array
from sktie.model_selection._holding_out import positions_of


class LabeledSplit(VersionedEstimator):
    """Split the labelled rows; put those without a label into every training set.

    For ``cv`` of `GridSearchCV`, `cross_val_score` and their relatives, where some rows
    of y are marked as unlabelled: these are never scored, and folds are stratified by
    the classes of the others. Any scorer works with it. It serves searches and scores,
    not `CalibratedClassifierCV` or `cross_val_predict`, which need a prediction for
    every row. With `learning_curve` use ``shuffle=True``.

    Parameters
    ----------
    cv : int, splitter or iterable, default=5
        How to split the labelled rows: an integer is the number of stratified folds;
        a splitter, such as ``StratifiedKFold(3, shuffle=True)``, or an iterable of
        (training, test) positions, counts labelled rows only.
    unlabeled : int or str, default=-1
        The label in y of rows that have none: the ``unlabeled`` of the model.

    See Also
    --------
    KMeansPrior : Learns from rows without labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie.model_selection import LabeledSplit
    >>> y = np.array([0, 1, -1, 0, 1, -1])
    >>> for train, test in LabeledSplit(2).split(y.reshape(-1, 1), y):
    ...     print(train, test)
    [2 3 4 5] [0 1]
    [0 1 2 5] [3 4]
    """

    __metadata_request__split: ClassVar = {"groups": True}

    def __init__(self, cv: Any = 5, *, unlabeled: Any = -1) -> None:
        self.cv = cv
        self.unlabeled = unlabeled

    def split(
        self, X: Any, y: Any, groups: Any = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the positions of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; only their number counts.
        y : array-like of shape (n_samples,)
            Class labels, and the mark of rows that have none.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows, for splitters of groups.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Sorted positions of all rows without a label and of labelled training rows.
        test : ndarray of shape (n_test,)
            Positions of labelled test rows.
        """
        if y is None:
            raise ValueError(
                "LabeledSplit got y=None; expected labels, some of them "
                f"{self.unlabeled!r}. Pass y, or use KFold."
            )
        y = self._labels(y)
        self._check_length("X", X, y)
        self._check_length("groups", groups, y)
        chosen = labelled_rows(y, self.unlabeled)
        known, rest = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        if groups is not None:
            groups = column_or_1d(as_array("groups", groups))[known]
        known_y = y[known]
        splitter = self._splitter(known_y)
        placeholder = np.zeros((len(known), 1))
        folds = splitter.split(placeholder, known_y, groups)
        if not hasattr(self.cv, "split") and not isinstance(self.cv, Integral):
            folds = positions_of(folds, len(known))  # as the user gave them
        for train, test in folds:
            yield np.sort(np.concatenate([known[train], rest])), known[test]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Rows, for splitters that need them.
        y : array-like of shape (n_samples,), default=None
            Class labels, for splitters that need them.
        groups : array-like of shape (n_samples,), default=None
            Groups of the rows, for splitters that need them.

        Returns
        -------
        int
            How many pairs `split` yields.
        """
        if y is not None:
            y = self._labels(y)
            self._check_length("groups", groups, y)
            chosen = labelled_rows(y, self.unlabeled)
            X, y = np.zeros((int(chosen.sum()), 1)), y[chosen]
            groups = (
                None
                if groups is None
                else column_or_1d(as_array("groups", groups))[chosen]
            )
        return int(self._splitter(y).get_n_splits(X, y, groups))

    @staticmethod
    def _labels(y: Any) -> Array:
        """Return the labels as an array of one axis."""
        return np.asarray(column_or_1d(as_array("y", y)))

    def _splitter(self, y: Any) -> Any:
        if isinstance(self.cv, type):
            raise ValueError(
                f"cv={self.cv!r} is a class; expected a splitter. Make one: "
                f"cv={self.cv.__name__}()."
            )
        if isinstance(self.cv, Iterator):
            raise ValueError(
                f"cv={self.cv!r} can be read only once, and a search reads the splits "
                "more often. Pass a list: cv=list(...)."
            )
        cv = 5 if self.cv is None else self.cv
        if isinstance(cv, Iterable) and not isinstance(cv, str | list):
            cv = list(cv)
        if isinstance(cv, list) and not cv:
            raise ValueError(
                "cv has no folds; expected pairs of training and test positions. Pass "
                "cv=5, or a list of pairs."
            )
        return check_cv(cv, y, classifier=True)

    @staticmethod
    def _check_length(name: str, values: Any, y: Array) -> None:
        if values is not None and n_samples_of(values) != len(y):
            raise ValueError(
                f"{name} has {n_samples_of(values)} rows and y {len(y)} labels; "
                "expected one label, or mark, for each row."
            )
