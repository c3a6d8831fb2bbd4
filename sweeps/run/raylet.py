"""Notice that Ray's own process on this machine has died: Tune would wait for it for ever.

Every finished trial is on disk, so ending at once loses nothing and the same command goes on.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmark import stopping

POLL_SECONDS = 0.2
STOP_SECONDS = 0.5


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """While inside, end this process with one line and status 1 if a raylet that it started dies, which may
    happen as soon as there is one: enter before Ray starts, leave before it is shut down."""
    over = threading.Event()

    def watch() -> None:
        seen: set[int] = set()
        while not over.wait(POLL_SECONDS):
            children = _children()
            seen |= {pid for pid in children if _program(pid) == "raylet"}
            if any(_dead(pid) for pid in seen):
                # whoever stops a job may signal all its processes, and ours may hear it last
                if over.wait(STOP_SECONDS) or stopping.requested():
                    return
                stopping.end(
                    1, "sweeps: Ray's raylet died; what is finished is kept, run the same command again"
                )

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()  # else it could take the shutdown that follows for a death


def _children() -> set[int]:
    """Process ids of this process's children. One may be missing while others end: see proc(5)."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, listing.read_text().split()))
    return found


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return _stat(pid)[0]
    return ""


def _dead(pid: int) -> bool:
    """Whether a child is gone or, in state "Z", dead with nobody having waited for it."""
    try:
        return _stat(pid)[1] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:  # such as too many open files: that says nothing of the child
        return False


def _stat(pid: int) -> tuple[str, str]:
    """Program and state of a process. Raises OSError."""
    program, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
    return program, rest[0]
