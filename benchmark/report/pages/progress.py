"""A sweep's progress: which cells are done, what is settled and what is still open."""

from collections.abc import Iterable
from typing import Any

from benchmark.frames import groups, rows, where
from benchmark.report import text
from benchmark.report.table import (
    INTERVAL,
    SEEDS,
    SPEEDUP,
    TASK,
    VERDICT,
    Column,
    Table,
    fixed,
    numbers,
    titled,
)
from benchmark.study import Study

FILE = "progress.html"


def page(study: Study) -> dict[str, Any]:
    cells = study.manifest["cells"]
    spent = sum(_in(study, c.get("tuning", ())) for c in cells.values())
    return {
        "heading": "Progress",
        "done": sum(bool(cell.get("complete")) for cell in cells.values()),
        "total": len(cells),
        "shape": _shape(study),
        "spent": spent,
        "budget": max(spent, sum(int(c.get("budget") or 0) for c in cells.values())),
        "reported": len(where(study.runs, use="report")),
        "failed": len(where(study.runs, status="failed")),
        "diverged": len(where(study.runs, status="diverged")),
        "settled": compared(study, True),
        "open": compared(study, False),
        "best": best(study),
        "states": states(study),
    }


def _shape(study: Study) -> str:
    """How the number of cells comes about: `11 optimizers, 4 tasks, 4 to 12 searches`."""
    found = [n for o in study.optimizers for t in study.tasks if (n := len(study.searches(o, t.name)))]
    if not found:
        return ""
    most = text.count(max(found), "search", "searches")
    many = most if min(found) == max(found) else f"{min(found)} to {most}"
    return f"{text.count(len(study.optimizers), 'optimizer')}, {text.count(len(study.tasks), 'task')}, {many}"


def states(study: Study) -> Table:
    """How far each optimizer has come on each task."""
    columns = (
        titled(study.titles),
        *(
            Column(t.name, t.name, lambda o, name=t.name: _state(study, o, name), of=("optimizer",))
            for t in study.tasks
        ),
    )
    caption = "One optimizer on one task: tuning trials, then report runs, its searches together"
    return Table(caption, columns, [{"optimizer": name} for name in study.optimizers])


def _state(study: Study, optimizer: str, task: str) -> str:
    cell = study.cell(optimizer, task)
    if not cell:
        return text.MISSING
    tuned = f"{_in(study, cell.get('tuning', ()))}/{cell.get('budget') or 0} tuned"
    reports = cell.get("reports", ())
    reported = f"{_in(study, reports)}/{len(reports)} reported" if reports else "no report run yet"
    return f"✓ done, {reported}" if cell.get("complete") else f"{tuned}, {reported}"


def _in(study: Study, trial_ids: Iterable[str]) -> int:
    """How many of these trials have a record; a manifest also names those that are asked for next."""
    return sum(trial_id in study.by_id for trial_id in trial_ids)


def compared(study: Study, sure: bool) -> Table:
    """Comparisons with the baseline that the runs so far decide, or do not."""
    which = "that the runs decide" if sure else "whose interval holds 1, or that have none"
    found = [
        r
        for r in rows(study.speedups)
        if r["optimizer"] != study.baseline and r["verdict"].endswith(("faster", "slower")) == sure
    ]
    columns = (titled(study.titles), TASK, SPEEDUP, INTERVAL, VERDICT, SEEDS)
    return Table(f"Speedups over {study.tuned_baseline} {which}", columns, found)


def best(study: Study) -> Table:
    """The lowest tuning loss of each cell that has no report run yet: all that there is to see at first."""
    columns = (
        titled(study.titles),
        TASK,
        numbers("lowest", "Lowest so far", fixed(4)),
        numbers("n", "n trials"),
    )
    found: list[dict[str, Any]] = []
    reported = {(r["optimizer"], r["task"]) for r in rows(study.losses)}
    done = where(study.runs, use="tuning", status="finished")
    for task, runs in groups(done, "task").items():
        for name, mine in groups(runs, "optimizer").items():
            if (name, task) not in reported:
                low = min(mine["val_loss"])
                found.append({"optimizer": name, "task": task, "lowest": low, "n": len(mine)})
    ordered = sorted(found, key=lambda r: (r["task"], r["lowest"], study.titles[r["optimizer"]]))
    return Table("Cells without a report run (nats/token, lower is better)", columns, ordered)


def line(study: Study) -> str:
    """One line for the leaderboard while the sweep is incomplete; empty once it is done."""
    cells = study.manifest["cells"].values()
    done = sum(bool(cell.get("complete")) for cell in cells)
    failed = len(where(study.runs, status="failed"))
    return (
        f"{done} of {len(cells)} cells are complete{f', {failed} runs failed' if failed else ''}."
        if done < len(cells)
        else ""
    )
