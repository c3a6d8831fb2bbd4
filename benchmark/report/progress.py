"""A sweep's progress: which cells are done, what is settled and what is still open."""

from typing import Any

from benchmark.report import text
from benchmark.report.frames import rows, where
from benchmark.report.study import Study


def page(study: Study) -> dict[str, Any]:
    cells = study.manifest["cells"]
    done = sum(bool(cell.get("complete")) for cell in cells.values())
    return {
        "heading": "Progress",
        "done": done,
        "total": len(cells),
        "spent": sum(len(c.get("tuning", ())) for c in cells.values()),
        "budget": sum(int(c.get("budget") or 0) for c in cells.values()),
        "settled": _settled(study, True),
        "open": _settled(study, False),
        "grid_rows": [
            (study.titles[o], *(_state(study, o, task.name) for task in study.tasks)) for o in study.optimizers
        ],
    }  # fmt: skip


def _state(study: Study, optimizer: str, task: str) -> str:
    cell = study.cell(optimizer, task)
    if not cell:
        return text.MISSING
    known = set(study.by_id)
    tuned = f"{len(cell.get('tuning', ()))}/{cell.get('budget', 0)} tuned"
    reports = cell.get("reports", ())
    reported = f"{len(known.intersection(reports))}/{len(reports)} reported" if reports else "no report run yet"
    return f"done, {reported}" if cell.get("complete") else f"{tuned}, {reported}"


def _settled(study: Study, sure: bool) -> list[str]:
    """Comparisons with the baseline that the runs so far decide, or do not."""
    found = []
    for row in rows(study.speedups):
        if row["optimizer"] == study.baseline or (row["verdict"] in ("faster", "slower")) != sure:
            continue
        title, spread = study.titles[row["optimizer"]], text.interval(row["lo"], row["hi"])
        found.append(f"{title} at {row['task']}: {text.times(row['speedup'])} {spread}, n = {int(row['n'])}")
    return found


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
