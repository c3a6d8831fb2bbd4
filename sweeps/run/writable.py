"""The folders that a sweep writes to: whether it can, before anything runs; and which one is full."""

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmark.published import folders

FULL = (errno.ENOSPC, errno.EDQUOT)


def check(folder: Path, option: str) -> None:
    """Make a folder and write to it. Raises ValueError that names the option which sets another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        if error.errno in FULL:
            raise ValueError(full(error, {option: folder})) from None
        raise ValueError(refused(folder, error, option)) from None


def check_own(results: Path, sweep: str) -> None:
    """Raises ValueError where the sweep's folder has the results of others, which its own would mix with."""
    if folders.is_import(results / sweep):
        raise ValueError(
            f"{results / sweep}, where the sweep would write its results, holds an import of python -m"
            " benchmark.published; choose another folder with --results"
        )


def check_later(folder: Path, option: str) -> None:
    """The same of a folder that is written at the end, without making it: by the first above it."""
    there = folder.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"cannot write to {folder} ({there} is no folder); choose another with {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"cannot write to {folder} (no permission to write to {there}); choose another folder with {option}"
        )


def refused(folder: Path, error: OSError, option: str) -> str:
    return f"cannot write to {folder} ({error.strerror or error}); choose another folder with {option}"


def full(error: OSError, given: Mapping[str, Path]) -> str:
    """Which disk is full, in one line: that of the file in the error, else that of the folder with least room.

    given: what sets a folder (an option or environment variable) -> the folder."""
    room = {name: _free(folder) for name, folder in given.items()}
    name = min(room, key=lambda each: room[each])
    if isinstance(error.filename, str):
        path = Path(error.filename).absolute()
        name = next((n for n, folder in given.items() if path.is_relative_to(folder.absolute())), name)
    why = "over its quota" if error.errno == errno.EDQUOT else f"full ({room[name] / 1e6:.1f} MB free)"
    return (
        f"the disk of {given[name]} is {why}; free space there, or choose another folder with {name}; what is"
        " finished is kept"
    )


def _free(folder: Path) -> float:
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return float("inf")
