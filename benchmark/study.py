"""One sweep made ready for the pages: its runs, its losses, and what the analysis says of them.

A page reads a Study and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from benchmark import searched, store
from benchmark.analysis import choosing, cost, flips, speedup, tuning
from benchmark.analysis.evidence import Evidence
from benchmark.frames import known, rows, where
from benchmark.machine import losses_repeat
from benchmark.published import fantastic as published
from benchmark.spec import Record

NO_FACTS = {
    "title": "", "paper": "", "url": "", "family": "", "summary": "", "rule": "", "space": {},
    "ablation_of": "",
}  # fmt: skip
ASSUMED_NOISE_SD = 0.003  # nats; the study's own acceptance band (arXiv 2509.02046), for its single seeds
# nats; what choosing adds where every cell is one search. Measured at 27k-1x, three searches of 40 trials each:
# 0 for AdamW, .0165 for Muon (results/micro-27k-1x); their root mean square. Of others' results: their band.
ASSUMED_CHOOSING_SD = 0.012


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
    """A sweep's manifest with exactly the runs it names. `name` is its folder below results; step_times: those
    measured in turns with the baseline's (`timing.read`)."""

    name: str
    manifest: Mapping[str, Any] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    curves: pd.DataFrame = field(repr=False)
    by_id: Mapping[str, Record] = field(repr=False)
    step_times: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)

    @property
    def title(self) -> str:
        return str(self.manifest.get("title") or self.name)

    @property
    def baseline(self) -> str:
        return str(self.manifest.get("baseline", "adamw"))

    @property
    def theirs(self) -> bool:
        """Whether the losses are published results of others, not our runs."""
        return bool(self.manifest.get("published"))

    @property
    def not_stated(self) -> tuple[str, ...]:
        """What others' runs do not state of themselves ("seed", "backend" ...): pages leave it blank."""
        return tuple(str(name) for name in self.manifest.get("not_stated") or ())

    @property
    def is_source(self) -> bool:
        """Whether these are the published results of arXiv 2509.02046, whose claims are judged."""
        return self.theirs and self.manifest["name"] == published.NAME

    @property
    def loss_name(self) -> str:
        """What a report run's final loss is: others' results need not be from a split that nobody tuned on."""
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

    @property
    def tuned_baseline(self) -> str:
        """The baseline in a sentence, with whose tuning it is: we did not tune what others ran."""
        if not self.theirs:
            return f"tuned {self.baseline_title}"
        return f"{self.baseline_title} as {'the study tuned it' if self.is_source else 'its publisher ran it'}"

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

    @cached_property
    def _searches(self) -> Mapping[str, list[Mapping[str, Any]]]:
        """ "optimizer/task" -> the manifest's entry of each of its searches, in their order."""
        return choosing.searches(self.manifest.get("cells", {}))

    def searches(self, optimizer: str, task: str) -> list[Mapping[str, Any]]:
        """The manifest's entries for an optimizer on a task, one per search; none where it has no such cell."""
        return self._searches.get(f"{optimizer}/{task}", [])

    def cell(self, optimizer: str, task: str) -> Mapping[str, Any]:
        """The searches of an optimizer on a task taken together: budget, tuning, reports, complete and badges
        (a badge that only some of them carry says which). Empty where it was not asked for."""
        found = self.searches(optimizer, task)
        if not found:
            return {}
        return {
            "budget": sum(int(e.get("budget") or 0) for e in found),
            "complete": all(bool(e.get("complete")) for e in found),
            "badges": _badges([[str(b) for b in e.get("badges", ())] for e in found]),
            **{k: list(dict.fromkeys(i for e in found for i in e.get(k, ()))) for k in ("tuning", "reports")},
        }

    def winners(self, optimizer: str, task: str) -> list[Mapping[str, Any]]:
        """The hyperparameters that each search chose: the manifest's, or those of the report runs; empty
        without either."""
        chosen = [e["winner"] for e in self.searches(optimizer, task) if e.get("winner")]
        reported = where(self.losses, optimizer=optimizer, task=task)["trial_id"].tolist()
        return chosen or [self.by_id[i].trial.hyperparameters for i in reported[:1]]

    @cached_property
    def challengers(self) -> list[str]:
        """Who is compared with the baseline: neither its copies nor variants that lack one of its freedoms."""
        named = {o: facts for o, facts in self.optimizers.items() if o != self.baseline and "~" not in o}
        return [o for o, facts in named.items() if not facts["ablation_of"]]

    @cached_property
    def asked(self) -> list[str]:
        """The optimizers that are not of the registry: whoever runs a sweep with one asks about it."""
        own = [o for o, facts in self.optimizers.items() if "#" in str(facts["rule"]) and "~" not in o]
        return [] if self.theirs or self.copies else own

    @property
    def copies(self) -> bool:
        """Whether it is nothing but copies of one optimizer: a check of the sweep itself."""
        return str(self.manifest["name"]).startswith("aa-")

    def tuned_by(self, optimizer: str, task: str) -> set[str]:
        """The tuning trials that an optimizer's settings on a task rest on: its own, and those of the searches
        that it started from."""
        found: set[str] = set()
        for entry in self.searches(optimizer, task):
            while entry:
                found.update(entry.get("tuning", ()))
                entry = self.manifest["cells"].get(entry.get("from", ""), {})
        return found

    @property
    def again(self) -> str:
        """The baseline's second entry, tuned anew like any contestant: what the same optimizer comes to. Empty
        where the sweep has none."""
        return next((o for o in self.optimizers if o.startswith(f"{self.baseline}~")), "")

    @cached_property
    def losses(self) -> pd.DataFrame:
        """store.report_losses: report runs, one row per optimizer, scale, ratio, search and seed."""
        return store.report_losses(self.runs, searches=choosing.owners(self.manifest.get("cells", {})))

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The losses of the baseline and of its challengers: what is ranked."""
        named = [*self.challengers, self.baseline]
        return cast(pd.DataFrame, self.losses.loc[self.losses["optimizer"].isin(named)])

    @cached_property
    def noise_sd(self) -> float | None:
        """The assumed sd of one run: only for published results, which have one seed."""
        return ASSUMED_NOISE_SD if self.theirs else None

    @property
    def choosing_sd(self) -> float:
        """The assumed sd of what choosing adds: used only where no cell was searched twice."""
        return ASSUMED_NOISE_SD if self.theirs else ASSUMED_CHOOSING_SD

    @property
    def looks(self) -> tuple[int, ...]:
        """Report seeds at each look; empty where their number was fixed."""
        return tuple(int(n) for n in self.manifest.get("protocol", {}).get("looks") or ())

    @property
    def baseline_times(self) -> int:
        """How many times as many searches the baseline has as the others."""
        return int(self.manifest.get("protocol", {}).get("baseline_times") or 1)

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
        """analysis.tuning.expected_best_of_k of the random-search runs."""
        return tuning.expected_best_of_k(self.runs)

    @cached_property
    def rank_bands(self) -> pd.DataFrame:
        """analysis.flips.rank_bands of what is ranked, with a `task` column."""
        if not len(self.losses):
            return _with_task(pd.DataFrame(columns=flips.BAND_COLUMNS))
        return _with_task(flips.rank_bands(self.compared, self.noise_sd, self.choosing_sd))

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

    # ---- tables that pages share, each computed once: functions of benchmark/searched.py
    best_so_far = cached_property(searched.best_so_far)
    budget_swaps = cached_property(searched.budget_swaps)
    transfer = cached_property(searched.transfer)
    claimed = cached_property(searched.claimed)
    edges = cached_property(searched.edges)
    scaling_sensitive = cached_property(searched.scaling_sensitive)
    choosing = cached_property(searched.choosing)
    lr_tolerance = cached_property(searched.lr_tolerance)
    laws = cached_property(searched.laws)
    loss_laws = cached_property(searched.loss_laws)
    # ---- end of the tables that pages share


def _with_task(table: pd.DataFrame) -> pd.DataFrame:
    names = [f"{s}-{r:g}x" for s, r in zip(table["scale"], table["chinchilla_ratio"], strict=True)]
    return table.assign(task=names)


def _badges(of_each: list[list[str]]) -> list[str]:
    """The badges of a cell's searches, once each; one that not all of them carry names its searches."""
    found = []
    for badge in dict.fromkeys(b for badges in of_each for b in badges):
        carriers = [str(i) for i, badges in enumerate(of_each, 1) if badge in badges]
        among = "" if len(carriers) == len(of_each) else f" (search {', '.join(carriers)} of {len(of_each)})"
        found.append(f"{badge}{among}")
    return found
