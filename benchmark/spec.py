"""Trial and Record: one training run fully spelled out, and what came of it.

A trial's id is a hash of its content, so the same run asked for by two sweeps is one run, and an edited
optimizer is a new one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from benchmark.tasks import task_name
from benchmark.validate import KEY
from optimizers.base import RECIPE as RECIPE  # part of a trial: read from here too
from optimizers.base import Value

SCHEMA = 1  # of records on disk; a reader refuses any other
LATER = frozenset(("eval_corpus", "eval_corpus_hash", "averages", "domain_losses", "init_ratios"))  # see _said
EXPERIMENT = 2  # raise when model, data order, initialization or evaluation change: old runs are then others

Status = Literal["finished", "diverged", "failed"]
Use = Literal["tuning", "report"]


@dataclass(frozen=True)
class Evaluation:
    """What is measured of a run. Sequences are the first ones of a split, the same for every run."""

    split: Literal["validation", "test"] = "validation"
    """Where the final loss is measured."""

    sequences: int = 1024
    """How many sequences of that split the final loss is a mean of."""

    curve_points: int = 0
    """Losses measured along the way, evenly spaced, the last one at the end; 0 for none."""

    curve_sequences: int = 128
    """Sequences that each of those losses is a mean of, always of the validation split."""

    averages: bool = False
    """Whether averages of the weights are kept and measured too (benchmark/train/averages.py)."""


@dataclass(frozen=True)
class Trial:
    """One training run; every number that shapes its outcome is here, and nothing else."""

    optimizer: str
    """Registry name, or the stem of a user's file."""

    rule: str
    """Identity of the update rule: "adamw@1" (name and version), or "mine#" and a hash of the file's source."""

    scale: str
    """Name of the model's size (benchmark/scales.py)."""

    chinchilla_ratio: float
    """1.0, shown as "1x", is 20 training tokens per parameter of the model."""

    tokens: int
    """Training tokens of the whole run."""

    steps: int
    """Optimizer steps of the whole run."""

    seq_len: int
    """Tokens per sequence."""

    vocab: int
    """Size of the vocabulary."""

    hyperparameters: Mapping[str, Value]
    """The optimizer's fields and the RECIPE, complete, in one flat mapping."""

    seed: int
    """Initialization and data order; the same seeds for all optimizers, so that differences are paired."""

    use: Use = field(metadata={KEY: "role"})  # as it is in all records, and in what their ids are hashes of
    """What the run counts for: choosing hyperparameters ("tuning"), or the leaderboard ("report")."""

    corpus: str
    """Name of the corpus; of text of the user's own its kind alone ("local"), whatever its path."""

    corpus_hash: str
    """Hash of its text, so that a changed corpus makes another trial."""

    tokenizer_hash: str
    """Hash of the tokenizer that encoded it."""

    evaluation: Evaluation = field(default_factory=Evaluation)
    """What is measured, and how often."""

    backend: Literal["jax", "torch", ""] = "jax"
    """The framework that trains; empty for a run of others that does not say."""

    precision: Literal["float32", "bfloat16", ""] = "float32"
    """Type of activations and products; parameters and optimizer state are float32. Empty as `backend`."""

    experiment: int = EXPERIMENT
    """Version of model, data order, initialization and evaluation."""

    eval_corpus: str = ""
    """Name of the corpus that is evaluated on, where that is another one, as `corpus`; else empty."""

    eval_corpus_hash: str = ""
    """Hash of its tokens."""

    init_ratios: Mapping[str, float] = field(default_factory=dict)
    """Role -> its initial standard deviation over the usual one; without the roles that have the usual one."""

    @property
    def task(self) -> str:
        return task_name(self.scale, self.chinchilla_ratio)

    @property
    def batch_size(self) -> int:
        return int(self.hyperparameters["batch_size"])

    def stored(self) -> dict[str, Any]:
        """The trial as it stands in a record."""
        keys = {f.name: f.metadata.get(KEY, f.name) for f in dataclasses.fields(self)}
        fields = _said(dataclasses.asdict(self)) | {"evaluation": _said(dataclasses.asdict(self.evaluation))}
        return {keys[name]: value for name, value in fields.items()}

    @cached_property
    def trial_id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical(self.stored()).encode()).hexdigest()[:16]


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without those of LATER, added when there were ids, that say nothing: so older ids stay."""
    return {name: value for name, value in fields.items() if value or name not in LATER}


def canonical(value: Any) -> str:
    """JSON with sorted keys and one spelling for a number: 1, 1.0 and numpy's 1.0 are the same trial."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | str) or value is None:
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


@dataclass(frozen=True)
class Point:
    """One evaluation along a run."""

    step: int
    """Steps taken so far."""

    tokens: int
    """Training tokens seen so far."""

    seconds: float
    """Training time so far, evaluation and compilation left out."""

    val_loss: float
    """Mean loss on the validation split in nats per token."""


@dataclass(frozen=True)
class Cost:
    """What a run cost. A run that was one of a pack has its share of the pack's seconds."""

    wall_seconds: float = 0.0
    """Everything, from start to end."""

    train_seconds: float = 0.0
    """Training steps alone."""

    eval_seconds: float = 0.0
    """Evaluations, along the way and at the end."""

    compile_seconds: float = 0.0
    """Compilation; 0 in torch."""

    tokens_per_second: float = 0.0
    """Training tokens per second of training."""

    step_seconds: float = 0.0
    """Training seconds per step."""

    peak_memory_bytes: int = 0
    """The most memory held on the accelerator, or where there is none by the process since it started."""

    state_bytes: int = 0
    """Size of the optimizer's state."""

    model_flops: float = 0.0
    """FLOPs of all forward and backward passes, counted from shapes."""

    optimizer_flops: float = 0.0
    """FLOPs of all updates, as the optimizer's `extra_flops` says."""


@dataclass(frozen=True)
class Outcome:
    """What a trainer returns: the part of a record that the run itself decides."""

    status: Status
    """How the run ended."""

    reason: str = ""
    """One sentence for "diverged" and "failed", empty for "finished"."""

    val_loss: float | None = None
    """Final loss, nats per token, on the evaluation's split (test in a report run); None unless finished."""

    bits_per_byte: float | None = None
    """The same loss as summed nats / (ln 2 x bytes of the predicted tokens)."""

    train_loss: float | None = None
    """Mean over the last tenth of the run's steps, in nats per token."""

    curve: tuple[Point, ...] = ()
    """The evaluations along the way, in order."""

    data_epochs: float = 0.0
    """How often the training data was seen, at most 4."""

    cost: Cost = field(default_factory=Cost)
    """Time, memory and FLOPs."""

    domain_losses: Mapping[str, float] = field(default_factory=dict)
    """The final loss on each domain of the evaluation corpus, in nats per token; empty where it has none."""

    averages: Mapping[str, float] = field(default_factory=dict)
    """The final loss of each average of the weights, in nats per token; empty where they were not asked for."""


@dataclass(frozen=True, kw_only=True)
class Record(Outcome):
    """An outcome, whose it is and where it came from."""

    trial: Trial
    """The run that was asked for."""

    purpose: str = ""
    """What the trial was for ("peak_lr up", "replicate", "report"); not part of its identity."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """The optimizer's info and the size of its state (benchmark/train/runner.py)."""

    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions, git commit, device, CPU type, mark of the machine (benchmark/machine.py)."""

    finished_at: str = ""
    """UTC, ISO 8601, microseconds; gives the order in which trials were tried."""

    def to_json(self) -> str:
        """One line of JSON: the schema version, the id, the trial, how it ended and what for, and the rest."""
        rest = _said(dataclasses.asdict(self)) | {"trial": self.trial.stored()}
        first = {name: rest.pop(name) for name in ("trial", "status", "reason", "purpose")}
        body = {"schema": SCHEMA, "trial_id": self.trial.trial_id, **first, **rest}
        return json.dumps(body, allow_nan=False, separators=(",", ":"))
