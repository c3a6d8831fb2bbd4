"""A private folder with a short path for what Ray keeps while a sweep runs: sockets, logs, Tune's own files.

Ray's default is one that all users of a machine share, /tmp/ray, or $TMPDIR/ray, which a scheduler may have
made too long for a socket. Removed at the end; what a killed sweep left is removed by a later one.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark import stopping

PREFIX = "ob-"
LONGEST_SOCKET = 107  # bytes of a path, unix(7)
BELOW = len("/ob-12345678/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
LEAST_BYTES = 50e6  # logs, and room for what else writes there
NEW_SECONDS = 60.0  # a younger folder is not taken for one that was left


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder, this user's only. Raises ValueError with a remedy where there is no place for one."""
    place = where(places())
    _remove_left(place)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    handle = os.open(made / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(OSError):  # no locks there: nobody removes it but we
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    inner = made / "r"  # Ray opens the folder that it is given to everyone; nobody else comes as far
    inner.mkdir()
    try:
        with stopping.removing(made):
            yield inner
    finally:
        os.close(handle)


def places() -> list[Path]:
    """Where it may be made, best first: where the user says, then where a system has room for such."""
    said = [os.environ.get(name) for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP")]
    usual = ["/tmp", "/var/tmp", f"/run/user/{os.getuid()}", "/dev/shm"]
    found = [Path(place).absolute() for place in (*said, *usual) if place]
    with contextlib.suppress(OSError):  # the current folder may have been removed
        found.append(Path.cwd())
    return list(dict.fromkeys(found))


def where(candidates: list[Path]) -> Path:
    """The first that will do. Raises ValueError that says of each what is wrong."""
    wrong = {place: fault(place) for place in candidates}
    for place, why in wrong.items():
        if not why:
            return place
    said = "; ".join(f"{place} {why}" for place, why in wrong.items())
    raise ValueError(
        f"no folder for Ray's sockets ({said}); set RAY_TMPDIR to a writable folder of at most"
        f" {LONGEST_SOCKET - BELOW} characters with {LEAST_BYTES / 1e6:.0f} MB free, or use --executor serial"
    )


def fault(place: Path) -> str:
    """What makes a folder unfit, in words; "" for nothing."""
    try:
        if not place.is_dir():
            return "is no folder"
        if not os.access(place, os.W_OK | os.X_OK):
            return "is not writable"
        if len(os.fsencode(place)) + BELOW > LONGEST_SOCKET:
            return "has too long a path"
        return "is full" if shutil.disk_usage(place).free < LEAST_BYTES else ""
    except OSError as error:
        return f"cannot be used ({error.strerror})"


def _remove_left(place: Path) -> None:
    for left in place.glob(f"{PREFIX}*/lock"):
        with contextlib.suppress(OSError):
            about = left.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < NEW_SECONDS:
                continue
            handle = os.open(left, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as its sweep lives
                shutil.rmtree(left.parent, ignore_errors=True)
            finally:
                os.close(handle)
