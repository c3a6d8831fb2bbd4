"""The answer in three lines: who is best, by how much, and what cannot be told apart.

The page's first sentences and the last lines of a sweep are this text.
"""

from typing import Any

from benchmark.report import text
from benchmark.report.frames import rows
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
            f"One needs finished report runs of {study.baseline_title} and of"
            " another"
            " optimizer on the same task.",
            "",
        )
    table = [r for r in rows(study.results_for(task.name)) if r["n"] > 0]
    return _leader(study, table, task.name), _speedup(study, table), _inseparable(study, table)


def _leader(study: Study, table: list[dict[str, Any]], task: str) -> str:
    first = table[0]["optimizer"]
    ties = [
        study.titles[r["optimizer"]]
        for r in table[1:]
        if study.bands.get((r["optimizer"], task), (2, 2))[0] == 1
    ]
    tuned = "Tuned " if first == study.baseline else ""
    lead = f"{tuned}{study.titles[first]} has the lowest {study.loss_name} of {len(table)} optimizers at {task}"
    return f"{lead}, not separable from {text.names(ties, 'or')}." if ties else f"{lead}."


def _speedup(study: Study, table: list[dict[str, Any]]) -> str:
    base = study.baseline_title
    row = next(r for r in table if r["optimizer"] != study.baseline)
    title, n = study.titles[row["optimizer"]], int(row["n"])
    nearest = f"The nearest is {title}: t" if table[0]["optimizer"] == study.baseline else "T"
    if not text.is_number(row["speedup"]):
        return (
            f"{nearest}he speedup of {title} over {base} is undefined: too few ratios of {base} are measured."
        )
    known = text.is_number(row["lo"]) and text.is_number(row["hi"])
    ends = (
        f"95\u00a0% interval {text.fixed(row['lo'], 2)} to {text.fixed(row['hi'], 2)}"
        if known
        else "no interval"
    )
    spread = f"({ends}, n = {n} seed{'s' if n != 1 else ''})"
    if row["speedup"] == float("inf"):
        return f"{nearest}uned {base} never reaches {title}'s loss on its fitted curve {spread}."
    more = text.fixed(row["speedup"], 2)
    return f"{nearest}uned {base} needs {more} times the tokens to reach {title}'s loss {spread}."


def _inseparable(study: Study, table: list[dict[str, Any]]) -> str:
    base = study.baseline_title
    others = [r for r in table if r["optimizer"] != study.baseline]
    same = [study.titles[r["optimizer"]] for r in others if r["verdict"] == "inseparable"]
    if same:
        return f"Inseparable from tuned {base}: {text.names(same)}."
    return f"Every other optimizer is separable from tuned {base}."
