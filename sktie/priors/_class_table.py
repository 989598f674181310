"""From clusters and a few labels to class probabilities of every row.

A row belongs to its nearest clusters; clusters that share rows are neighbours. Labels
walk over this graph: from a cluster to one of its rows, from there to a cluster of that
row. The walk ends where it meets a labelled row, or, now and then, without an answer.
Where it ends is the class of the cluster it began in. So counts rule where a cluster
has many labels, and neighbours where it has none. This is Zhu, Ghahramani and
Lafferty's harmonic function with Zhou et al.'s loss of memory, on the anchor graph of
Liu, He and Chang: its cost is linear in the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sktie._typing import Array, FloatArray, IntArray, Matrix

#: Clusters that a row belongs to.
N_NEAR = 3
#: Variances within clusters by which another cluster is clearly farther away. With 1,
#: labels hardly travel along a strip of clusters; with 8, groups of rows that are 10
#: standard deviations apart begin to mix.
APART = 3.0
#: How readily a walk is lost at a step, and how much more readily than an ordinary row
#: a labelled one ends it. Chosen on the transductive accuracy and log-loss of
#: load_digits and of 4000 training images of MNIST, with 10 to all labels and 8 to 600
#: clusters; a factor of 3 of either is not far behind from 30 clusters on.
LEAK = 0.1
HOLD = 10.0
#: Share of the labelled weight that is spread over all clusters as an even belief.
SMOOTHING = 0.01
#: The targets are raised to this power: where clusters are many, the walks of a row
#: disagree even if the row is clear. On the same data 2 to 6 served alike.
SHARPENING = 3.0
#: Numbers computed at a time.
BLOCK_ENTRIES = 1 << 22


def blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of rows, for arrays of so many columns that stay small."""
    yield from gen_batches(n_rows, max(1, BLOCK_ENTRIES // n_columns))


def local_codes(
    X: Matrix,
    coef: FloatArray,
    intercept: FloatArray,
    weight: FloatArray | None,
    within: float,
) -> sp.csr_matrix:
    """Return the shares (n_samples, n_clusters) of the nearest clusters of each row.

    They fall off with the score ``x'coef_h + intercept_h`` relative to the best one.
    The unit is the mean difference between the first and the last of the nearest, as
    many clusters make a graph by it however small they are; but at most APART times
    ``within``, the variance within clusters as a score, so that clusters far apart stay
    apart. Both measure scores, and the temperature of the encoder drops out.
    """
    n_samples, n_clusters = X.shape[0], len(coef)
    n_near = min(N_NEAR, n_clusters)
    near = np.empty((n_samples, n_near), dtype=np.int32)
    gap = np.empty((n_samples, n_near))
    for rows in blocks(n_samples, n_clusters):
        scores = X[rows] @ coef.T
        scores += intercept
        if n_near < n_clusters:
            place = np.argpartition(scores, n_clusters - n_near, axis=1)[:, -n_near:]
        else:
            place = np.broadcast_to(np.arange(n_clusters), scores.shape)
        best = np.take_along_axis(scores, place, axis=1)
        near[rows] = place
        gap[rows] = best.max(axis=1, keepdims=True) - best
    unit = min(np.average(gap.max(axis=1), weights=weight), APART * within)
    share = np.exp(-gap / unit) if unit > 0 else np.ones_like(gap)
    share /= share.sum(axis=1, keepdims=True)
    ends = np.arange(0, share.size + 1, n_near)
    return sp.csr_matrix(
        (share.ravel(), near.ravel(), ends), shape=(n_samples, n_clusters)
    )


def class_table(
    codes: sp.csr_matrix, y_index: IntArray, n_classes: int, weight: FloatArray | None
) -> FloatArray:
    """Return the class probabilities (n_clusters, n_classes) of each cluster.

    With Z the codes, s the weights, Z_l, s_l, Y those of labelled rows (Y one-hot) and
    ``F = Z_l' diag(s_l) Y``, it solves::

        (diag((1 + LEAK) W 1 + HOLD F 1) - W) A = F,    W = Z' diag(s) Z

    and divides the rows of A by their sums.
    """
    weight = np.ones(len(y_index)) if weight is None else weight.astype(np.float64)
    labelled = np.flatnonzero(y_index >= 0)
    target = sp.csr_matrix(
        (weight[labelled], (np.arange(len(labelled)), y_index[labelled])),
        shape=(len(labelled), n_classes),
    )
    graph = (codes.T @ codes.multiply(weight[:, np.newaxis])).toarray()
    mass = graph.sum(axis=1)
    # A cluster without rows has no neighbours; it gets the even belief alone.
    mass += 1e-9 * mass.mean()
    found = (codes[labelled].T @ target).toarray()
    per_class = found.sum(axis=0)
    belief = np.outer(mass / mass.sum(), per_class)
    found += SMOOTHING * belief
    system = np.diag((1 + LEAK) * mass + HOLD * found.sum(axis=1)) - graph
    solution = scipy.linalg.solve(system, found, assume_a="pos")
    table: FloatArray = np.maximum(solution, 0.0)
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def sharpen(probability: FloatArray) -> FloatArray:
    """Return probabilities in proportion to a power of those given."""
    relative = probability / probability.max(axis=1, keepdims=True)
    powered: FloatArray = relative**SHARPENING
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))


def one_hot(y_index: Array, n_classes: int, dtype: object) -> FloatArray:
    """Return class indices as rows of zeros and a one."""
    code = np.zeros((len(y_index), n_classes), dtype=dtype)  # type: ignore[call-overload]
    code[np.arange(len(y_index)), y_index] = 1
    return np.asarray(code)
