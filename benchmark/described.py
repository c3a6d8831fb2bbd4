"""One sweep as its manifest describes it: who takes part, on which tasks, and what each search came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from benchmark.analysis import choosing
from benchmark.published import fantastic as published

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
class Described:
    """What is known of a sweep without its runs: the part of a Study that rests on its manifest alone.

    name: its folder below results.
    """

    name: str
    manifest: Mapping[str, Any] = field(repr=False)

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

    def tuned_by(self, optimizer: str, task: str) -> set[str]:
        """The tuning trials that an optimizer's settings on a task rest on: its own, and those of the searches
        that it started from."""
        found: set[str] = set()
        for entry in self.searches(optimizer, task):
            while entry:
                found.update(entry.get("tuning", ()))
                entry = self.manifest["cells"].get(entry.get("from", ""), {})
        return found

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

    @property
    def again(self) -> str:
        """The baseline's second entry, tuned anew like any contestant: what the same optimizer comes to. Empty
        where the sweep has none."""
        return next((o for o in self.optimizers if o.startswith(f"{self.baseline}~")), "")

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

    def chosen_settings(self) -> pd.DataFrame:
        """What each search chose on each task that it was tuned on: optimizer, scale, chinchilla_ratio, search,
        and `hp.<hyperparameter>` for each. A setting that was carried to a task is left out.
        """
        return pd.DataFrame(
            {"optimizer": name, "scale": task.scale, "chinchilla_ratio": task.ratio, "search": search}
            | {f"hp.{hp}": value for hp, value in entry["winner"].items()}
            for name in self.optimizers
            for task in self.tasks
            for search, entry in enumerate(self.searches(name, task.name), 1)
            if entry.get("winner") and entry.get("tuning")
        )


def _badges(of_each: list[list[str]]) -> list[str]:
    """The badges of a cell's searches, once each; one that not all of them carry names its searches."""
    found = []
    for badge in dict.fromkeys(b for badges in of_each for b in badges):
        carriers = [str(i) for i, badges in enumerate(of_each, 1) if badge in badges]
        among = "" if len(carriers) == len(of_each) else f" (search {', '.join(carriers)} of {len(of_each)})"
        found.append(f"{badge}{among}")
    return found
