"""Tuning that is committed: trials which nobody has to run again, counted as if they had been.

A search asks the same of an optimizer of the registry on every machine, so where a stage says so its tuning
trials are committed as records. Whatever is not among them, an optimizer of one's own above all, is run like
any trial; report runs always are.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmark import store
from benchmark.spec import Record
from sweeps.search.sweep import Sweep

ROOT = Path(__file__).parents[2] / "results" / "reference"  # not in a wheel: the tuning is then run


def records(sweep: Sweep, root: Path = ROOT) -> Iterator[Record]:
    """The committed tuning records of the stages that have some; none without such a stage or folder."""
    tasks = {stage.task.name for stage in sweep.stages if stage.committed}
    if tasks and root.is_dir():
        for _, record in store.records(root):
            if record.trial.role == "tuning" and record.trial.task in tasks:
                yield record
