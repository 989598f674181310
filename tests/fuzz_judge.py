"""What a call may do with odd input: work, or say on purpose what is wrong."""

import contextlib
import dataclasses
import linecache
import os
import signal
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.fixes import parse_version

import sktie

OURS = str(Path(sktie.__file__).parent)
THEIRS = str(Path(sklearn.__file__).parent)
#: Says what is wrong with what is drawn: colours, axes, images.
DRAWS = f"{os.sep}matplotlib{os.sep}"
#: Where scikit-learn reads arrays; what NumPy and pandas say there is what every
#: estimator of scikit-learn says.
READING = ("/sklearn/utils/", "/sklearn/preprocessing/_label.py", "/sklearn/externals/")
#: Old versions of it stumble over pandas' missing words, and over other things there.
OLD = parse_version(sklearn.__version__) < parse_version("1.9")
#: Where it works out scores: what it says there it says of every estimator's.
SCORING = ("/sklearn/metrics/",)
#: Words of insides: no user knows what they are about.
INTERNAL = (
    "could not be broadcast",
    "is out of bounds for axis",
    "has no len()",
    "not subscriptable",
    "unsupported operand",
    "object is not iterable",
    "not supported between instances",
    "unexpected keyword argument",
    "cannot unpack",
    "not enough values to unpack",
    "ufunc '",
    "truth value of",
    "zero-size array",
    "reshape array of size",
    "matmul",
    "boolean index did not match",
    "must be aligned",
)
#: The shortest text that can name a value or an expectation.
SHORTEST = 18


class TooLongError(BaseException):
    """A call took longer than it may."""


@contextlib.contextmanager
def time_limit(seconds):
    """Raise `TooLongError` in the main thread after some seconds."""

    def stop(*_):
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fingerprint(value, depth=0):
    """Return something that is equal where a value is, to the last bit."""
    if depth > 8:
        return type(value)
    deeper = depth + 1
    if isinstance(value, np.ma.MaskedArray):
        parts = value.data, np.ma.getmaskarray(value)
        return "masked", [fingerprint(part, deeper) for part in parts]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            inside = [fingerprint(item, deeper) for item in value.ravel().tolist()]
            return value.shape, value.strides, inside
        about = value.shape, value.strides, value.dtype.str, value.flags.writeable
        return about, value.tobytes()
    if sp.issparse(value):
        parts = [part for part in vars(value).values() if isinstance(part, np.ndarray)]
        if value.format in ("lil", "dok"):
            parts = [value.tocoo().data]
        return value.format, value.shape, [fingerprint(part, deeper) for part in parts]
    if isinstance(value, pd.DataFrame | pd.Series):
        return repr(value.index), repr(value), fingerprint(value.to_numpy(), deeper)
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value)  # drawing from it is what it is for
    if isinstance(value, BaseEstimator):
        return type(value), fingerprint(vars(value), deeper)
    if isinstance(value, dict):
        return [(repr(k), fingerprint(v, deeper)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [fingerprint(item, deeper) for item in value]
    if isinstance(
        value, bool | int | float | complex | str | bytes | np.generic | None
    ):
        return type(value), repr(value)
    if callable(value) or type(value).__repr__ is object.__repr__:
        return type(value), id(value)
    return type(value), repr(value)


def is_in(error, places):
    """Whether an error came through certain files."""
    frames = traceback.walk_tb(error.__traceback__)
    names = [frame.f_code.co_filename for frame, _ in frames]
    return any(place in name for name in names for place in places)


def on_purpose(error):
    """Whether an error was raised by a line of ours or scikit-learn's that says so."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if is_in(error, (*READING, DRAWS)):
        return True
    frame, line = frames[-1]
    name = frame.f_code.co_filename
    words = linecache.getline(name, line).strip()
    return name.startswith((OURS, THEIRS)) and words.startswith("raise")


def error_flaws(error):
    """Return what is wrong with an error."""
    text = str(error)
    if isinstance(error, NotFittedError) or (OLD and is_in(error, READING)):
        return []
    if isinstance(error, AttributeError):
        # Methods that some parameters take away, as scikit-learn does it.
        kind = type(error).__name__
        return [] if text.startswith("This '") else [f"{kind}: {text}"]
    wrong = isinstance(error, UnicodeError | np.linalg.LinAlgError)
    if wrong or not isinstance(error, ValueError | TypeError):
        return [f"{type(error).__name__}: {text}"]
    flaws = []
    if len(text) < SHORTEST:
        flaws.append(f"says too little: {text!r}")
    if not on_purpose(error):
        flaws.append(f"not raised on purpose: {type(error).__name__}: {text}")
    elif any(words in text for words in INTERNAL) and not is_in(error, SCORING):
        flaws.append(f"speaks of insides: {text}")
    return flaws


def warning_flaws(caught):
    """Return warnings that are for developers, not users."""
    return sorted(
        {
            f"{w.category.__name__}: {w.message} [{Path(w.filename).name}:{w.lineno}]"
            for w in caught
            if not issubclass(w.category, UserWarning | FutureWarning)
            and not any(place in w.filename for place in READING + SCORING)
        }
    )


def number_flaws(value, *, infinite=False, depth=0):
    """Return where an output is not a number, or not finite."""
    if sp.issparse(value):
        value = value.tocoo().data
    if isinstance(value, pd.DataFrame):
        value = value.select_dtypes("number").to_numpy()
    if isinstance(value, np.ndarray | float | np.floating):
        value = np.asarray(value)
        if value.dtype.kind not in "fc":
            return []
        if np.isnan(value).any():
            return ["NaN in the output"]
        if not infinite and np.isinf(value).any():
            return ["infinity in the output"]
        return []
    if isinstance(value, tuple | list) and depth < 4:
        found = [number_flaws(v, infinite=infinite, depth=depth + 1) for v in value]
        return next((flaws for flaws in found if flaws), [])
    return []


def shape_flaws(method, output, n_rows, n_classes):
    """Return what is wrong with the shape of what rows are predicted to be."""
    if method in ("predict_interval",):
        low, high = output
        flaws = [] if np.all(low <= high) else ["low ends above high ends"]
        return flaws + shape_flaws("predict", low, n_rows, n_classes)
    if method == "score":
        return [] if np.ndim(output) == 0 else ["a score that is no number"]
    asked = (
        "predict", "predict_proba", "predict_log_proba", "decision_function",
        "transform", "fit_transform", "fit_predict", "reconstruct", "class_targets",
    )  # fmt: skip
    if method not in asked:
        return []
    shape = np.shape(output) if not sp.issparse(output) else output.shape
    flaws = []
    if n_rows is not None and shape[0] != n_rows:
        flaws.append(f"{method} of {n_rows} rows has the shape {shape}")
    if method in ("predict_proba", "predict_log_proba"):
        if n_classes is not None and shape[1:] != (n_classes,):
            flaws.append(f"{method} for {n_classes} classes has the shape {shape}")
        shares = output if method == "predict_proba" else np.exp(output)
        if np.size(shares) and np.abs(shares.sum(axis=1) - 1).max() > 1e-3:
            flaws.append(f"{method} does not add up to 1")
    return flaws


#: Fitted attributes that may be infinite or unknown, each for a documented reason.
MAY_BE_INFINITE = ("tie", "strength", "score", "error", "loss", "evidence", "C_", "Cs_")
MAY_BE_UNKNOWN = ("scores_", "standard_errors_", "domain_scores_", "sigma2_")


def state_flaws(estimator):
    """Return what is wrong with what an estimator has learned."""
    flaws = []
    for name, value in vars(estimator).items():
        if not name.endswith("_") or name.startswith("_"):
            continue
        lenient = any(words in name for words in MAY_BE_INFINITE)
        for flaw in number_flaws(value, infinite=lenient):
            if not ("NaN" in flaw and name.startswith(MAY_BE_UNKNOWN)):
                flaws.append(f"{flaw}: {name}")
    return flaws


@dataclasses.dataclass
class Verdict:
    """What came of a call: "worked", the name of an error, or "not made"; and flaws."""

    outcome: str
    flaws: list[str] = dataclasses.field(default_factory=list)
    text: str = ""
    output: object = None


def judged(call, seconds):
    """Return the verdict on a call that takes nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(seconds):
                verdict = Verdict("worked", output=call())
        except TooLongError:
            verdict = Verdict("too long", [f"took more than {seconds} s"])
        except Exception as error:
            verdict = Verdict(type(error).__name__, error_flaws(error), str(error))
            where = traceback.extract_tb(error.__traceback__)[-1]
            verdict.text += f" [{Path(where.filename).name}:{where.lineno}]"
    verdict.flaws += warning_flaws(caught)
    return verdict
