"""How many report seeds a cell gets, and how many searches one's own optimizer: as many as a verdict needs.

Every cell reports on the first look's seeds. When all have, those whose verdict is still open, and the baseline
on their tasks, get the seeds up to the next look; and so on. The analysis, not this file, says what is open
and pays for looking several times (`benchmark.analysis`). A cell that has stopped stays stopped.

Where a sweep has `search_looks`, whole searches are added in the same way, each with its report seeds: to an
optimizer of the user's own, and beyond the usual number to the baseline. All others are fixed.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from sweeps.search.cells import Cell, Known, Solved, status_and_loss
from sweeps.search.sweep import Sweep

Looked = dict[tuple[Any, ...], frozenset[tuple[str, str]]]
COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]


@dataclass(frozen=True)
class Reach:
    """How far the searches of a sweep with `search_looks` have got; without them everything is within it.

    look: number of the look whose searches are under way, from 0.
    searches: (contestant, task) -> its searches that report there. A contestant is tuned with the most of them.
    open: the looks so far, each with the (contestant, task) that were open after it.
    """

    look: int = 0
    searches: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    open: tuple[frozenset[tuple[str, str]], ...] = ()

    def tunes(self, cell: Cell) -> bool:
        """Whether a cell is searched already."""
        own = [n for (name, _), n in self.searches.items() if name == cell.contestant.name]
        return not own or cell.search < max(own)

    def reports(self, cell: Cell) -> bool:
        """Whether a cell that is searched is also reported."""
        usual = max(cell.searches, cell.search + 1)
        return cell.search < self.searches.get((cell.contestant.name, cell.stage.task.name), usual)


def begun(sweep: Sweep, cells: Collection[Cell]) -> Reach:
    """What the first look rests on: one's own optimizer's first searches, and all others' usual number."""
    if not sweep.search_looks:
        return Reach()
    first = {True: sweep.search_looks[0], False: sweep.protocol.searches * sweep.protocol.baseline_times}
    looked = [c for c in cells if c.contestant.source or c.contestant.name == sweep.baseline]
    return Reach(
        searches={(c.contestant.name, c.stage.task.name): first[bool(c.contestant.source)] for c in looked}
    )


def widened(
    sweep: Sweep,
    reach: Reach,
    solved: Mapping[str, Solved | Cell],
    counts: Mapping[str, int],
    known: Known,
    looked: Looked,
) -> Reach | None:
    """What the look after this one rests on; None while a report is missing, and at the end: nothing of one's
    own is open, or there is no further look."""
    seen = _seen(solved, counts, known) if reach.look < len(sweep.search_looks) else None
    if seen is None:
        return None
    if seen not in looked:
        looked[seen] = frozenset(still_open(sweep, losses(solved, counts, known)))
    own = {c.name for c in sweep.contestants if c.source}
    before = reach.open[-1] if reach.open else looked[seen]  # what has stopped stays stopped
    still = frozenset(cell for cell in looked[seen] & before if cell[0] in own)
    after = dataclasses.replace(reach, look=reach.look + 1, open=(*reach.open, still))
    if after.look == len(sweep.search_looks) or not still:
        return dataclasses.replace(after, look=len(sweep.search_looks))
    wanted = still | {(sweep.baseline, task) for _, task in still}
    more = {cell: max(reach.searches[cell], sweep.search_looks[after.look]) for cell in wanted}
    return dataclasses.replace(after, searches={**reach.searches, **more})


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
            status, loss = status_and_loss(known, trial_id)
            if status is not None:
                where = (trial.optimizer, trial.scale, trial.chinchilla_ratio, state.cell.search, trial.seed)
                rows.append((*where, float("nan") if status == "failed" else loss))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def still_open(sweep: Sweep, frame: pd.DataFrame) -> Collection[tuple[str, str]]:
    """(optimizer, task) of the cells that the analysis cannot judge yet."""
    from benchmark.analysis.speedup import undecided  # only a plan that looks again needs the analysis

    tasks = {(s.task.scale.name, s.task.chinchilla_ratio): s.task.name for s in sweep.stages}
    found = undecided(frame, sweep.baseline, sweep.looks)
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
            status, loss = status_and_loss(known, trial_id)
            if status is None:
                return None
            seen.append((trial_id, status, loss))
    return tuple(seen)
