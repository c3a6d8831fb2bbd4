"""One sweep made ready for the pages: its runs, its losses, and what the analysis says of them.

A page reads a Study and nothing else. Next: sentence.py, the one sentence that all of this is for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from benchmark import scales
from benchmark.analysis import cost, flips, frames, speedup, tuning
from benchmark.analysis.evidence import Evidence
from benchmark.published import study as published
from benchmark.report import verdict
from benchmark.report.frames import column, known, rows, where
from benchmark.spec import Record
from benchmark.store import Results

LOSSES = ["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]
NO_FACTS = {"title": "", "paper": "", "url": "", "family": "", "summary": "", "rule": "", "space": {}}
ASSUMED_NOISE_SD = 0.003  # nats; the study's own acceptance band (arXiv 2509.02046), for its single seeds


@dataclass(frozen=True)
class TaskFacts:
    """A task as the manifest describes it."""

    name: str
    scale: str
    ratio: float
    tokens: int
    num_params: int


@dataclass(frozen=True)
class Study:
    """A sweep's manifest with exactly the runs it names. `name` is its folder below results.

    repeats: the runs of searches that were done again on other tuning seeds; no comparison uses them.
    """

    name: str
    manifest: Mapping[str, Any]
    runs: pd.DataFrame
    curves: pd.DataFrame
    by_id: Mapping[str, Record]
    repeats: pd.DataFrame

    @property
    def title(self) -> str:
        return str(self.manifest.get("title") or self.name)

    @property
    def baseline(self) -> str:
        return str(self.manifest.get("baseline", "adamw"))

    @property
    def theirs(self) -> bool:
        """Whether the losses are published figures of others, not our runs."""
        return bool(self.manifest.get("published"))

    @property
    def is_source(self) -> bool:
        """Whether these are the published figures of arXiv 2509.02046, whose claims are judged."""
        return self.theirs and self.manifest["name"] == published.NAME

    @property
    def loss_name(self) -> str:
        """What a report run's final loss is: others' figures need not be from a split that nobody tuned on."""
        return "published loss" if self.is_source else "imported loss" if self.theirs else "test loss"

    @cached_property
    def optimizers(self) -> Mapping[str, Mapping[str, Any]]:
        """An optimizer's facts by name: title, paper, url, family, summary, rule, space."""
        return {name: {**NO_FACTS, **facts} for name, facts in self.manifest["optimizers"].items()}

    @cached_property
    def titles(self) -> dict[str, str]:
        return {name: str(facts["title"] or name) for name, facts in self.optimizers.items()}

    @property
    def baseline_title(self) -> str:
        return self.titles.get(self.baseline, self.baseline)

    @cached_property
    def tasks(self) -> list[TaskFacts]:
        """Smallest model first, then by token budget."""
        found = [
            TaskFacts(t["name"], t["scale"], t["chinchilla_ratio"], t["tokens"], t["num_params"])
            for t in self.manifest["tasks"]
        ]
        return sorted(found, key=lambda t: (t.num_params, t.scale, t.ratio))

    @cached_property
    def scales(self) -> list[str]:
        return list(dict.fromkeys(t.scale for t in self.tasks))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Non-embedding parameters by scale, also where a scale is not on our ladders."""
        return {t.scale: t.num_params for t in self.tasks}

    def cell(self, optimizer: str, task: str) -> Mapping[str, Any]:
        """The manifest's entry for an optimizer on a task; empty where it was not asked for."""
        return self.manifest.get("cells", {}).get(f"{optimizer}/{task}", {})

    def winner(self, optimizer: str, task: str) -> Mapping[str, Any]:
        """The chosen hyperparameters: the manifest's, or those of the report runs; empty without either."""
        chosen = self.cell(optimizer, task).get("winner")
        reported = where(self.losses, optimizer=optimizer, task=task)["trial_id"].tolist()
        return chosen or (self.by_id[reported[0]].trial.hyperparameters if reported else {})

    @cached_property
    def losses(self) -> pd.DataFrame:
        """analysis.frames.report_losses: report runs, one row per optimizer, scale, ratio and seed."""
        return frames.report_losses(self.runs)

    @cached_property
    def noise_sd(self) -> float | None:
        """The assumed sd of one run: only for published figures, which have one seed."""
        return ASSUMED_NOISE_SD if self.theirs else None

    @cached_property
    def band(self) -> float:
        """Nats beyond which two single runs differ (95 %), by the noisiest scale's report runs."""
        return Evidence(self.losses, {}, self.sizes, self.runs, self.curves, self.baseline, self.noise_sd).band

    @cached_property
    def noise_is_assumed(self) -> bool:
        """Whether an interval rests on the assumed noise: where a scale has one seed."""
        return any("noise_sd given" in flags for flags in self.speedups["flags"])

    @property
    def timed_on(self) -> str:
        """The machine on which speedups in seconds were timed; empty without one."""
        return str(next(iter(self.costs["machine"].dropna()), ""))

    @cached_property
    def speedups(self) -> pd.DataFrame:
        """analysis.speedup.speedups of the losses, with a `task` column.

        Its verdicts are those of verdict.py, which every page shows.
        """
        if self.baseline not in set(self.losses["optimizer"]):
            return _with_task(pd.DataFrame(columns=speedup.COLUMNS))
        table = _with_task(speedup.speedups(self.losses, self.baseline, self.noise_sd))
        own = known(where(table, optimizer=self.baseline), "val_loss")
        return table.assign(verdict=[verdict.of(r, self.baseline, set(own["task"])) for r in rows(table)])

    @cached_property
    def compares(self) -> bool:
        """Whether it has a speedup of any optimizer but the baseline."""
        others = self.speedups.loc[self.speedups["optimizer"] != self.baseline, "speedup"]
        return bool(others.notna().any())

    @cached_property
    def costs(self) -> pd.DataFrame:
        """analysis.cost.costs on the machine that timed most cells, with a `task` column."""
        table = cost.costs(self.speedups, self.runs, self.baseline)
        if not len(table):
            return _with_task(table)
        counts = table.groupby("machine")["speedup_seconds"].count()
        best = counts.idxmax() if len(counts) else ""
        return _with_task(table.loc[(table["machine"] == best) | table["machine"].isna()])

    @cached_property
    def metrics(self) -> dict[str, pd.DataFrame]:
        """What a speedup is counted in -> the table of speedups (optimizer, task, speedup, lo, hi, verdict).

        Seconds and FLOPs are left out where no run was timed or counted, as in published figures.
        """
        found = {"tokens": self.speedups}
        for name, ending in (("seconds", "seconds"), ("FLOPs", "flops")):
            ends = {f"{end}_{ending}": end for end in ("speedup", "lo", "hi")}
            table = self.costs.reindex(columns=["optimizer", "task", *ends])
            table = table.set_axis(["optimizer", "task", *ends.values()], axis="columns")
            if len(known(table, "speedup")):
                verdict = np.select([table["lo"] > 1, table["hi"] < 1], ["faster", "slower"], "inseparable")
                found[name] = table.assign(verdict=np.where(table["lo"].isna(), "", verdict))
        return found

    @cached_property
    def lr_curves(self) -> pd.DataFrame:
        """analysis.tuning.lr_curves of the tuning runs."""
        return tuning.lr_curves(self.runs) if len(self.runs) else pd.DataFrame(columns=["task"])

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """analysis.tuning.sensitivity of the tuning runs."""
        return tuning.sensitivity(self.runs)

    @cached_property
    def expected(self) -> pd.DataFrame:
        """analysis.tuning.expected_best_of_k of the random-search runs."""
        return tuning.expected_best_of_k(self.runs)

    @cached_property
    def bands(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """(optimizer, task) -> the best and the worst rank that the seeds allow."""
        if not len(self.losses):
            return {}
        table = _with_task(flips.rank_bands(self.losses, self.noise_sd))
        return {(r["optimizer"], r["task"]): (int(r["rank_lo"]), int(r["rank_hi"])) for r in rows(table)}

    @cached_property
    def flips(self) -> pd.DataFrame:
        """analysis.flips.flips of every kind."""
        if not len(self.losses) or self.baseline not in set(self.losses["optimizer"]):
            return pd.DataFrame(columns=flips.COLUMNS)
        return flips.flips(self.curves, self.losses, self.runs, self.baseline, self.noise_sd)

    def results_for(self, task: str) -> pd.DataFrame:
        """The speedup rows of a task, best loss first."""
        return where(self.speedups, task=task).sort_values(["val_loss", "optimizer"], ignore_index=True)

    @property
    def largest(self) -> float:
        """Tokens of the headline task; 0 without one."""
        return self.headline.tokens if self.headline else 0

    @cached_property
    def headline(self) -> TaskFacts | None:
        """The largest task on which the baseline and another optimizer have results."""
        for task in reversed(self.tasks):
            done = {r["optimizer"] for r in rows(self.results_for(task.name)) if r["n"] > 0}
            if self.baseline in done and len(done) > 1:
                return task
        return None


def _with_task(table: pd.DataFrame) -> pd.DataFrame:
    names = [f"{s}-{r:g}x" for s, r in zip(table["scale"], table["chinchilla_ratio"], strict=True)]
    return table.assign(task=names)


def studies(results: Results) -> list[Study]:
    """Every sweep below a results folder: ours before others', what has no speedup yet after what has, those
    just run before the committed reference, larger headline tasks first."""
    names = dict.fromkeys([*results.sweeps, *(str(s) for s in column(results.runs, "sweep"))])
    found = [_study(name, results) for name in names]
    return sorted(found, key=lambda s: (s.theirs, not s.compares, s.name == "reference", -s.largest, s.name))


def _study(name: str, results: Results) -> Study:
    runs = results.runs
    if runs.empty:
        runs = pd.DataFrame(columns=["trial_id", "role", "status", "task", "sweep", "tokens", *LOSSES])
    given = results.sweeps.get(name, {})
    ids = _trial_ids(given) if "trial_ids" in given else set(where(runs, sweep=name)["trial_id"])
    mine = runs.loc[runs["trial_id"].isin(sorted(ids))].reset_index(drop=True)
    again = set(given.get("trial_ids", ())) - ids
    repeats = runs.loc[runs["trial_id"].isin(sorted(again))].reset_index(drop=True)
    curves = results.curves
    if len(curves):
        curves = curves.loc[curves["trial_id"].isin(sorted(ids))].reset_index(drop=True)
    by_id = {str(i): results.by_id[str(i)] for i in mine["trial_id"]}
    return Study(name, {**_described(name, mine, by_id), **given}, mine, curves, by_id, repeats)


def _trial_ids(manifest: Mapping[str, Any]) -> set[str]:
    """The runs that a comparison may use. A search that was repeated on other seeds (`optimizer/task#offset`)
    is left out: its report runs have other settings at the same seeds."""
    repeats = [c for key, c in manifest.get("cells", {}).items() if "#" in key.rsplit("/", 1)[-1]]
    repeated = {i for c in repeats for i in (*c.get("tuning", ()), *c.get("reports", ()))}
    cells = [c for key, c in manifest.get("cells", {}).items() if "#" not in key.rsplit("/", 1)[-1]]
    return set(manifest["trial_ids"]) - (repeated - {i for c in cells for i in (*c["tuning"], *c["reports"])})


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
