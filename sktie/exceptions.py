"""Warnings of this package that a program may want to name."""

from __future__ import annotations

__all__ = ["InconsistentVersionWarning"]


class InconsistentVersionWarning(UserWarning):
    """A model was saved by another version of sktie than the one that loads it.

    It may load all the same, and predict differently, or not at all. The counterpart
    of scikit-learn's warning of the same name, which says so of its own estimators.

    Parameters
    ----------
    estimator_name : str
        Class of the model.
    original_version : str
        Version that saved it.
    current_version : str
        Version that loads it.

    See Also
    --------
    sklearn.exceptions.InconsistentVersionWarning : The same for scikit-learn.

    Examples
    --------
    To refuse such models:

    >>> import warnings
    >>> from sktie.exceptions import InconsistentVersionWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", InconsistentVersionWarning)
    ...     # model = joblib.load("model.joblib")
    """

    def __init__(
        self, *, estimator_name: str, original_version: str, current_version: str
    ) -> None:
        self.estimator_name = estimator_name
        self.original_version = original_version
        self.current_version = current_version

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was saved by sktie {self.original_version} and is "
            f"loaded by sktie {self.current_version}: it may predict otherwise, or "
            "fail. Load it with the version that saved it, or fit it again."
        )
