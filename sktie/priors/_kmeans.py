"""k-means as a prior: the clusters of all rows, and a classifier made of them."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClusterMixin
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sktie._compat import Interval, StrOptions
from sktie._labels import check_weight
from sktie._rows import canonical_rows, drop_zero_weight
from sktie._typing import Auto, FloatArray, IntArray, Matrix, RandomState
from sktie._validation import check_parameters, unchanged_on_error
from sktie.priors._class_table import blocks, one_hot
from sktie.priors._encoder import EncoderPrior
from sktie.priors._kmeans_blocks import SAMPLED
from sktie.priors._temperature import (
    auto_temperature,
    sample_rows,
    softmax_encoder,
    within_variance,
)
from sktie.streams._apply import (
    by_blocks,
    in_batches,
    is_parted,
    learn_in_turn,
)

#: Multiplications of one pass of k-means from which minibatches are used.
MINIBATCH_WORK = 4e10

REMEDIES = {
    "n_clusters": "Use a positive number of clusters, at most the number of rows.",
    "code": "Use 'one-hot' (the cluster), 'soft' (responsibilities) or 'triangle'.",
    "temperature": "Use 'auto', or a positive variance in squared units of X.",
}


def _codes(prior: Any) -> Any:
    """Return no rows of what `transform` returns."""
    none = np.empty((0, prior._k), prior.cluster_centers_.dtype)
    return sp.csr_array(none) if prior.sparse_output else none


class KMeansPrior(ClusterMixin, EncoderPrior):
    r"""Clusters of k-means, as a transformer and as a model to tie classifiers to.

    Minimises the k-means objective with scikit-learn's ``KMeans``::

        sum_i s_i min_h |x_i - c_h|^2

    and reads the centres as a linear softmax encoder: at temperature t the
    *responsibility* of cluster h for a row x is

    .. math::

        p(h \mid x) \propto \exp(-|x - c_h|^2 / (2t))
                    \propto \exp(w_h^\top x + b_h), \quad
        w_h = \frac{c_h - m}{t}, \quad
        b_h = - \frac{(c_h - m)^\top m + |c_h - m|^2 / 2}{t},

    with m the mean of the rows. The most probable cluster is that of the nearest
    centre, at any temperature. As ``pair`` of `TiedLogisticRegression` or
    `TiedMLPClassifier` it anchors a classifier to the clusters of all rows, labelled
    or not.

    Parameters
    ----------
    n_clusters : int, default=8
        Number k of clusters. As a prior for classes, use many more clusters than
        classes: hundreds, if rows allow.
    code : {"one-hot", "soft", "triangle"}, default="one-hot"
        What `transform` returns: the cluster as one-hot code, the responsibilities, or
        ``max(0, mean_j |x - c_j| - |x - c_h|)`` [1]_. No matter for a classifier that
        is tied to this prior.
    temperature : "auto" or float, default="auto"
        Variance t of the responsibilities, in squared units of X. "auto" is where the
        responsibilities of a row are spread over :math:`\sqrt k` clusters: where their
        mean entropy is ``log(k) / 2``, but at least 1e-6 of the mean squared distance
        to the mean.
    sparse_output : bool, default=False
        Whether `transform` returns a CSR array.
    minibatch : "auto" or bool, default="auto"
        Whether to use ``MiniBatchKMeans``. "auto" does where one pass over the rows,
        ``n_samples * n_features * n_clusters``, takes more than 4e10 multiplications.
    init : {"k-means++", "random"}, callable or array-like, default="k-means++"
        Start, as in ``KMeans``.
    n_init : "auto" or int, default="auto"
        Number of starts, as in ``KMeans``.
    max_iter : int, default=300
        Most passes over the rows.
    tol : float, default=1e-4
        Relative change of the centres at which to stop (not with minibatches).
    batch_size : int, default=1024
        Rows of a minibatch.
    verbose : int, default=0
        Print the progress of scikit-learn's k-means if positive.
    random_state : int, RandomState or None, default=None
        Seed of the start; an integer makes results repeatable.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres, with the dtype of X.
    temperature_ : float
        The temperature t in use.
    coef_ : ndarray of shape (n_clusters, n_features)
        Weights w of the encoder.
    intercept_ : ndarray of shape (n_clusters,)
        Intercepts b of the encoder.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each row of `fit`, or of the last batch of `partial_fit`; not set by
        a fit to rows in blocks.
    inertia_ : float
        Weighted sum of squared distances to the nearest centre, of the same rows;
        likewise.
    n_iter_ : int
        Passes over the rows, and batches since.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, where X had string names.

    Raises
    ------
    ValueError
        For input that cannot be clustered, such as fewer rows than clusters.

    See Also
    --------
    AutoencoderPrior : An autoencoder in the same roles.
    sklearn.cluster.KMeans : The clustering underneath.

    Notes
    -----
    *Rows and weights.* Rows of weight zero are dropped, equal rows merged and the
    rest put in an order of their own before k-means draws its start, up to 16 million
    numbers in X (65536 rows of a sparse X). So neither the order of rows matters, nor
    whether a row is given twice or with weight 2. Larger data are clustered as they
    come: then other orders can lead to other local minima, as in ``KMeans`` itself.

    *Cluster-to-class table.* `class_table` counts the labels in each cluster, and
    lets clusters without labels take them from their neighbours. A row belongs to its
    three nearest clusters with shares Z (close to 1 for a clear nearest one); clusters
    that share rows are neighbours, ``W = Z'SZ``. With the labelled counts
    ``F = Z_l' S_l Y`` (and a hundredth of their sum, spread over all clusters), the
    table solves
    ``(diag(1.1 W 1 + 10 F 1) - W) A = F``, rows normalised: the class at which a walk
    over the clusters ends that stops at labelled rows, and is lost with a small
    probability at each step. It is the harmonic solution of [2]_, with the memory loss
    of [3]_, on the anchor graph of [4]_; its cost is linear in the rows.

    *Linear anchor.* The table gives each row class probabilities, ``Z A``, which are
    sharpened (cubed) and taught to a softmax regression on all rows. Its
    coefficients are the anchor. On held-out digits with 20 labels this anchor is right
    on 0.90 of the rows, that of plain counts with the nearest labelled row for empty
    clusters on 0.79 (240 clusters; see the page "Few labels").

    References
    ----------
    .. [1] A. Coates, H. Lee, A. Ng (2011). An analysis of single-layer networks in
       unsupervised feature learning. AISTATS.
    .. [2] X. Zhu, Z. Ghahramani, J. Lafferty (2003). Semi-supervised learning using
       Gaussian fields and harmonic functions. ICML.
    .. [3] D. Zhou, O. Bousquet, T. Lal, J. Weston, B. Schoelkopf (2004). Learning with
       local and global consistency. NIPS.
    .. [4] W. Liu, J. He, S.-F. Chang (2010). Large graph construction for scalable
       semi-supervised learning. ICML.
    .. [5] J. Lasserre, C. Bishop, T. Minka (2006). Principled hybrids of generative
       and discriminative models. CVPR.

    Examples
    --------
    Two labelled images of each digit, alone and tied to the clusters of all images.

    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sktie import KMeansPrior, TiedLogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y_seen = X / 16, np.full(len(y), -1)
    >>> for digit in range(10):
    ...     two = np.flatnonzero(y == digit)[:2]
    ...     y_seen[two] = digit
    >>> alone = TiedLogisticRegression().fit(X[y_seen >= 0], y_seen[y_seen >= 0])
    >>> prior = KMeansPrior(n_clusters=200, random_state=0)
    >>> tied = TiedLogisticRegression(prior, unlabeled=-1, C=100).fit(X, y_seen)
    >>> print(f"{alone.score(X, y):.1f} {tied.score(X, y):.1f}")
    0.8 0.9
    """

    activation = "softmax"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "code": [StrOptions({"one-hot", "soft", "triangle"})],
        "temperature": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "sparse_output": ["boolean"],
        "minibatch": [StrOptions({"auto"}), "boolean"],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        code: Literal["one-hot", "soft", "triangle"] = "one-hot",
        temperature: float | Auto = "auto",
        sparse_output: bool = False,
        minibatch: bool | Auto = "auto",
        init: Any = "k-means++",
        n_init: int | Auto = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        batch_size: int = 1024,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.code = code
        self.temperature = temperature
        self.sparse_output = sparse_output
        self.minibatch = minibatch
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeansPrior:
        """Cluster the rows.

        Rows in blocks (see `sktie.streams`) are visited twice: a sample of them, at
        most 4 million numbers, is clustered as rows in memory are, and from its
        centres ``MiniBatchKMeans.partial_fit`` takes each block in order as one batch.
        The mean and the temperature are those of the sample. ``labels_`` and
        ``inertia_`` are not set.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, at least ``n_clusters`` of positive weight.
        y : None, default=None
            Ignored; for pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        KMeansPrior
            The fitted prior itself.
        """
        if is_parted(X):
            rows = {"sample_weight": sample_weight}
            learn_in_turn(self, X, rows, "partial_fit", SAMPLED)
            return self
        with unchanged_on_error(self):
            X, weight = self._read_rows(X, sample_weight, reset=True)
            rows, mass, _ = drop_zero_weight(X, weight)
            self._check_enough(rows.shape[0])
            rows, mass, _ = canonical_rows(rows, mass, at_least=self.n_clusters)
            found = self._clusterer(rows.shape[0]).fit(rows, sample_weight=mass)
            self.n_iter_ = int(found.n_iter_)
            self._online: Any = None
            self._store(found.cluster_centers_, rows, mass, afresh=True)
            self._label(X, weight)
            self._variance = self._variance_within(rows, mass)
        return self

    @in_batches
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> KMeansPrior:
        """Move the centres by one batch of rows, as ``MiniBatchKMeans`` does.

        After `fit` it goes on from the centres found, each with the weight of its
        rows. The mean and the automatic temperature are those of the last batch that
        had at least two rows for each cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; at least ``n_clusters`` in the first batch. Streams and dask
            collections are a batch for each of their blocks.
        y : None, default=None
            Ignored; for pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        KMeansPrior
            The prior itself.
        """
        with unchanged_on_error(self):
            self._learn(X, sample_weight)
        return self

    @by_blocks(_codes)
    def transform(self, X: Any) -> Any:
        """Return the code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        {ndarray, CSR array} of shape (n_samples, n_clusters)
            The code that ``code`` names, with the dtype of X.
        """
        X = self._read_known(X)
        if self.code == "one-hot":
            nearest = self._nearest(X)
            if self.sparse_output:
                ends = np.arange(len(nearest) + 1)
                ones = np.ones(len(nearest), dtype=X.dtype)
                return sp.csr_array(
                    (ones, nearest, ends), shape=(len(nearest), self._k)
                )
            return one_hot(nearest, self._k, X.dtype)
        if self.code == "soft":
            code = self._units(X)
        else:
            distance = np.sqrt(self._squared(X))
            code = np.maximum(distance.mean(axis=1, keepdims=True) - distance, 0)
        code = code.astype(X.dtype, copy=False)
        return sp.csr_array(code) if self.sparse_output else code

    @by_blocks(lambda self: np.empty(0, np.int32))
    def predict(self, X: Any) -> IntArray:
        """Return the cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Index of the nearest centre.
        """
        return self._nearest(self._read_known(X))

    @by_blocks(lambda self: np.empty((0, self._k), self.cluster_centers_.dtype))
    def predict_proba(self, X: Any) -> FloatArray:
        """Return the responsibilities of the clusters for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. For sparse ones, `transform` with ``code="soft"`` returns the same;
            of what gives probabilities for sparse rows, scikit-learn's estimator checks
            ask that it be a classifier.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            ``softmax(X @ coef_.T + intercept_)``.
        """
        if sp.issparse(X):
            raise TypeError(
                f"predict_proba got sparse rows of type {type(X).__name__}; expected "
                "dense ones. Use transform, with code='soft', or X.toarray()."
            )
        return self._units(self._read_known(X))

    def inverse_transform(self, X: Any) -> FloatArray:
        """Return the mean of the centres, weighted by a code.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_clusters)
            Codes, non-negative; for a one-hot code the result is the centre.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Points in the space of the rows.
        """
        check_is_fitted(self)
        code = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
        if code.shape[1] != self._k:
            raise ValueError(
                f"The code has {code.shape[1]} columns; expected {self._k}, one for "
                "each cluster, as transform returns."
            )
        lowest = code.data if sp.issparse(code) else code
        if lowest.min(initial=0) < 0:
            raise ValueError(
                f"The code holds negative numbers, such as {lowest.min()}; expected "
                "what transform returns."
            )
        total = np.asarray(code.sum(axis=1)).reshape(-1, 1)
        # All distances equal: the triangle code is zero, and no centre stands out.
        middle = self.cluster_centers_.mean(axis=0)
        points = (code @ self.cluster_centers_) / np.where(total > 0, total, 1)
        return np.asarray(np.where(total > 0, points, middle))

    @property
    def _k(self) -> int:
        return len(self.cluster_centers_)

    def _read_rows(
        self, X: Any, sample_weight: Any, reset: bool
    ) -> tuple[Matrix, FloatArray | None]:
        check_parameters(self, REMEDIES)
        dtype = [np.float64, np.float32] if reset else self.cluster_centers_.dtype
        X = validate_data(self, X, accept_sparse="csr", dtype=dtype, reset=reset)
        return X, check_weight(sample_weight, X)

    def _read_known(self, X: Any) -> Matrix:
        check_is_fitted(self)
        return validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False
        )

    def _check_enough(self, n_rows: int) -> None:
        if n_rows < self.n_clusters:
            raise ValueError(
                f"n_clusters={self.n_clusters}, but X has n_samples={n_rows} (of "
                "positive weight); expected at least as many rows as clusters. Lower "
                "n_clusters, or add rows."
            )

    def _learn(self, X: Any, sample_weight: Any) -> None:
        """Move the centres by one batch of rows."""
        first = not hasattr(self, "cluster_centers_")
        X, weight = self._read_rows(X, sample_weight, reset=first)
        rows, mass, _ = drop_zero_weight(X, weight)
        if not first and self.n_clusters != self._k:
            raise ValueError(
                f"n_clusters={self.n_clusters}, but this prior has {self._k} clusters, "
                "which partial_fit can only move. Call fit for another number."
            )
        if first:
            self._check_enough(rows.shape[0])
            self._online, self.n_iter_ = self._minibatch(self.init), 0
        elif self._online is None:
            # The centres as a first batch, each as heavy as its rows, stay in place.
            # Nor is a small one moved elsewhere, which suits a start and not an end.
            self._online = self._minibatch(
                self.cluster_centers_, reassignment_ratio=0.0
            )
            held = self._mass > 0
            self._online.partial_fit(
                self.cluster_centers_, sample_weight=np.where(held, self._mass, 1e-12)
            )
        else:
            # A batch that fails leaves the other as it was.
            self._online = deepcopy(self._online)
        self._online.partial_fit(rows, sample_weight=mass)
        self.n_iter_ += 1
        # Few rows say where centres go, but not how far rows are spread around them.
        afresh = first or rows.shape[0] >= 2 * self._k
        self._store(self._online.cluster_centers_.copy(), rows, mass, afresh)
        self._label(X, weight)
        if afresh:
            self._variance = self._variance_within(rows, mass)

    def _clusterer(self, n_rows: int) -> Any:
        minibatch = self.minibatch
        if minibatch == "auto":
            work = float(n_rows) * self.n_features_in_ * self.n_clusters
            minibatch = work > MINIBATCH_WORK
        if minibatch:
            return self._minibatch(self.init)
        return KMeans(self.n_clusters, tol=self.tol, **self._options(self.init))

    def _minibatch(self, init: Any, **more: Any) -> MiniBatchKMeans:
        options = self._options(init) | more
        return MiniBatchKMeans(self.n_clusters, batch_size=self.batch_size, **options)

    def _options(self, init: Any) -> dict[str, Any]:
        return {
            "init": init,
            # As KMeans, but without its warning that an array needs one start only.
            "n_init": self.n_init if isinstance(init, str) or callable(init) else 1,
            "max_iter": self.max_iter,
            "verbose": self.verbose,
            "random_state": self.random_state,
        }

    def _store(
        self, centres: FloatArray, rows: Matrix, mass: FloatArray, afresh: bool
    ) -> None:
        """Set the centres and the encoder; mean and temperature too, if afresh."""
        self.cluster_centers_ = np.asarray(centres, dtype=rows.dtype)
        if afresh:
            share = mass.astype(np.float64) / mass.sum(dtype=np.float64)
            self._mean = np.asarray(rows.T @ share).ravel().astype(rows.dtype)
            self.temperature_ = self._choose_temperature(rows, mass)
        coef, intercept = softmax_encoder(
            self.cluster_centers_.astype(np.float64),
            self._mean.astype(np.float64),
            self.temperature_,
        )
        self.coef_ = coef.astype(rows.dtype)
        self.intercept_ = intercept.astype(rows.dtype)

    def _choose_temperature(self, rows: Matrix, mass: FloatArray) -> float:
        if self.temperature != "auto":
            return float(self.temperature)
        chosen = sample_rows(rows.shape[0])
        sample, weight = rows[chosen], mass[chosen]
        from_mean = self._squared(sample, self._mean[np.newaxis])
        scale = float(np.average(from_mean[:, 0], weights=weight))
        return auto_temperature(self._squared(sample), weight, scale)

    def _squared(self, X: Matrix, points: FloatArray | None = None) -> FloatArray:
        """Return squared distances to the centres, or to other points."""
        points = self.cluster_centers_ if points is None else points
        if not sp.issparse(X):
            # From the mean: |x|^2 - 2x'c + |c|^2 is exact only to the size of |x|^2.
            X, points = X - self._mean, points - self._mean
        return np.asarray(euclidean_distances(X, points, squared=True))

    def _label(self, X: Matrix, weight: FloatArray | None) -> None:
        """Set what the centres make of the rows."""
        self.labels_ = self._nearest(X)
        self.inertia_ = self._inertia(X, weight)
        self._mass = np.bincount(self.labels_, weights=weight, minlength=self._k)

    def _variance_within(self, rows: Matrix, mass: FloatArray) -> float:
        """Return the variance within clusters, of the distinct rows just labelled."""
        mean_squared = self.inertia_ / float(mass.sum(dtype=np.float64))
        n_used = np.count_nonzero(self._mass)
        return within_variance(mean_squared, rows.shape[0], int(n_used))

    def _nearest(self, X: Matrix) -> IntArray:
        nearest = np.empty(X.shape[0], dtype=np.int32)
        for rows in blocks(X.shape[0], self._k):
            scores = X[rows] @ self.coef_.T
            scores += self.intercept_
            nearest[rows] = scores.argmax(axis=1)
        return nearest

    def _inertia(self, X: Matrix, weight: FloatArray | None) -> float:
        """Return the weighted sum of squared distances to the centres of `labels_`."""
        total = 0.0
        for rows in blocks(X.shape[0], X.shape[1]):
            own = self.cluster_centers_[self.labels_[rows]]
            part = X[rows].toarray() if sp.issparse(X) else X[rows]
            squared = np.square(part - own).sum(axis=1, dtype=np.float64)
            total += float(squared.sum() if weight is None else weight[rows] @ squared)
        return total
