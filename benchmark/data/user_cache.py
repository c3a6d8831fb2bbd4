"""The cache folder: what can be made again, such as prepared corpora and compiled programs."""

import functools
import getpass
import os
import stat
import sys
import tempfile
from pathlib import Path

import platformdirs

CHOICE = "OPTIMIZER_BENCHMARK_CACHE"
NAME = "optimizer-benchmark"


def folder() -> Path:
    """$OPTIMIZER_BENCHMARK_CACHE, or this application's place for the user.

    A user without a home, as in a container under another number, has a folder among the temporary ones, for as
    long as those last. Raises ValueError where that cannot be either.
    """
    chosen = os.environ.get(CHOICE)
    if chosen:
        return Path(chosen)
    try:
        usual = Path(platformdirs.user_cache_dir(NAME))
    except (RuntimeError, KeyError):  # no HOME, and no entry in /etc/passwd that would name one
        return _temporary("this user has no home folder")
    # one that is there but cannot be written to may hold what is asked for
    if not usual.is_absolute() or (not (usual / "corpora").is_dir() and not _writable(usual)):
        return _temporary(f"{usual} cannot be written to")
    return usual


def give_home() -> None:
    """Where this user has no home or no name, make them up, for this process and those that it starts.

    Libraries ask for them when they are imported. The home is the cache folder. Raises ValueError as folder().
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ[CHOICE] = os.environ["HOME"] = str(folder())
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())


def _writable(path: Path) -> bool:
    """Whether a folder can be written to, or made."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


@functools.cache
def _temporary(why: str) -> Path:
    """A folder of this user's among the temporary files; says so, once."""
    remedy = f"{why}; set {CHOICE} to a folder of yours"
    try:
        path = Path(tempfile.gettempdir()) / f"{NAME}-cache-{os.getuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.lstat()
    except OSError as error:
        raise ValueError(f"no cache folder: {remedy} ({error.strerror or error})") from None
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():  # another user was there first
        raise ValueError(f"no cache folder: {path} belongs to somebody else and {remedy}")
    print(f"Cache: {path}, because {why}; {CHOICE} sets another.", file=sys.stderr)
    return path
