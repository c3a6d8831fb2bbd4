"""How many report seeds a cell gets: as many as its verdict needs, up to the last look.

Every cell reports on the first look's seeds. When all have, those whose verdict is still open, and the baseline
on their tasks, get the seeds up to the next look; and so on. The analysis, not this file, says what is open
and pays for looking several times (`benchmark.analysis`). A cell that has stopped stays stopped.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from sweeps.search.cells import Cell, Known, Solved, outcome
from sweeps.search.sweep import Sweep

Looked = dict[tuple[Any, ...], frozenset[tuple[str, str]]]
COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]


def due(
    sweep: Sweep, solved: Mapping[str, Solved | Cell], known: Known, looked: Looked | None = None
) -> dict[str, int]:
    """Cell key -> report runs that are due by what is known: a pure function of the records.

    looked: remembers what was found open at which losses; saves time and changes nothing.
    """
    looked = {} if looked is None else looked
    cells = {key: state if isinstance(state, Cell) else state.cell for key, state in solved.items()}
    counts = {key: cell.reports(sweep.protocol.looks[0]) for key, cell in cells.items()}
    going_on = {(cell.contestant.name, cell.stage.task.name) for cell in cells.values()}
    for _, following in pairwise(sweep.protocol.looks):
        seen = _seen(solved, counts, known)
        if seen is None:
            break
        if seen not in looked:
            looked[seen] = frozenset(still_open(sweep, losses(solved, counts, known)))
        going_on &= looked[seen]
        tasks = {task for _, task in going_on}
        wanted = going_on | {(sweep.baseline, task) for task in tasks}
        for key, cell in cells.items():
            if (cell.contestant.name, cell.stage.task.name) in wanted:
                counts[key] = cell.reports(following)
    return counts


def losses(solved: Mapping[str, Solved | Cell], counts: Mapping[str, int], known: Known) -> pd.DataFrame:
    """The losses frame of a plan's report runs: optimizer, scale, chinchilla_ratio, search, seed and val_loss,
    infinite where a run diverged and NaN where it failed. counts: of each cell's report runs, how many."""
    rows = []
    for key, state in solved.items():
        if isinstance(state, Cell):
            continue
        for trial, trial_id in state.reports[: counts[key]]:
            status, loss = outcome(known, trial_id)
            if status is not None:
                where = (trial.optimizer, trial.scale, trial.chinchilla_ratio, state.cell.search, trial.seed)
                rows.append((*where, float("nan") if status == "failed" else loss))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def still_open(sweep: Sweep, frame: pd.DataFrame) -> Collection[tuple[str, str]]:
    """(optimizer, task) of the cells that the analysis cannot judge yet."""
    from benchmark.analysis.speedup import undecided  # only a plan that looks again needs the analysis

    tasks = {(s.task.scale.name, s.task.chinchilla_ratio): s.task.name for s in sweep.stages}
    found = undecided(frame, sweep.baseline, sweep.protocol.looks)
    return {(optimizer, tasks[scale, ratio]) for optimizer, scale, ratio in found}


def _seen(
    solved: Mapping[str, Solved | Cell], counts: Mapping[str, int], known: Known
) -> tuple[Any, ...] | None:
    """Every report run that is due, with its loss; None while one is missing."""
    seen = []
    for key, state in solved.items():
        if isinstance(state, Cell) or not state.complete:
            return None
        for _, trial_id in state.reports[: counts[key]]:
            status, loss = outcome(known, trial_id)
            if status is None:
                return None
            seen.append((trial_id, status, loss))
    return tuple(seen)
