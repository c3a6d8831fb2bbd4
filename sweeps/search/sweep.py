"""A sweep: which optimizers, on which tasks, tuned how. Pure data; plan.py turns it into trials.

Sweeps are constants named `SWEEP`, in sweeps/ (`quick.py`, `micro.py`, ...) or in a file of the user's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmark.spec import Evaluation
from benchmark.tasks import Task, parse
from sweeps.search.contestant import Contestant

Phase = Literal["I", "II", "III", "baseline"]
Policy = Literal["constant", "law", "width", "mup", "mup-sqrt", "mup-independent"]
Start = Literal["stated", "winner", "consensus"] | Policy


@dataclass(frozen=True)
class Stage:
    """One task of a sweep, and how it is tuned there."""

    task: Task
    """Scale, ratio and corpus."""

    phase: Phase
    """Of the study: "I", "II" or "III"; "baseline" for a ratio at which only the baseline is run."""

    budget: int
    """Tuning trials that a contestant's searches share; 0 carries a setting over and only reports it."""

    start: Start = "stated"
    """"stated": the optimizer's starting point. "winner": the winner of `after[0]`. "consensus": the value that
    Phase I tasks agree on, and where they disagree the nearest one's. "law": a power law through the winners of
    `after`. "constant": the nearest winner among `after`. "width": the same, rate and decay rescaled by width,
    all roles alike. "mup", "mup-sqrt", "mup-independent": rescaled role by role (width.py)."""

    tune: Literal["all", "essential", "sensitive"] = "all"
    """All hyperparameters, the essential ones, or those found sensitive to scale in Phase I."""

    after: tuple[str, ...] = ()
    """Names of the tasks whose winners this one needs."""

    committed: bool = False
    """Its tuning trials are committed for the optimizers of the registry (committed.py)."""

    only: tuple[str, ...] = ()
    """The names of those who take part; everybody where it is empty."""


def stage(name: str, phase: Phase, budget: int, **how: object) -> Stage:
    """A stage from its task's name, as sweeps write it."""
    return Stage(parse(name), phase, budget, **how)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Protocol:
    """How a search is run, with numbers that are the same for every optimizer."""

    search: Literal["gp", "coordinate", "random"] = "gp"
    """"gp" models the loss, "coordinate" changes one value at a time, "random" draws (the *_search.py here)."""

    searches: int = 2
    """Independent searches of every optimizer on every task, each with other tuning seeds, an opening of its
    own and its share of the budget and of the report seeds: so is seen what choosing adds to the noise."""

    baseline_times: int = 1
    """How many times as many searches the baseline has, each as large as anybody's and on the same report
    seeds. Every verdict rests on it, so its mean must be known best (Dunnett 1955: where K are compared with
    one, about sqrt(K) times the runs). The mean over searches is compared, which more make no better."""

    tuning_seeds: tuple[int, ...] = (0, 1, 2)
    """Of search 0; the first is every trial's, the others are for replicates and the last race."""

    looks: tuple[int, ...] = (6,)
    """Numbers of report seeds, all searches together. All have the first; where the verdict is still open then
    (looks.py), more are added up to the next."""

    report_seeds: tuple[int, ...] = ()
    """What seeds.py derives from the sweep or draws anew, at least the last look's number."""

    sealed: bool = False
    """The report seeds were drawn for this sweep, so that nobody can have seen them before."""

    salt: str = ""
    """Names a replication of several that are alike but for their openings."""

    band: float | None = None
    """A stated noise band in nats per token; None measures it, which needs two tuning seeds or more."""

    min_steps: int = 50
    """A batch size that leaves fewer steps is not tried."""

    width_exponents: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {"*": {"peak_lr": -1.0, "weight_decay": 1.0}}
    )
    """For the start "width": value ~ width**exponent, by optimizer ("*" is any other)."""

    max_hours: float | None = None
    """The time that the stages' budgets were cut to fit (time_limit.py), in hours of wall time."""

    max_trials: int | None = None
    """The tuning trials at which they were cut."""


@dataclass(frozen=True)
class Sweep:
    """Optimizers x tasks x protocol x seeds."""

    name: str
    """Its folder's name below the results."""

    title: str
    """A few words for a page's heading."""

    stages: tuple[Stage, ...]
    """Its tasks, in any order."""

    protocol: Protocol = field(default_factory=Protocol)
    """How every search is run."""

    optimizers: tuple[str, ...] = ()
    """Names it is meant for, all there are if empty; `contestants` are filled in from them."""

    contestants: tuple[Contestant, ...] = ()
    """Who takes part."""

    policies: tuple[Policy, ...] = ()
    """Rules by which every contestant takes part once more: carried from the smallest width, not tuned."""

    baseline: str = "adamw"
    """The contestant that all others are compared with."""

    corpus: str = "gcide"
    """Name of the corpus; of text of the user's own, "local:" and a label."""

    corpus_at: str = ""
    """Such a text's name with its path, which no record holds; "" for any other corpus."""

    corpus_hash: str = ""
    """Of the corpus as prepared; filled in before planning."""

    tokenizer_hash: str = ""
    """Of its tokenizer; filled in before planning."""

    tokenizer: str = ""
    """The path of a tokenizer.json that stands in for one that is trained on the text."""

    eval_corpus: str = ""
    """Name of the corpus that is evaluated on, as `corpus`; "" where that is the training corpus's own."""

    eval_corpus_at: str = ""
    """As `corpus_at`."""

    eval_corpus_hash: str = ""
    """Of that corpus; filled in before planning."""

    backend: Literal["jax", "torch"] = "jax"
    """What trains."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products; parameters and optimizer state are float32."""

    pack: int = 1
    """Alike trials that are trained at once where there is a GPU and no --pack; prices count on it."""

    tuning_evaluation: Evaluation = field(default_factory=Evaluation)
    """What is measured of a tuning run."""

    report_evaluation: Evaluation = field(default_factory=lambda: Evaluation("test", curve_points=16))
    """What is measured of a report run."""

    file: str = ""
    """The user's file that it was read from, without its folders; "" for one that comes with the project."""

    search_looks: tuple[int, ...] = ()
    """Numbers of searches at which an optimizer of the user's own is judged and may stop (looks.py). Empty: it
    has as many as the protocol says."""

    @property
    def tokens(self) -> int:
        """Training tokens of the largest task."""
        return max(stage.task.tokens for stage in self.stages)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of report runs at which cells are judged and may stop: what the analysis spends .05 over."""
        each = self.protocol.looks[-1] / self.protocol.searches
        return tuple(round(each * searches) for searches in self.search_looks) or self.protocol.looks

    def searches(self, contestant: Contestant, phase: Phase) -> int:
        """How many searches a contestant may have on a stage of this phase, at the last look. Ratios of the
        baseline alone give its curve, which only converts; no verdict rests on their mean."""
        usual = self.protocol.searches
        if phase == "baseline":
            return usual
        if contestant.name == self.baseline:
            return max(usual * self.protocol.baseline_times, *self.search_looks, 0)
        return self.search_looks[-1] if self.search_looks and contestant.source else usual

    def contestant(self, name: str) -> Contestant:
        """The contestant of this name. Raises ValueError if it does not take part."""
        for contestant in self.contestants:
            if contestant.name == name:
                return contestant
        raise ValueError(f"sweep {self.name} has no optimizer {name!r}")
