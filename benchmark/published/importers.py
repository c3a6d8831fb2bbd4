"""Anyone's results as a results set: which importer reads what, and what the manifest says of an import.

Each importer is a file: csv_runs.py (tables, trackers' exports), modded_nanogpt.py, algoperf.py and
result_json.py.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.analysis import curve
from benchmark.published import fantastic, runs
from benchmark.published.folders import results_set as results_set
from benchmark.published.result_json import from_result_json as from_result_json
from benchmark.published.runs import Imported
from benchmark.spec import Record

UNKNOWN_TUNING, NO_SEEDS = "tuning budget unknown", "seeds not stated"  # said at every number of an import

UNKNOWN = (
    "how often each optimizer was tuned is not known: a lower loss may be a longer search",
    "what a run does not state is left blank; runs without a stated seed are numbered, and may not share one",
)


def result_files(folder: Path) -> Imported:
    """A folder of the published study's result.json files, as an import. Raises ValueError as
    `from_result_json` does."""
    found = from_result_json(folder)
    contents = [p.read_bytes() for p in sorted(folder.glob("*/*/*/result.json"))]
    of = runs.identity("result.json", contents, {})
    mine = [replace(r, trial=replace(r.trial, rule=f"{r.trial.optimizer}@imported:{of}")) for r in found]
    return Imported(folder.name, of, mine)


def baseline_of(found: Sequence[Record], asked: str) -> str:
    """The baseline among the optimizers, whatever its capitals. Raises ValueError where it is not there."""
    names = sorted({r.trial.optimizer for r in found})
    alike = [n for n in names if n.lower() == asked.lower()]
    if asked in names or len(alike) == 1:
        return asked if asked in names else alike[0]
    few = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    raise ValueError(
        f"no losses of the baseline {asked!r}; there are {few}: name one with --baseline {names[0]!r}"
    )


def manifest(name: str, imported: Imported, baseline: str = "adamw") -> dict[str, Any]:
    """An imported set as a sweep. Raises ValueError where nothing is of the baseline."""
    found = imported.records
    base = baseline_of(found, baseline)
    first = found[0].trial
    body = {
        "name": name,
        "title": name,
        "published": True,
        "source": f"imported: {imported.source}",
        "import": imported.identity,
        "notes": ["imported results: not run by this project", *UNKNOWN, *imported.notes],
        "not_stated": list(imported.lacks),
        "baseline": base,
        "corpus": first.corpus,
        "backend": first.backend,
        "precision": first.precision,
        "optimizers": {r.trial.optimizer: {**r.facts, "rule": r.trial.rule} for r in found},
        **fantastic.described(found),
    }
    curves = no_curves(found, base)
    caveats = [UNKNOWN_TUNING, *imported.caveats, *([NO_SEEDS] if "seed" in imported.lacks else [])]
    scale_of = {f"{r.trial.optimizer}/{r.trial.task}": r.trial.scale for r in found}
    for task in body["tasks"]:
        task["num_params"] = round(imported.sizes.get(task["scale"], task["num_params"]))
    for cell, entry in body["cells"].items():
        flaw = curves.get(scale_of[cell])
        entry["badges"] += caveats + ([flaw] if flaw else [])
    return body


def no_curves(found: Sequence[Record], baseline: str) -> dict[str, str]:
    """Scale -> why the baseline's losses there are no curve that falls with data; none where they are one."""
    means: dict[str, dict[float, list[float]]] = {}
    for r in found:
        if r.trial.optimizer == baseline and r.trial.use == "report" and r.val_loss is not None:
            means.setdefault(r.trial.scale, {}).setdefault(r.trial.chinchilla_ratio, []).append(r.val_loss)
    flaws = {}
    for scale, own in means.items():
        ratios = np.array(sorted(own))
        losses = np.array([statistics.fmean(own[ratio]) for ratio in ratios])
        up = np.flatnonzero(np.diff(losses) >= 0)
        if len(up):
            what = "no law" if curve.fit(ratios, losses[None]).falls[0] else "no curve"
            low, high = ratios[up[0]], ratios[up[0] + 1]
            flaws[scale] = f"{what}: {baseline}'s loss rises with data from {low:g}x to {high:g}x"
    return flaws
