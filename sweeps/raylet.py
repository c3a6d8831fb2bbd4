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

POLL_SECONDS = 0.2


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """While inside, end this process with one line and status 1 if a raylet that it started dies, which may
    happen as soon as there is one: enter before Ray starts, leave before it is shut down."""
    over = threading.Event()

    def watch() -> None:
        seen: set[int] = set()
        while not over.wait(POLL_SECONDS):
            children = _children()
            living = {pid for pid, (name, state) in children.items() if name == "raylet" and state != "Z"}
            dead = {pid for pid, (name, state) in children.items() if name == "raylet" and state == "Z"}
            if dead or seen - living:
                line = "sweeps: Ray's raylet died; what is finished is kept, run the same command again"
                print(f"\n{line}", file=sys.stderr, flush=True)
                for pid in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os._exit(1)
            seen |= living

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _children() -> dict[int, tuple[str, str]]:
    """Process id -> program and state ("Z": dead, and nobody has waited for it) of this process's children."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, listing.read_text().split()):
                with contextlib.suppress(OSError):
                    program, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
                    found[pid] = (program, rest[0])
    return found
