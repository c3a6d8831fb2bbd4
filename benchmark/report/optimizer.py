"""An optimizer's own page: what it is, what it costs, how it did and how it was tuned."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.analysis import laws, tuning
from benchmark.report import text
from benchmark.report.frames import groups, rows, where
from benchmark.study import Study

if TYPE_CHECKING:
    from benchmark.report.site import Site

Parity = Mapping[str, list[tuple[str, str]]]
LAW_POINTS = 3  # tasks: through fewer points runs every law
TOLERANCE = 0.01  # nats: a loss this close to the best still counts as well tuned


@dataclass(frozen=True)
class Tables:
    """What all optimizers' pages share, computed once."""

    tolerance: pd.DataFrame
    laws: list[dict[str, Any]]
    loss_laws: list[dict[str, Any]]


def write(site: "Site", study: Study, folder: str, parity: Parity) -> None:
    """Write optimizers/index.html and optimizers/<name>.html."""
    shared = {"here": "Optimizers", "filename": "optimizers/index.html"}
    entries = [(o, study.titles[o], facts) for o, facts in study.optimizers.items()]
    heading = {"heading": "Optimizers", "entries": entries}
    site.write(f"{folder}/optimizers/index.html", "optimizers.html", study, **heading, **shared)
    tables = _tables(study)
    for name in study.optimizers:
        path = f"{folder}/optimizers/{site.env.filters['slug'](name)}.html"
        same_rule = "@" in study.optimizers[name]["rule"]  # a user's file may share a built-in's name
        twins = parity.get(name, []) if same_rule and not study.theirs else []
        site.write(path, "optimizer.html", study, **shared, parity=twins, **_context(study, name, tables))


def _tables(study: Study) -> Tables:
    best = _sized(study, where(study.runs, role="report", status="finished"))
    fitted = laws.hyperparameter_laws(best) if len(best) else {}
    loss = laws.loss_laws(_sized(study, study.losses)) if len(best) else {}
    return Tables(
        tuning.lr_tolerance(study.runs, TOLERANCE),
        rows(laws.summary(fitted)),
        rows(laws.summary(loss)),
    )


def _sized(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with num_params, those left out of whose scale no size is known."""
    runs = runs.assign(num_params=[float(study.sizes.get(s, 0)) for s in runs["scale"]])
    return runs.loc[runs["num_params"] > 0]


def _context(study: Study, name: str, tables: Tables) -> dict[str, Any]:
    runs = where(study.runs, optimizer=name)
    own = [r for r in tables.laws if r["key"][0] == name]
    return {
        "heading": study.titles[name],
        "name": name,
        "facts": study.optimizers[name],
        "cost": _cost(study, runs),
        "results": [
            (
                r["task"],
                text.times(r["speedup"]),
                text.interval(r["lo"], r["hi"]),
                text.verdict(r["verdict"]),
                f"{text.fixed(r['val_loss'])} ± {text.fixed(r['val_loss_sd'])}",
                int(r["n"]),
                r["flags"] or text.MISSING,
            )
            for r in rows(where(study.speedups, optimizer=name))
        ],
        "settings": _settings(study, name),
        "space": [
            (hp, text.value(axis["grid"]), text.value(axis.get("start")), str(axis.get("scale", "")))
            for hp, axis in sorted(study.optimizers[name]["space"].items())
        ],
        "laws": [_law(r["key"][1], r) for r in own if r["points"] >= LAW_POINTS],
        "loss_law": [
            _law(study.loss_name, r) for r in tables.loss_laws if r["key"] == name and r["points"] >= LAW_POINTS
        ],
        "law_points": LAW_POINTS,
        "ablations": [
            (
                r["task"],
                r["hyperparameter"],
                text.value(r["best_value"]),
                int(r["n"]),
                text.fixed(r["median_rise"], 4),
                text.fixed(r["max_rise"], 4),
                int(r["diverged"]),
            )
            for r in rows(where(study.sensitivity, optimizer=name))
            if r["n"] + r["diverged"] > 0
        ],
        "stability": _stability(runs, where(tables.tolerance, optimizer=name)),
        "tolerance": TOLERANCE,
    }


def _law(name: str, law: dict[str, Any]) -> tuple[Any, ...]:
    ends = [f"{text.fixed(law[k], 2)} {text.interval(law[f'{k}_lo'], law[f'{k}_hi'])}" for k in ("B", "C")]
    return (
        name,
        law["points"],
        *ends,
        text.value(law["E"]),
        text.value(law["held_out"]),
        law["flags"] or text.MISSING,
    )


def _cost(study: Study, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Declared state and counted arithmetic; the median over finished runs."""
    done = where(runs, status="finished")
    declared = [study.by_id[str(i)].facts.get("state_floats_per_param", "") for i in done["trial_id"]]
    floats = sorted({round(float(d), 2) for d in declared if text.is_number(d)})
    counted = [r["optimizer_flops"] / r["model_flops"] for r in rows(done) if r["model_flops"] > 0]
    found = []
    if floats:
        spread = f"{floats[0]:g} to {floats[-1]:g}" if len(floats) > 1 else f"{floats[0]:g}"
        found.append(("Optimizer state, floats per parameter", spread))
    if len(counted):
        share = statistics.median(counted)
        found.append((f"FLOPs of the update, share of the model's (n = {len(counted)} runs)", f"{share:.1%}"))
    return found


def _settings(study: Study, name: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the best hyperparameters: one row per hyperparameter, one column per task and search."""
    found = {t.name: study.winners(name, t.name) for t in study.tasks}
    winners = {
        f"{task}, search {i}" if len(chosen) > 1 else task: winner
        for task, chosen in found.items()
        for i, winner in enumerate(chosen, 1)
    }
    names = sorted({hp for winner in winners.values() for hp in winner})
    body = [[hp, *(text.value(w.get(hp)) for w in winners.values())] for hp in names]
    return ["Hyperparameter", *winners], body


def _stability(runs: pd.DataFrame, tolerance: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Per task: runs, how many diverged or failed, and the width of the good learning rates."""
    widths = {
        r["task"]: f"{'≥ ' if r['at_least'] else ''}{r['octaves']:.1f} octaves ({r['rates']} rates)"
        for r in rows(tolerance)
    }
    found = []
    for task, group in groups(runs, "task").items():
        diverged, failed = len(where(group, status="diverged")), len(where(group, status="failed"))
        share = text.share(diverged / len(group))
        found.append((task, len(group), diverged, share, failed, widths.get(task, text.MISSING)))
    return found
