"""Before a sweep on this machine stops, its workers are told, and those with a long trial may keep its state.

Tune lets its workers be killed after five seconds, whatever they do. Workers of a cluster, which others
started, are told by ray_barrier.py.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from benchmark import running, stopping
from benchmark.train.upkeep import SAVING_SECONDS

NAME = b"ray::ResourceTrainable"  # how the command of one of Tune's workers begins


def workers(sweep: Path) -> None:
    """Tell the workers among this process's descendants to end, and wait for those with a long trial.

    sweep: the sweep's folder, where it stands which trials are long."""
    found = [pid for pid in stopping.descendants(os.getpid()) if _command(pid).startswith(NAME)]
    long = {each[-1].pid for each in running.read(sweep)} & set(found)
    for pid in found:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    if not long:
        return
    stopping.allow(SAVING_SECONDS + stopping.ORDER_SECONDS)
    trials = "a long trial keeps its state" if len(long) == 1 else f"{len(long)} long trials keep their state"
    print(f"\n{trials}, for at most {SAVING_SECONDS:g} seconds; once more ends at once.", file=sys.stderr)
    deadline = time.monotonic() + SAVING_SECONDS
    while any(map(stopping.alive, long)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
