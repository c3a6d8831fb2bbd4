"""The answer in three lines: who is best, by how much, and what cannot be told apart.

The page's first sentences and the last lines of a sweep are this text.
"""

import pandas as pd

from benchmark.report import text
from benchmark.report.study import Study, studies
from benchmark.store import Results


def answer(results: Results, sweep: str) -> tuple[str, str, str]:
    """The three lines for a sweep. Raises ValueError that lists the sweeps if there is none of this name."""
    found = {study.name: study for study in studies(results)}
    if sweep not in found:
        raise ValueError(f"no sweep {sweep!r} in the results; there are {', '.join(found) or 'none'}")
    return lines(found[sweep])


def lines(study: Study) -> tuple[str, str, str]:
    """The answer at the study's largest comparable task; no line claims what its interval does not."""
    task = study.headline
    if task is None:
        done = sum(bool(c.get("complete")) for c in study.manifest.get("cells", {}).values())
        return (
            f"No comparison yet: {done} of {len(study.manifest.get('cells', {}))} cells are complete.",
            f"One needs finished report runs of {study.titles.get(study.baseline, study.baseline)} and of another"
            " optimizer on the same task.",
            "",
        )
    rows = study.results_for(task.name)
    return _leader(study, rows, task.name), _speedup(study, rows), _inseparable(study, rows)


def _title(study: Study, optimizer: str) -> str:
    return study.titles.get(optimizer, optimizer)


def _leader(study: Study, rows: pd.DataFrame, task: str) -> str:
    first = rows.iloc[0]["optimizer"]
    ties = [o for o in rows["optimizer"][1:] if study.bands.get((o, task), (2, 2))[0] == 1]
    lead = f"{_title(study, first)} has the lowest test loss of {len(rows)} optimizers at {task}"
    if first == study.baseline:
        lead = f"Tuned {lead}"
    if not ties:
        return f"{lead}."
    return f"{lead}, not separable from {text.names([_title(study, o) for o in ties], 'or')}."


def _speedup(study: Study, rows: pd.DataFrame) -> str:
    base = _title(study, study.baseline)
    row = rows[rows["optimizer"] != study.baseline].iloc[0]
    nearest = (
        ""
        if rows.iloc[0]["optimizer"] != study.baseline
        else f"The nearest is {_title(study, row.optimizer)}. "
    )
    if not text.is_number(row.speedup):
        return f"{nearest}Its speedup over {base} is undefined: too few ratios of {base} are measured."
    seeds = f"n = {int(row.n)} seed{'s' if row.n != 1 else ''}"
    spread = (
        f"95\u00a0% interval {text.fixed(row.lo, 2)} to {text.fixed(row.hi, 2)}, {seeds}"
        if text.is_number(row.lo) and text.is_number(row.hi)
        else f"no interval, {seeds}"
    )
    if text.fixed(row.speedup, 2) == "∞":
        return f"{nearest}A tuned {base} does not reach its loss at any budget that its fitted curve allows ({spread})."
    return f"{nearest}A tuned {base} needs {text.fixed(row.speedup, 2)} times the tokens for the same loss ({spread})."


def _inseparable(study: Study, rows: pd.DataFrame) -> str:
    base = _title(study, study.baseline)
    others = rows[rows["optimizer"] != study.baseline]
    same = [_title(study, o) for o in others.loc[others["verdict"] == "inseparable", "optimizer"]]
    if same:
        return f"Inseparable from tuned {base}: {text.names(same)}."
    return f"Every other optimizer is separable from tuned {base}."
