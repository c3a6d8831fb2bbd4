"""The tuning pages: what the search found, how sensitive it was, and what it was worth; one page per task."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.analysis import choosing, tuning
from benchmark.report import charts, text
from benchmark.report import tuning_charts as drawn
from benchmark.report.frames import groups, rows, where
from benchmark.study import Study, TaskFacts


@dataclass(frozen=True)
class Tables:
    """What all tasks' pages share, computed once."""

    searches: pd.DataFrame
    swaps: pd.DataFrame
    transfer: pd.DataFrame
    claims: pd.DataFrame
    sensitive: pd.DataFrame
    repeats: pd.DataFrame


def pages(study: Study) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file name, context): the headline's task is tuning.html, the others tuning-TASK.html."""
    tables = _tables(study)
    # a baseline's own ratio has nothing to compare: its learning rates are on its optimizer page
    tuned = [t for t in study.tasks if len(set(where(study.runs, task=t.name, role="tuning")["optimizer"])) > 1]
    first = study.headline if study.headline in tuned else (tuned or [None])[-1]
    names = {t.name: "tuning.html" if t == first else f"tuning-{t.name}.html" for t in tuned}
    for task in tuned or [None]:
        yield names[task.name] if task else "tuning.html", _page(study, task, tables) | {"tasks": names}


def _tables(study: Study) -> Tables:
    return Tables(
        tuning.best_so_far(study.runs),
        tuning.budget_swaps(study.expected),
        tuning.transfer_cost(study.runs, ["peak_lr"], noise_sd=study.noise_sd),
        _claims(study),
        tuning.scaling_sensitive(study.runs, study.band, study.manifest["cells"]),
        _repeated(study),
    )


def _page(study: Study, task: TaskFacts | None, tables: Tables) -> dict[str, Any]:
    name = task.name if task else ""
    figures = task and [
        charts.lr_sensitivity(study, task),
        drawn.best_so_far(study, task, tables.searches),
        drawn.best_of_k(study, task, study.expected),
        drawn.transfer_matrix(study, task, tables.transfer),
        drawn.under_tuned(study, task, tables.claims),
    ]
    return {
        "heading": f"Tuning at {name}" if task else "Tuning",
        "task": name,
        "figures": figures or [],
        "sensitivity": _sensitivity(study, where(study.sensitivity, task=name)),
        "edges": _edges(study, where(study.edges, task=name)),
        "sensitive": _sensitive(study, tables.sensitive),
        "bands": _bands(study),
        "repeats": _repeats(study, where(tables.repeats, task=name)),
        "untuned_is_best": any(r["rise"] == 0 for r in rows(where(tables.claims, task=name, reference=True))),
        "claims": _claimed(study, where(tables.claims, task=name, reference=True)),
        "swaps": _swaps(study, where(tables.swaps, task=name)),
    }


def _repeated(study: Study) -> pd.DataFrame:
    cells = study.manifest["cells"]
    return choosing.choosing(study.runs, cells) if any("#" in key for key in cells) else pd.DataFrame()


def _claims(study: Study) -> pd.DataFrame:
    if study.headline is None or not len(where(study.runs, role="tuning", optimizer=study.baseline)):
        return pd.DataFrame()
    return tuning.claimed(study.runs, study.losses, study.baseline, study.noise_sd)


def _sensitivity(study: Study, found: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The largest rises first: what it costs to leave the best value of one hyperparameter."""
    return [
        (
            study.titles[r["optimizer"]],
            r["hyperparameter"],
            text.value(r["best_value"]),
            int(r["n"]),
            *(text.fixed(r[f"{which}_rise"], 4) for which in ("min", "median", "max")),
            int(r["diverged"]),
        )
        for r in rows(found.sort_values("median_rise", ascending=False))
        if r["n"] + r["diverged"] > 0
    ]


def _edges(study: Study, found: pd.DataFrame) -> list[tuple[str, ...]]:
    """Optima that no trial brackets: what the badges say, with the values."""
    return [
        (
            study.titles[r["optimizer"]],
            r["hyperparameter"],
            text.value(r["best_value"]),
            f"{text.value(r['low'])} to {text.value(r['high'])}",
            r["side"] + (f" (search {r['search']} of {r['searches']})" if r["searches"] > 1 else ""),
        )
        for r in rows(found)
    ]


def _sensitive(study: Study, found: pd.DataFrame) -> list[tuple[Any, ...]]:
    """One row per optimizer: what one value serves on every task, and what it does not."""
    table = []
    for optimizer, mine in groups(found, "optimizer").items():
        again = [r["hyperparameter"] for r in rows(where(mine, sensitive=True))]
        kept = [
            f"{r['hyperparameter']} ({text.value(r['agreed'])})" for r in rows(where(mine, sensitive=False))
        ]
        counts = sorted({int(n) for n in mine["tasks"]})
        shown = (", ".join(names) or text.MISSING for names in (again, kept))
        table.append((study.titles[optimizer], text.value(counts), *shown))
    return table


def _bands(study: Study) -> str:
    """What counts as equal to the best: the bands that the searches measured, and the one used elsewhere."""
    cells = choosing.first_searches(study.manifest["cells"])
    measured = [b for c in cells if text.is_number(b := c.get("noise", {}).get("band"))]
    used = [text.fixed(b, 4) for b in ((min(measured), max(measured)) if measured else (study.band,))]
    ends = " to ".join(dict.fromkeys(used))
    if not measured:
        return f"within {ends} nats/token"
    rest = f", {text.fixed(study.band, 4)} elsewhere" if len(measured) < len(cells) else ""
    return f"within the {ends} nats/token that each search measured{rest}"


def _repeats(study: Study, found: pd.DataFrame) -> list[tuple[Any, ...]]:
    """What another draw of tuning seeds would have chosen, and what that is worth."""
    return [
        (
            study.titles[r["optimizer"]],
            int(r["n"]),
            int(r["settings"]),
            int(r["seeds"]),
            *(text.fixed(r[name], 4) for name in ("lowest", "highest", "spread", "noise", "adds")),
            text.fixed(r["p"], 2),
        )
        for r in rows(found)
    ]


def _claimed(study: Study, found: pd.DataFrame) -> list[tuple[str, ...]]:
    return [
        (
            study.titles[r["optimizer"]],
            text.value(r["peak_lr"]),
            text.fixed(r["rise"], 3),
            text.times(r["tuned"]),
            text.times(r["claimed"]),
        )
        for r in rows(found)
        if r["optimizer"] != study.baseline
    ]


def _swaps(study: Study, found: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [
        (
            f"{study.titles[r['leader_before']]}, then {study.titles[r['leader_after']]}",
            r["k"],
            text.fixed(r["gap_before"], 4),
            text.fixed(r["gap_after"], 4),
            "yes" if r["clear"] else "no",
        )
        for r in rows(found)
    ]
