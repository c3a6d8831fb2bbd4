"""A sweep: which optimizers, on which tasks, tuned how. Pure data; plan.py turns it into trials.

Sweeps are constants named `SWEEP`, in sweeps/ (`quick.py`, `micro.py`, ...) or in a file of the user's own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmark.scales import Scale
from benchmark.spec import RECIPE, Evaluation, Value
from benchmark.tasks import Task, parse
from optimizers.base import Axis, Info, Optimizer
from optimizers.shared.near import near

Phase = Literal["I", "II", "III", "baseline"]
Start = Literal["stated", "winner", "consensus", "law", "constant", "width"]

_RATIO = Axis((0.25, 0.5, 1.0, 2.0, 4.0, 8.0), 1.0, "log")
_SHAPE = {
    "embedding_lr_ratio": _RATIO,
    "head_lr_ratio": _RATIO,
    "decay_kind": Axis(("cosine", "linear"), "linear"),
    "decay_fraction": Axis((0.2, 0.4, 0.6, 0.8, 1.0), 1.0),
    "final_lr_ratio": Axis((0.0, 0.1), 0.0),
    "clip_norm": Axis((0.0, 1.0, 2.0), 1.0),
}
# One grid per ladder, the same for every optimizer. The study's warmups are 10 to 80 % of its 1x runs.
RECIPE_SPACE: Mapping[str, Mapping[str, Axis]] = {
    "micro": {"warmup_fraction": Axis((0.0, 0.05, 0.1, 0.2, 0.4), 0.1, "log", 0.0, 0.8), **_SHAPE},
    "paper": {"warmup_fraction": Axis((0.0, 0.1, 0.2, 0.4), 0.2, "log", 0.0, 0.8), **_SHAPE},
}


@dataclass(frozen=True)
class Contestant:
    """What planning and reporting need to know about an optimizer: data only, no framework.

    rule: identity of the update rule, "adamw@1" or "mine#<hash>". info: what its class says of the method.
    defaults: every field of the optimizer. space: ladder -> hyperparameter -> Axis.
    recipe_start: starts of RECIPE hyperparameters that differ from the usual ones.
    recipe_fixed: RECIPE hyperparameters that it may not vary. ablation_of: whom it restricts by them, or "".
    source: the user's file that it was read from, "" for a registered optimizer.
    """

    name: str
    rule: str
    info: Info
    space: Mapping[str, Mapping[str, Axis]]
    defaults: Mapping[str, Value]
    recipe_start: Mapping[str, Value]
    source: str = ""
    recipe_fixed: Mapping[str, Value] = field(default_factory=dict)
    ablation_of: str = ""

    @property
    def essential(self) -> tuple[str, ...]:
        """What even the smallest search tunes: what its info names, or else all that it may vary."""
        if self.info.essential:
            return self.info.essential
        first, *others = self.space.values()
        everywhere = [name for name in first if all(name in axes for axes in others)]
        everything = [name for name in (*everywhere, *RECIPE) if name not in self.recipe_fixed]
        return tuple(sorted(everything, key=lambda name: name != "peak_lr"))  # a search begins with the rate

    def axes(self, scale: Scale) -> dict[str, Axis]:
        """The whole space at a scale: its own hyperparameters first, then the recipe. Raises ValueError
        where the optimizer gives none for the scale's ladder."""
        if scale.ladder not in self.space:
            raise ValueError(
                f"{self.name} has no search space for the {scale.ladder} ladder; add one to its `space`,"
                f" or leave it out of this sweep"
            )
        recipe = {**RECIPE_SPACE[scale.ladder], "batch_size": Axis(scale.batch_sizes, scale.batch_size)}
        starts = {name: value for name, value in self.recipe_start.items() if name in recipe}
        recipe |= {name: dataclasses.replace(recipe[name], start=value) for name, value in starts.items()}
        recipe = {name: axis for name, axis in recipe.items() if name not in self.recipe_fixed}
        axes = {**self.space[scale.ladder], **recipe}
        unknown = [name for name in self.essential if name not in axes]
        if unknown:
            raise ValueError(
                f"{self.name} calls {unknown[0]} essential but gives it no axis in its {scale.ladder} space"
            )
        return axes

    def start(self, scale: Scale) -> dict[str, Value]:
        """The stated starting point at a scale: every hyperparameter of a trial."""
        return {
            **self.defaults,
            **self.recipe_fixed,
            **{name: axis.start for name, axis in self.axes(scale).items()},
        }


def contestant_of(cls: type[Optimizer], name: str, rule: str, source: str = "") -> Contestant:
    """A contestant from its class. `rule` is its identity (see `Trial.rule`)."""
    default = cls()
    return Contestant(
        name=name,
        rule=rule,
        info=cls.info,
        space=cls.space,
        defaults={f.name: getattr(default, f.name) for f in dataclasses.fields(default)},
        recipe_start=cls.recipe_start,
        source=source,
        recipe_fixed=cls.recipe_fixed,
        ablation_of=cls.ablation_of,
    )


@dataclass(frozen=True)
class Stage:
    """One task of a sweep, and how it is tuned there.

    phase: "I", "II", "III", or "baseline" for the ratios at which only the baseline is run.
    budget: tuning trials per optimizer, which its searches share; 0 means that the setting is carried over
        and only reported.
    start: "stated": the optimizer's starting point; "winner": the winner of `after[0]`; "consensus": the
        value that Phase I tasks agree on, and where they disagree the nearest one's; "law": a power law
        through the winners of `after`; "constant": the nearest winner among `after`; "width": the same,
        rescaled by width.
    tune: all hyperparameters, the essential ones, or those found sensitive to scale in Phase I.
    after: names of the tasks whose winners this one needs.
    committed: its tuning trials are committed for the optimizers of the registry (see committed.py).
    """

    task: Task
    phase: Phase
    budget: int
    start: Start = "stated"
    tune: Literal["all", "essential", "sensitive"] = "all"
    after: tuple[str, ...] = ()
    committed: bool = False


def stage(name: str, phase: Phase, budget: int, **how: object) -> Stage:
    """A stage from its task's name, as sweeps write it."""
    return Stage(parse(name), phase, budget, **how)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Protocol:
    """How a search is run, with numbers that are the same for every optimizer.

    search: "gp" models the loss (gp_search.py), "coordinate" changes one hyperparameter at a time
        (coordinate_search.py), "random" draws (random_search.py).
    searches: independent searches of every optimizer on every task, each with other tuning seeds, an opening
        of its own and its share of the budget and of the report seeds: what choosing adds to the noise is seen.
    tuning_seeds: of search 0; the first is every trial's, the others are for replicates and the last race.
    looks: numbers of report seeds, all searches together. All have the first; where the verdict is still open
        then (looks.py), more are added up to the next.
    report_seeds: what seeds.py derives from the sweep or draws anew, at least the last look's number.
    sealed: the report seeds were drawn for this sweep, so that nobody can have seen them before.
    salt: names a study of several that are alike but for their openings.
    band: a stated noise band in nats per token; None measures it, which needs two tuning seeds or more.
    min_steps: a batch size that leaves fewer steps is not tried.
    width_exponents: for the start "width": value ~ width**exponent, by optimizer ("*" is any other).
    max_trials: the tuning trials at which the stages' budgets were cut to fit `max_hours`; see time_limit.py.
    """

    search: Literal["gp", "coordinate", "random"] = "gp"
    searches: int = 2
    tuning_seeds: tuple[int, ...] = (0, 1, 2)
    looks: tuple[int, ...] = (6,)
    report_seeds: tuple[int, ...] = ()
    sealed: bool = False
    salt: str = ""
    band: float | None = None
    min_steps: int = 50
    width_exponents: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {"*": {"peak_lr": -1.0, "weight_decay": 1.0}}
    )
    max_hours: float | None = None
    max_trials: int | None = None


@dataclass(frozen=True)
class Sweep:
    """Optimizers x tasks x protocol x seeds.

    optimizers: names it is meant for, all there are if empty; `contestants` are filled in from them.
    corpus_hash, tokenizer_hash: the corpus as prepared; filled in before planning.
    file: the user's file that it was read from, without its folders; "" for one that comes with the project.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    protocol: Protocol = field(default_factory=Protocol)
    optimizers: tuple[str, ...] = ()
    contestants: tuple[Contestant, ...] = ()
    baseline: str = "adamw"
    corpus: str = "gcide"
    corpus_hash: str = ""
    tokenizer_hash: str = ""
    backend: Literal["jax", "torch"] = "jax"
    precision: Literal["float32", "bfloat16"] = "float32"
    tuning_evaluation: Evaluation = field(default_factory=Evaluation)
    report_evaluation: Evaluation = field(default_factory=lambda: Evaluation("test", curve_points=16))
    file: str = ""

    def contestant(self, name: str) -> Contestant:
        """The contestant of this name. Raises ValueError if it does not take part."""
        for contestant in self.contestants:
            if contestant.name == name:
                return contestant
        raise ValueError(f"sweep {self.name} has no optimizer {name!r}")


def searched(sweep: Sweep, searches: int) -> Sweep:
    """The sweep with another number of independent searches, each as large and on as many report seeds as
    before: a sweep with a name of its own."""
    protocol, before = sweep.protocol, sweep.protocol.searches

    def share(number: int) -> int:
        return max(1, round(number * searches / before)) if number else 0

    return dataclasses.replace(
        sweep,
        name=f"{sweep.name}-{searches}-searches",
        stages=tuple(dataclasses.replace(s, budget=share(s.budget)) for s in sweep.stages),
        protocol=dataclasses.replace(protocol, searches=searches, looks=tuple(map(share, protocol.looks))),
    )


def select(sweep: Sweep, tasks: Sequence[str] = ()) -> Sweep:
    """The part of a sweep on these tasks (all if none are given), with the tasks that they start from, and
    the baseline's further ratios that need nothing else. Raises ValueError for a task that it does not have."""
    if not tasks:
        return sweep
    by_name = {s.task.name: s for s in sweep.stages}
    unknown = [name for name in tasks if name not in by_name]
    if unknown:
        like, there = near(unknown[0], by_name), ", ".join(by_name)
        raise ValueError(f"sweep {sweep.name} has no task {unknown[0]!r}{like}; choose from {there}")
    wanted, queue = set(), [*tasks]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue += by_name[name].after
    beyond = {s.task.name for s in sweep.stages if s.phase == "baseline" and wanted.issuperset(s.after)}
    kept = tuple(s for s in sweep.stages if s.task.name in wanted | beyond)
    return dataclasses.replace(sweep, stages=kept)
