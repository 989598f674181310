"""Files that are whole or not there: written beside their place, then put into it."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

#: What names a file.
PathLike: TypeAlias = str | os.PathLike[str]


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """Yield a file to write that takes its place when all is written and on the disk.

    Until then the place holds what it held. An error, a full disk or Ctrl-C removes
    what was written; a killed process leaves it behind, as ``.name.*.tmp`` in the same
    folder, as a file moves at one stroke within one file system alone.

    Parameters
    ----------
    path : str or os.PathLike
        The place. Of a link, that which it points to.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():  # A device would be gone for good.
        raise OSError(f"{os.fspath(path)!r} is no file. Give the path of a file.")
    # Not by tempfile, whose files are for their owner alone: these are to be readable
    # by whom the user's umask says, or by whom the old file was.
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            if place.exists() and os.name == "posix":
                os.chmod(beside, stat.S_IMODE(place.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """Write down that a file has another name, where the system has a way to."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
