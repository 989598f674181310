"""The state of a training on the disk, for one that was killed to go on."""

from __future__ import annotations

import json
import time
import warnings
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from sktie._files import replacing
from sktie._fingerprint import fingerprint
from sktie._version import __version__

#: Seconds between two checkpoints, and the most of the time that may go into them.
INTERVAL, SHARE = 10.0, 0.02
#: Seconds after which a file that is half written never will be whole.
STALE = 3600.0
#: What the bits of a training may depend on besides the data and the parameters.
VERSIONS = {
    "sktie": __version__,
    "numpy": np.__version__,
    "scikit-learn": sklearn.__version__,
}
#: What is raised where bytes of a file are missing, or others.
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
#: Parameters that do not change what training finds; the generator is known by itself.
IRRELEVANT = {"checkpoint", "n_jobs", "random_state", "verbose", "warm_start"}


@dataclass
class Checkpoint:
    """A file with all that moves in a training.

    What moves are arrays and lists of numbers, random generators, and objects that
    consist of such, as an optimiser does with its moments. Attributes that are
    functions or other objects are not what moves.

    Attributes
    ----------
    file : Path
        Named by the data and the parameters of the training: two that are the same
        share it, and no others do.
    also : dict
        What moves besides what the training itself knows, by name.
    """

    file: Path
    also: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._due = time.monotonic() + INTERVAL

    def restore(self, **moving: Any) -> None:
        """Set all that moves to how it was, if there is a file that says how."""
        moving |= self.also
        try:
            states = self._read()
            if states is None or moving.keys() != states.keys():
                return
        except DAMAGED as error:
            self._ignored(f"it is damaged ({type(error).__name__}: {error})")
            return
        for name, thing in moving.items():
            _set_state(thing, states[name])

    def keep(self, **moving: Any) -> None:
        """Write down all that moves, unless it was a short while ago."""
        begin = time.monotonic()
        if begin < self._due:
            return
        arrays: list[Any] = []
        moving |= self.also
        states = {name: _state(thing) for name, thing in moving.items()}
        tree = {"versions": VERSIONS, "states": _packed(states, arrays)}
        text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
        try:
            with replacing(self.file) as file:
                numbered = {str(k): array for k, array in enumerate(arrays)}
                np.savez(file, tree=text, **numbered)
        except OSError as error:
            # A full disk is no reason to lose the training.
            warnings.warn(
                f"No checkpoint could be written to {str(self.file)!r}: {error}. The "
                "training goes on without; make room, or set another checkpoint=.",
                stacklevel=2,
            )
        end = time.monotonic()
        self._due = end + max(INTERVAL, (end - begin) / SHARE)

    def remove(self) -> None:
        """Remove the file, and what processes that were killed left beside it.

        A training that has ended is no worse for a file that cannot be removed.
        """
        with suppress(OSError):
            self.file.unlink()
        for left in self.file.parent.glob(f".{self.file.name}.*.tmp"):
            with suppress(OSError):
                # Another process may be writing a young one.
                if time.time() - left.stat().st_mtime > STALE:
                    left.unlink()

    def _read(self) -> dict[str, Any] | None:
        try:
            # Opened here, as NumPy leaves a damaged file open.
            with (
                open(self.file, "rb") as file,
                np.load(file, allow_pickle=False) as parts,
            ):
                tree = json.loads(parts["tree"].tobytes())
                if tree["versions"] == VERSIONS:
                    states: dict[str, Any] = _unpacked(tree["states"], parts)
                    return states
        except FileNotFoundError:
            return None
        theirs, ours = (
            ", ".join(f"{name} {version}" for name, version in versions.items())
            for versions in (tree["versions"], VERSIONS)
        )
        self._ignored(f"it is of {theirs}, and this is {ours}")
        return None

    def _ignored(self, reason: str) -> None:
        warnings.warn(
            f"The checkpoint {str(self.file)!r} is ignored, as {reason}. The training "
            "begins anew.",
            stacklevel=2,
        )


def checkpoint_for(
    estimator: Any, rng: np.random.RandomState, *things: Any, **also: Any
) -> Checkpoint | None:
    """Return where an estimator's training is kept, if its ``checkpoint`` says so.

    Parameters
    ----------
    estimator : estimator
        Has the parameters ``checkpoint`` and ``random_state``.
    rng : RandomState
        As it is where the training begins.
    *things
        What the training depends on besides: the start, the rows, anchors.
    **also
        What moves in it besides what the solver knows.
    """
    if estimator.checkpoint is None:
        return None
    name = type(estimator).__name__
    parameters = estimator.get_params(deep=False)
    known = {key: parameters[key] for key in parameters.keys() - IRRELEVANT}
    word = fingerprint(known, _state(rng), *things)
    folder = Path(estimator.checkpoint).expanduser()
    return Checkpoint(folder / f"{name}-{word}.npz", also)


def check_checkpoint(estimator: Any, solver: str) -> None:
    """Check that a training can go on from a checkpoint, where one is wanted.

    Raises
    ------
    ValueError
        If it would begin anew, or be another training.
    """
    where = f"checkpoint={estimator.checkpoint!r}"
    if estimator.checkpoint is None:
        return
    if solver == "lbfgs":
        raise ValueError(
            f"{where}, but these rows are fitted by L-BFGS (solver="
            f"{estimator.solver!r}), which cannot go on from where it was stopped. Set "
            "solver='adam', or checkpoint=None."
        )
    if estimator.random_state is None:
        raise ValueError(
            f"{where} with random_state=None: every fit draws other numbers and cannot "
            "go on from one before. Set random_state to a number, or checkpoint=None."
        )


def _state(thing: Any) -> Any:
    """Return what a thing consists of: numbers, words, arrays, lists and dicts."""
    if isinstance(thing, np.random.RandomState):
        return thing.get_state(legacy=False)
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    if isinstance(thing, np.ndarray | list):
        return thing
    return {name: value for name, value in vars(thing).items() if _is_plain(value)}


def _set_state(thing: Any, state: Any) -> None:
    if isinstance(thing, np.random.RandomState):
        thing.set_state(state)
    elif isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    elif isinstance(thing, np.ndarray | list):
        thing[:] = state
    else:
        vars(thing).update(state)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    plain = bool | int | float | str | np.generic | np.ndarray | None
    return isinstance(value, plain)


def _packed(value: Any, arrays: list[Any]) -> Any:
    """Return what JSON can write: in place of arrays their numbers in a list."""
    if isinstance(value, np.generic | np.ndarray):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "number": isinstance(value, np.generic)}
    if isinstance(value, dict):
        return {"dict": {name: _packed(part, arrays) for name, part in value.items()}}
    if isinstance(value, list):
        return [_packed(part, arrays) for part in value]
    return value


def _unpacked(value: Any, arrays: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[str(value["array"])]
        return array[()] if value["number"] else array
    return {name: _unpacked(part, arrays) for name, part in value["dict"].items()}
