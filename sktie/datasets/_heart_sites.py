"""Heart disease at four hospitals: one question, four populations."""

import csv
import gzip
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch

_DATA_MODULE = "sktie.datasets.data"
_DESCR_MODULE = "sktie.datasets.descr"
_DATA_FILE = "heart_sites.csv.gz"
_DESCR_FILE = "heart_sites.rst"

# The code of a category in the array is its position here. The order is the one of
# the numeric codes of the UCI files; the sites stand in the order of the rows.
_CATEGORIES: dict[str, list[str]] = {
    "sex": ["Female", "Male"],
    "cp": ["typical angina", "atypical angina", "non-anginal", "asymptomatic"],
    "restecg": ["normal", "st-t abnormality", "lv hypertrophy"],
    "site": ["Cleveland", "Hungary", "Switzerland", "VA Long Beach"],
}


def load_heart_sites(*, return_X_y: bool = False, as_frame: bool = True) -> Any:
    """Load the heart disease data of four hospitals (binary classification).

    The same eleven variables were recorded for 920 patients who were sent to
    coronary angiography in Cleveland, Budapest, Zurich/Basel and Long Beach. The
    target says whether a vessel was found narrowed. The sites differ in size, in how
    common the disease is, and in what they measured: cholesterol is missing for
    every patient of Switzerland.

    =================   ====================
    Classes                                2
    Samples per class               411, 509
    Samples per site      303, 294, 123, 200
    Samples total                        920
    Dimensionality      11, with `site` last
    Features            real and categorical
    Missing values               yes, as NaN
    =================   ====================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    as_frame : bool, default=True
        If True, `data` is a pandas DataFrame with named categories and `target` a
        Series. If False, both are NumPy arrays and pandas is not needed.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with these attributes.

        data : {DataFrame, ndarray} of shape (920, 11)
            The variables. In the DataFrame `sex`, `cp`, `restecg` and `site` are
            categorical, `age` is int64, all others are float64. In the array
            (float64) a category is the position of its name in `categories`. Yes/no
            is 1/0 in both, and NaN is missing.
        target : {Series, ndarray} of shape (920,)
            1 where disease was found, else 0; int64.
        frame : DataFrame of shape (920, 12) or None
            `data` and `target` together; None with ``as_frame=False``.
        feature_names : list of str
            The names of the columns of `data`.
        target_names : list of str
            The names of the classes 0 and 1.
        site_names : list of str
            The names of the four sites, in the order of their codes.
        categories : dict of str to list of str
            For each categorical column the names behind the codes 0, 1, ...
        DESCR : str
            The description: variables, units, missing values, source and licence.
        filename : str
            The name of the data file.
        data_module : str
            The package that holds the data file.

    (data, target) : tuple if ``return_X_y`` is True
        `data` and `target` as described above.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    References
    ----------
    .. [1] A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano (1989). Heart Disease.
       UCI Machine Learning Repository. https://doi.org/10.24432/C52P4X. Licence:
       CC BY 4.0.

    Examples
    --------
    >>> from sktie.datasets import load_heart_sites
    >>> heart = load_heart_sites(as_frame=False)
    >>> heart.data.shape
    (920, 11)
    >>> for code, name in enumerate(heart.site_names):
    ...     rows = heart.data[:, -1] == code
    ...     print(f"{name}: {rows.sum()} patients, {heart.target[rows].mean():.1%} ill")
    Cleveland: 303 patients, 45.9% ill
    Hungary: 294 patients, 36.1% ill
    Switzerland: 123 patients, 93.5% ill
    VA Long Beach: 200 patients, 74.5% ill
    """
    for name, value in {"return_X_y": return_X_y, "as_frame": as_frame}.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name}={value!r}; expected True or False. Use one.")
    pandas = _import_pandas() if as_frame else None
    feature_names, data, target = _read_data()
    frame = None
    if pandas is not None:
        frame = _to_frame(pandas, feature_names, data, target)
        data, target = frame[feature_names], frame["target"]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=["absent", "present"],
        site_names=list(_CATEGORIES["site"]),
        categories={name: list(values) for name, values in _CATEGORIES.items()},
        DESCR=resources.files(_DESCR_MODULE).joinpath(_DESCR_FILE).read_text("utf-8"),
        filename=_DATA_FILE,
        data_module=_DATA_MODULE,
    )


def _import_pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "load_heart_sites(as_frame=True) needs pandas, which is not installed. "
            "Install it (python -m pip install pandas) or pass as_frame=False for "
            "NumPy arrays."
        ) from error
    return pandas


def _read_data() -> tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the feature names, the numeric data and the target."""
    packed = resources.files(_DATA_MODULE).joinpath(_DATA_FILE).read_bytes()
    header, *rows = csv.reader(gzip.decompress(packed).decode("utf-8").splitlines())
    table = np.array(
        [[_encode(*cell) for cell in zip(header, row, strict=True)] for row in rows]
    )
    data = np.ascontiguousarray(table[:, :-1])
    return header[:-1], data, table[:, -1].astype(np.int64)


def _encode(column: str, text: str) -> float:
    if not text:
        return np.nan
    if column in _CATEGORIES:
        return _CATEGORIES[column].index(text)
    return float(text)


def _to_frame(
    pandas: Any,
    feature_names: list[str],
    data: npt.NDArray[np.float64],
    target: npt.NDArray[np.int64],
) -> Any:
    """Return a data frame of the array, so that the two forms cannot disagree."""
    columns: dict[str, Any] = dict(zip(feature_names, data.T, strict=True))
    for name, categories in _CATEGORIES.items():
        codes = np.nan_to_num(columns[name], nan=-1).astype(np.int8)
        columns[name] = pandas.Categorical.from_codes(codes, categories=categories)
    columns["age"] = columns["age"].astype(np.int64)
    return pandas.DataFrame({**columns, "target": target})
