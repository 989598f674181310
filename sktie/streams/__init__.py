"""Rows that do not fit into memory: streams of files, and chunks of dask.

The linear estimators take both as X: `fit` sends parameters to the rows and takes back
sums over them, and nothing that predicts needs more than a block at a time.
What has `partial_fit`, such as `SharedConvClassifier`, learns by it from block after
block, and `KMeansPrior` is fitted to blocks.
"""

from sktie.streams._files import RowStream, open_npy
from sktie.streams._parquet import open_parquet

__all__ = ["RowStream", "open_npy", "open_parquet"]
