"""Openings that are committed: trials of a search's first stage which nobody has to run again.

An opening asks the same of every optimizer on every machine, so its trials are committed as records for the
optimizers of the registry, and counted as theirs. Whatever is not among them, an optimizer of one's own above all,
is run like any trial. What is decided on later stages is never taken from here.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmark import store
from benchmark.spec import Record
from sweeps.sweep import Sweep

COMMITTED = Path(__file__).parents[1] / "results" / "reference"  # not in a wheel: an opening is then run


def committed(sweep: Sweep, root: Path = COMMITTED) -> Iterator[Record]:
    """The committed tuning records of the sweep's opening stages; none without such a stage or folder."""
    tasks = {stage.task.name for stage in sweep.stages if stage.phase == "opening"}
    if tasks and root.is_dir():
        for _, record in store.records(root):
            if record.trial.role == "tuning" and record.trial.task in tasks:
                yield record
