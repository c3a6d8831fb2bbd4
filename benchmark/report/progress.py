"""A sweep's progress: which cells are done, what is settled and what is still open."""

from collections.abc import Iterable
from typing import Any

from benchmark.report import text
from benchmark.report.frames import groups, rows, where
from benchmark.study import Study


def page(study: Study) -> dict[str, Any]:
    cells = study.manifest["cells"]  # one entry per search
    spent = sum(_in(study, c.get("tuning", ())) for c in cells.values())
    return {
        "heading": "Progress",
        "done": sum(bool(cell.get("complete")) for cell in cells.values()),
        "total": len(cells),
        "spent": spent,
        "budget": max(spent, sum(int(c.get("budget") or 0) for c in cells.values())),
        "reported": len(where(study.runs, role="report")),
        "failed": len(where(study.runs, status="failed")),
        "diverged": len(where(study.runs, status="diverged")),
        "settled": _compared(study, True),
        "open": _compared(study, False),
        "best": _best(study),
        "grid_rows": [
            (study.titles[o], *(_state(study, o, task.name) for task in study.tasks)) for o in study.optimizers
        ],
    }


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


def _compared(study: Study, sure: bool) -> list[tuple[Any, ...]]:
    """Comparisons with the baseline that the runs so far decide, or do not: a table's rows."""
    return [
        (
            study.titles[r["optimizer"]],
            r["task"],
            text.times(r["speedup"]),
            text.interval(r["lo"], r["hi"]),
            text.verdict(r["verdict"]),
            int(r["n"]),
        )
        for r in rows(study.speedups)
        if r["optimizer"] != study.baseline and r["verdict"].endswith(("faster", "slower")) == sure
    ]


def _best(study: Study) -> list[tuple[Any, ...]]:
    """The lowest tuning loss of each cell that has no report run yet: all that there is to see at first."""
    found: list[tuple[str, float, str, int]] = []
    reported = {(r["optimizer"], r["task"]) for r in rows(study.losses)}
    done = where(study.runs, role="tuning", status="finished")
    for task, runs in groups(done, "task").items():
        for optimizer, mine in groups(runs, "optimizer").items():
            if (optimizer, task) not in reported:
                found.append((task, min(mine["val_loss"]), study.titles[optimizer], len(mine)))
    return [(title, task, text.fixed(low, 4), n) for task, low, title, n in sorted(found)]


def line(study: Study) -> str:
    """One line for the leaderboard while the sweep is incomplete; empty once it is done."""
    cells = study.manifest["cells"].values()
    done = sum(bool(cell.get("complete")) for cell in cells)
    failed = len(where(study.runs, status="failed"))
    return (
        f"{done} of {len(cells)} searches are complete{f', {failed} runs failed' if failed else ''}."
        if done < len(cells)
        else ""
    )
