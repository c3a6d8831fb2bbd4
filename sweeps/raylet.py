"""Notice that Ray's own process on this machine has died: Tune would wait for it for ever.

Every finished trial is on disk, so ending at once loses nothing and the same command goes on.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 1.0


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """While inside, end this process with one line and status 1 if the raylet that it started dies."""
    raylet = next((pid for pid, command in _children().items() if "raylet/raylet" in command), None)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if raylet not in _children():
                line = "sweeps: Ray's raylet died; what is finished is kept, run the same command again"
                print(f"\n{line}", file=sys.stderr, flush=True)
                for pid in _children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os._exit(1)

    if raylet is not None:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _children() -> dict[int, str]:
    """Process id -> command line of this process's living children."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, listing.read_text().split()):
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                    if command:  # a dead child that nobody has waited for has none
                        found[pid] = command
    return found
