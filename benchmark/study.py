"""One sweep made ready for the pages: its runs, its losses, and what the analysis says of them.

A page reads a Study and nothing else. Each table is a cached property, so that it is computed once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from benchmark.analysis import (
    best_of_k,
    choosing,
    cost,
    edges,
    flips,
    laws,
    rank_bands,
    speedup,
    tuning,
    whatif,
)
from benchmark.analysis.evidence import Evidence
from benchmark.described import NO_FACTS, Described, TaskFacts
from benchmark.frames import known, rows, where
from benchmark.losses import report_losses
from benchmark.machine import losses_repeat
from benchmark.spec import Record
from benchmark.tasks import task_name

GOOD = 0.01  # nats: a loss this close to the best still counts as well tuned


@dataclass(frozen=True)
class Study(Described):
    """A sweep's manifest with exactly the runs it names. step_times: those measured in turns with the
    baseline's (`timing.read`)."""

    runs: pd.DataFrame = field(repr=False)
    curves: pd.DataFrame = field(repr=False)
    by_id: Mapping[str, Record] = field(repr=False)
    step_times: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)

    def winners(self, optimizer: str, task: str) -> list[Mapping[str, Any]]:
        """The hyperparameters that each search chose: the manifest's, or those of the report runs; empty
        without either."""
        if chosen := [e["winner"] for e in self.searches(optimizer, task) if e.get("winner")]:
            return chosen
        reported = where(self.losses, optimizer=optimizer, task=task)["trial_id"].tolist()
        return [self.by_id[i].trial.hyperparameters for i in reported[:1]]

    @cached_property
    def losses(self) -> pd.DataFrame:
        """losses.report_losses: report runs, one row per optimizer, scale, ratio, search and seed."""
        return report_losses(self.runs, searches=choosing.owners(self.manifest.get("cells", {})))

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The losses of the baseline and of its challengers: what is ranked."""
        named = [*self.challengers, self.baseline]
        return cast(pd.DataFrame, self.losses.loc[self.losses["optimizer"].isin(named)])

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
        """analysis.speedup.speedups of the losses, with a `task` column: the verdicts that every page shows.

        The study's own results keep its own formula. "paired faster": one ratio of the baseline gives no curve
        to convert nats with, so that the comparison at that ratio stands without a speedup.
        """
        if self.baseline not in set(self.losses["optimizer"]):
            return _with_task(pd.DataFrame(columns=speedup.COLUMNS))
        method = "study" if self.is_source else "anchored"
        assumed = (self.noise_sd, self.choosing_sd)
        table = _with_task(
            speedup.speedups(self.losses, self.baseline, *assumed, looks=self.looks, method=method)
        )
        bare = table["speedup"].isna() & ~table["verdict"].isin(["", "baseline"])
        return table.assign(verdict=np.where(bare, "paired " + table["verdict"], table["verdict"]))

    @cached_property
    def compares(self) -> bool:
        """Whether it has a speedup of any challenger."""
        others = self.speedups.loc[self.speedups["optimizer"].isin(self.challengers), "speedup"]
        return bool(others.notna().any())

    @cached_property
    def costs(self) -> pd.DataFrame:
        """analysis.cost.costs on the machine that timed most cells, with a `task` column."""
        table = cost.costs(self.speedups, self.runs, self.baseline, self._timed)
        if not len(table):
            return _with_task(table)
        counts = table.groupby("machine")["speedup_seconds"].count()
        best = counts.idxmax() if len(counts) else ""
        return _with_task(table.loc[(table["machine"] == best) | table["machine"].isna()])

    @cached_property
    def step_overheads(self) -> pd.DataFrame:
        """analysis.cost.step_overheads, with a `task` column."""
        return _with_task(cost.step_overheads(self.runs, self.baseline, self._timed))

    def timed_apart(self, optimizer: str, task: str) -> bool:
        """Whether runs of an optimizer on a task were timed, and the baseline's too, but not on the same
        machine under the same conditions, nor in turns: their step times do not compare."""
        timed = where(self.runs, task=task, status="finished")
        there = set(timed.loc[timed["step_seconds"] > 0, "optimizer"]) if "step_seconds" in timed else set()
        both = optimizer != self.baseline and {optimizer, self.baseline} <= there
        return both and where(self.step_overheads, optimizer=optimizer, task=task).empty

    def mixes_cpus(self, optimizer: str, task: str) -> bool:
        """Whether an optimizer's report runs on a task and the baseline's are of several CPU types, or not
        known to be of one: the same trial would not give the same loss."""
        losses = where(self.losses, task=task)
        ids = losses.loc[losses["optimizer"].isin([optimizer, self.baseline]), "trial_id"]
        return not self.theirs and not losses_repeat(self.by_id[str(i)].environment for i in ids)

    @property
    def _timed(self) -> pd.DataFrame:
        """Measured step times of this study's rules, backend and precision: optimizer, scale, step_overhead."""
        rules = {str(facts["rule"]): o for o, facts in self.optimizers.items() if "~" not in o}
        of = {"versus": self.optimizers.get(self.baseline, NO_FACTS)["rule"]}
        of |= {key: self.manifest.get(key, "") for key in ("backend", "precision")}
        table = where(self.step_times, **of)
        if table.empty:
            return pd.DataFrame(columns=["optimizer", "scale", "step_overhead"])
        named = table.assign(optimizer=[rules.get(str(rule), "") for rule in table["rule"]])
        named = named.loc[named["optimizer"] != ""].drop_duplicates(["optimizer", "scale"], keep="last")
        return named.reindex(columns=["optimizer", "scale", "step_overhead"])

    @cached_property
    def metrics(self) -> dict[str, pd.DataFrame]:
        """What a speedup is counted in -> the table of speedups (optimizer, task, speedup, lo, hi, verdict).

        Seconds and FLOPs are left out where no run compares with the baseline's in them, as in published
        figures; gradients where every step evaluates one.
        """
        found = {"tokens": self.speedups}
        endings = {"seconds": "seconds", "FLOPs": "flops"}
        if set(known(self.costs, "gradients_per_step")["gradients_per_step"]) - {1}:
            endings["gradients"] = "gradients"
        for name, ending in endings.items():
            ends = {f"{end}_{ending}": end for end in ("speedup", "lo", "hi", "verdict")}
            table = self.costs.reindex(columns=["optimizer", "task", *ends])
            table = table.set_axis(["optimizer", "task", *ends.values()], axis="columns")
            if set(known(table, "speedup")["optimizer"]) - {self.baseline}:
                found[name] = table
        return found

    @cached_property
    def lr_curves(self) -> pd.DataFrame:
        """analysis.tuning.lr_curves of the tuning runs."""
        return tuning.lr_curves(self.runs) if len(self.runs) else pd.DataFrame(columns=["task"])

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """analysis.tuning.sensitivity of the tuning runs."""
        return tuning.sensitivity(self.runs, noise_sd=self.noise_sd)

    @cached_property
    def expected(self) -> pd.DataFrame:
        """analysis.best_of_k.expected_best_of_k of the random-search runs."""
        return best_of_k.expected_best_of_k(self.runs)

    @cached_property
    def rank_bands(self) -> pd.DataFrame:
        """analysis.rank_bands.rank_bands of what is ranked, with a `task` column."""
        if not len(self.losses):
            return _with_task(pd.DataFrame(columns=rank_bands.COLUMNS))
        return _with_task(rank_bands.rank_bands(self.compared, self.noise_sd, self.choosing_sd))

    @cached_property
    def bands(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """(optimizer, task) -> the best and the worst rank that the seeds allow."""
        found = rows(self.rank_bands)
        return {(r["optimizer"], r["task"]): (int(r["rank_lo"]), int(r["rank_hi"])) for r in found}

    @cached_property
    def flips(self) -> pd.DataFrame:
        """analysis.flips.flips of every kind."""
        if not len(self.losses) or self.baseline not in set(self.losses["optimizer"]):
            return pd.DataFrame(columns=flips.COLUMNS)
        assumed = (self.noise_sd, self.choosing_sd)
        return flips.flips(self.curves, self.compared, self.runs, self.baseline, *assumed)

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

    @cached_property
    def best_so_far(self) -> pd.DataFrame:
        """analysis.best_of_k.best_so_far: the lowest validation loss after each tuning trial."""
        return best_of_k.best_so_far(self.runs)

    @cached_property
    def budget_swaps(self) -> pd.DataFrame:
        """analysis.best_of_k.budget_swaps: pairs whose order depends on the number of random-search trials."""
        return best_of_k.budget_swaps(self.expected)

    @cached_property
    def transfer(self) -> pd.DataFrame:
        """analysis.whatif.transfer_cost: what it costs to take another optimizer's learning rate."""
        return whatif.transfer_cost(self.runs, ["peak_lr"], noise_sd=self.noise_sd)

    @cached_property
    def claimed(self) -> pd.DataFrame:
        """analysis.whatif.claimed: speedups over the baseline left at each tried learning rate. Empty where
        nothing is compared or the baseline was not tuned."""
        if self.headline is None or not len(where(self.runs, use="tuning", optimizer=self.baseline)):
            return pd.DataFrame()
        return whatif.claimed(self.runs, self.losses, self.baseline, self.noise_sd)

    @cached_property
    def edges(self) -> pd.DataFrame:
        """analysis.edges.edges: the best values that no trial brackets, as the badges say."""
        spaces = {o: f["space"] for o, f in self.optimizers.items()}
        return edges.edges(self.runs, spaces, self.manifest.get("cells", {}))

    @cached_property
    def scaling_sensitive(self) -> pd.DataFrame:
        """analysis.tuning.scaling_sensitive, by the band that each search measured."""
        return tuning.scaling_sensitive(self.runs, self.band, self.manifest["cells"])

    @cached_property
    def choosing(self) -> pd.DataFrame:
        """analysis.choosing.choosing: repeated searches. Empty where no cell was searched twice."""
        cells = self.manifest["cells"]
        return choosing.choosing(self.runs, cells) if any("#" in key for key in cells) else pd.DataFrame()

    @cached_property
    def lr_tolerance(self) -> pd.DataFrame:
        """analysis.tuning.lr_tolerance: how wide the range of learning rates within GOOD of the best is."""
        return tuning.lr_tolerance(self.runs, GOOD)

    @cached_property
    def laws(self) -> list[dict[str, Any]]:
        """analysis.laws.summary of the laws through each optimizer's best hyperparameters, as rows; of others'
        results through what they reported."""
        ours = self.manifest["cells"] and not self.theirs
        best = self._sized(self.chosen_settings() if ours else self._reported)
        return rows(laws.summary(laws.hyperparameter_laws(best) if len(best) else {}))

    @cached_property
    def loss_laws(self) -> list[dict[str, Any]]:
        """analysis.laws.summary of the laws through each optimizer's losses, as rows."""
        known = len(self._sized(self._reported))
        return rows(laws.summary(laws.loss_laws(self._sized(self.losses)) if known else {}))

    @property
    def _reported(self) -> pd.DataFrame:
        return where(self.runs, use="report", status="finished")

    def _sized(self, runs: pd.DataFrame) -> pd.DataFrame:
        """The runs with num_params, those left out of whose scale no size is known."""
        if runs.empty:
            return runs
        runs = runs.assign(num_params=[float(self.sizes.get(s, 0)) for s in runs["scale"]])
        return cast(pd.DataFrame, runs.loc[runs["num_params"] > 0])


def _with_task(table: pd.DataFrame) -> pd.DataFrame:
    names = list(map(task_name, table["scale"], table["chinchilla_ratio"]))
    return table.assign(task=names)
