"""Every sweep of a results folder, each made ready as a Study: for the pages, and for a notebook."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import files, scales, store
from benchmark.frames import column, rows, together, where
from benchmark.losses import SAME
from benchmark.spec import Record
from benchmark.store import Results
from benchmark.study import Study

NEEDED = [  # of runs, where there are none
    "trial_id", "use", "status", "task", "sweep", "tokens", "optimizer", "scale", "chinchilla_ratio", "seed",
    "val_loss",
]  # fmt: skip
MOST = {"optimizers": 200, "tasks": 100}  # of one sweep: every pair is compared, every cell is a page
EXPERIMENT = [c for c in SAME if c != "eval_split"]  # what tells experiments apart, whatever the use


FORMER = {"role": "use"}  # columns that had another name


class Runs(pd.DataFrame):
    """A table of runs that answers to a former name of a column with the present one."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in FORMER and key not in self.columns:
            raise KeyError(f"the column {key} is called {FORMER[key]}")
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if name in FORMER:
            raise AttributeError(f"the column {name} is called {FORMER[name]}")
        return super().__getattr__(name)


@dataclass(frozen=True)
class Studies:
    """What `benchmark.load` returns: every sweep below a folder.

    Each table is a DataFrame of all of them; its columns `sweep`, `corpus` and `backend` say which a row is of.
    Losses are compared within a sweep, never across.

    path: the folder. results: what was read there. each: one Study per sweep, in the order of the site.
    """

    path: Path
    results: Results = field(repr=False)
    each: Sequence[Study]

    @property
    def names(self) -> list[str]:
        """The sweeps, the one that the site opens with first."""
        return [study.name for study in self.each]

    def only(self, *names: str) -> "Studies":
        """The same with the named sweeps alone. Raises ValueError that lists the names for an unknown one."""
        unknown = [name for name in names or [""] if name not in self.names]
        if unknown:
            raise ValueError(f"no sweep {unknown[0]!r} in {self.path}; there are {', '.join(self.names)}")
        kept = [s for s in self.each if s.name in names]
        by_id = {trial_id: record for s in kept for trial_id, record in s.by_id.items()}
        results = dataclasses.replace(self.results, by_id=by_id)
        return dataclasses.replace(self, results=results, each=kept)

    @property
    def records(self) -> pd.DataFrame:
        """The runs of each sweep, tuning and report (`store.Results.runs`); a run that two sweeps share is in
        both."""
        return Runs(self._all(lambda study: study.runs))

    def speedups(self) -> pd.DataFrame:
        """How many times fewer tokens than the baseline, with interval and verdict (`analysis.speedup`)."""
        return self._all(lambda study: study.speedups)

    def losses(self) -> pd.DataFrame:
        """The report runs that speedups rest on: one row per optimizer, task, search and seed."""
        return self._all(lambda study: study.losses)

    def flips(self) -> pd.DataFrame:
        """Pairs of optimizers whose order depends on where one looks (`analysis.flips.flips`)."""
        return self._all(lambda study: study.flips)

    def bands(self) -> pd.DataFrame:
        """The ranks that each optimizer may have on a task (`analysis.rank_bands.rank_bands`)."""
        return self._all(lambda study: study.rank_bands)

    def costs(self) -> pd.DataFrame:
        """Speedups in seconds and FLOPs, and memory (`analysis.cost.costs`)."""
        return self._all(lambda study: study.costs)

    def _all(self, table: Callable[[Study], pd.DataFrame]) -> pd.DataFrame:
        found = []
        for study in self.each:
            frame = table(study)
            labels = {c: str(study.manifest.get(c, "")) for c in ("corpus", "backend")}
            labels = {"sweep": study.name, **labels}
            rest = frame.drop(columns=[c for c in labels if c in frame])
            found.append(pd.DataFrame({**labels}, index=rest.index).join(rest))
        return together(found) if any(len(f) for f in found) else found[0]


def load(results: str | Path) -> Studies:
    """Every sweep below a results folder, or the one whose own folder it is.

    Raises ValueError that says what to do where there is no such folder, or no record in it.
    """
    path = Path(results)
    loaded = store.load(path)
    found, left_out = sorted_out(loaded)
    loaded = dataclasses.replace(loaded, damaged=(*loaded.damaged, *left_out.values()))
    if not found:
        hint = f"; {store.skipped(loaded.damaged)}".replace(", the rest is used", "") if loaded.damaged else ""
        raise ValueError(
            f"no records in {files.name(path)}; run a sweep first, or name another folder with --results{hint}"
        )
    return Studies(path, loaded, found)


def studies(results: Results) -> list[Study]:
    """Every sweep below a results folder: ours before others', what has no speedup yet after what has, those
    just run before the committed reference, larger headline tasks first."""
    return sorted_out(results)[0]


def sorted_out(results: Results) -> tuple[list[Study], dict[str, str]]:
    """The studies in their order, and for each sweep of which nothing can be shown a line that says why."""
    names = dict.fromkeys([*results.sweeps, *(str(s) for s in column(results.runs, "sweep"))])
    found, left_out = [], {}
    for name in names:
        for study in _studies(name, results):
            try:
                _require_readable(study)
                found.append(study)
            except (ValueError, ArithmeticError) as error:  # losses that no curve and no model fits
                left_out[study.name] = f"sweep {study.name}: left out: {error}"
    order = sorted(found, key=lambda s: (s.theirs, not s.compares, s.name == "reference", -s.largest, s.name))
    return order, left_out


def _require_readable(study: Study) -> None:
    """Raise ValueError where a study has nothing to show, more than pages can show, or cannot be compared."""
    if not len(study.runs):
        raise ValueError("none of its records is here")
    for what, things in (("optimizers", study.optimizers), ("tasks", study.tasks)):
        if len(things) > MOST[what]:
            raise ValueError(f"it has {len(things):,} {what}; pages show at most {MOST[what]}")
    _ = study.compares


def _studies(name: str, results: Results) -> list[Study]:
    """A sweep with exactly the runs that its manifest names. Records without a manifest may be of several
    experiments, which are not compared: a study each, named by what tells them apart."""
    runs = results.runs
    if runs.empty:
        runs = pd.DataFrame(columns=NEEDED)
    given = results.sweeps.get(name, {})
    if "trial_ids" in given:
        return [_study(name, given, runs.loc[runs["trial_id"].isin(list(given["trial_ids"]))], results)]
    mine = where(runs, sweep=name)
    apart = [c for c in EXPERIMENT if c in mine and len(set(mine[c])) > 1]
    if not apart:
        return [_study(name, given, mine, results)]
    labels = list(zip(*(mine[c].astype(str) for c in apart), strict=True))
    return [
        _study(f"{name} ({', '.join(label)})", given, mine.loc[[own == label for own in labels]], results)
        for label in sorted(set(labels))
    ]


def _study(name: str, given: Mapping[str, Any], runs: pd.DataFrame, results: Results) -> Study:
    ids = set(runs["trial_id"])
    mine = runs.reset_index(drop=True)
    curves = results.curves
    if len(curves):
        curves = curves.loc[curves["trial_id"].isin(sorted(ids))].reset_index(drop=True)
    by_id = {str(i): results.by_id[str(i)] for i in mine["trial_id"]}
    described = _described(name, mine, by_id)
    manifest = {**described, **given, **_completed(described, given)}
    times = results.step_times.get(name, pd.DataFrame())
    return Study(name, manifest, mine, curves, by_id, times)


def _completed(described: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's optimizers and tasks, and after them those that its runs have beside."""
    if not {"optimizers", "tasks"} & given.keys():
        return {}
    optimizers, tasks = given.get("optimizers", {}), given.get("tasks", [])
    named = {task["name"] for task in tasks}
    return {
        "optimizers": {
            **optimizers,
            **{o: f for o, f in described["optimizers"].items() if o not in optimizers},
        },
        "tasks": [*tasks, *(task for task in described["tasks"] if task["name"] not in named)],
    }


def _described(name: str, runs: pd.DataFrame, by_id: Mapping[str, Record]) -> dict[str, Any]:
    """What the records themselves say of a sweep: stands in for what a manifest leaves out."""
    first = rows(runs.head(1))[0] if len(runs) else {}
    shared = ("corpus", "corpus_hash", "tokenizer_hash", "backend", "precision")
    return {
        "name": name,
        "title": name,
        "baseline": "adamw",
        "protocol": {},
        "cells": {},
        "notes": [],
        **{key: str(first.get(key, "")) for key in shared},
        "optimizers": {
            r["optimizer"]: dict(by_id[r["trial_id"]].facts) for r in rows(runs.drop_duplicates("optimizer"))
        },
        "tasks": [
            {
                "name": t["task"],
                "scale": t["scale"],
                "chinchilla_ratio": t["chinchilla_ratio"],
                "tokens": t["tokens"],
                "num_params": scales.SCALES[t["scale"]].num_params if t["scale"] in scales.SCALES else 0,
            }
            for t in rows(runs.drop_duplicates("task"))
        ],
    }
