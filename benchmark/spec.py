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

from optimizers.base import RECIPE as RECIPE  # part of a trial: read from here too
from optimizers.base import Value

SCHEMA = 1  # of records on disk; a reader refuses any other
EXPERIMENT = 2  # raise when model, data order, initialization or evaluation change: old runs are then others

Status = Literal["finished", "diverged", "failed"]
SearchRole = Literal["tuning", "report"]


@dataclass(frozen=True)
class Evaluation:
    """What is measured: the final loss on `sequences` of `split`, and `curve_points` losses along the way
    on `curve_sequences` of the validation split. Sequences are the first ones of a split: fixed for all."""

    split: Literal["validation", "test"] = "validation"
    sequences: int = 1024
    curve_points: int = 0
    curve_sequences: int = 128


@dataclass(frozen=True)
class Trial:
    """One training run; every number that shapes its outcome is here.

    optimizer: registry name, or the stem of a user's file.
    rule: the identity of the update rule: "adamw@1" (name and version) or "mine#<hash of the source>".
    hyperparameters: the optimizer's fields and the RECIPE, complete, in one flat mapping.
    seed: initialization and data order; equal for all optimizers, so that differences are paired.
    """

    optimizer: str
    rule: str
    scale: str
    chinchilla_ratio: float
    tokens: int
    steps: int
    seq_len: int
    vocab: int
    hyperparameters: Mapping[str, Value]
    seed: int
    role: SearchRole
    corpus: str
    corpus_hash: str
    tokenizer_hash: str
    evaluation: Evaluation = field(default_factory=Evaluation)
    backend: Literal["jax", "torch"] = "jax"
    precision: Literal["float32", "bfloat16"] = "float32"
    experiment: int = EXPERIMENT

    @property
    def task(self) -> str:
        return f"{self.scale}-{self.chinchilla_ratio:g}x"

    @property
    def batch_size(self) -> int:
        return int(self.hyperparameters["batch_size"])

    @cached_property
    def trial_id(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical(dataclasses.asdict(self)).encode()).hexdigest()[:16]


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
    """One evaluation along a run. `seconds` counts training time alone, evaluation and compilation left out."""

    step: int
    tokens: int
    seconds: float
    val_loss: float


@dataclass(frozen=True)
class Cost:
    """What a run cost. Seconds are wall-clock; bytes are bytes; FLOPs are counted from shapes."""

    wall_seconds: float = 0.0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    compile_seconds: float = 0.0
    tokens_per_second: float = 0.0
    step_seconds: float = 0.0
    peak_memory_bytes: int = 0
    state_bytes: int = 0
    model_flops: float = 0.0
    optimizer_flops: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a trainer returns: the part of a record that the run itself decides."""

    status: Status
    reason: str = ""
    val_loss: float | None = None
    bits_per_byte: float | None = None
    train_loss: float | None = None
    curve: tuple[Point, ...] = ()
    data_epochs: float = 0.0
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Record:
    """A trial and its outcome.

    val_loss: final loss in nats per token on the evaluation's split (a report run's is its test loss);
        None unless the run finished.
    bits_per_byte: the same loss as summed nats / (ln 2 x bytes of the predicted tokens).
    train_loss: mean over the last tenth of the run's steps, in nats per token.
    reason: one sentence for "diverged" and "failed", empty for "finished".
    purpose: what the trial was for ("peak_lr up", "replicate", "report"); not part of its identity.
    data_epochs: how often the training data was seen, at most 4.
    facts: the optimizer's info and its declared state and FLOPs (see benchmark/train/runner.py).
    environment: versions, git commit, device, machine fingerprint.
    finished_at: UTC, ISO 8601, microseconds; gives the order in which trials were tried.
    """

    trial: Trial
    status: Status
    reason: str = ""
    purpose: str = ""
    val_loss: float | None = None
    bits_per_byte: float | None = None
    train_loss: float | None = None
    curve: tuple[Point, ...] = ()
    data_epochs: float = 0.0
    cost: Cost = field(default_factory=Cost)
    facts: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    finished_at: str = ""

    def to_json(self) -> str:
        """One line of JSON with the schema version and the id in front."""
        body = {"schema": SCHEMA, "trial_id": self.trial.trial_id, **dataclasses.asdict(self)}
        return json.dumps(body, allow_nan=False, separators=(",", ":"))


def record_from_json(text: str) -> Record:
    """Parse one record. Raises ValueError that says what is wrong: not JSON, another schema, another id."""
    try:
        body = json.loads(text)
        schema, trial_id = body.pop("schema"), body.pop("trial_id")
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a record ({type(error).__name__}: {error})") from None
    if schema != SCHEMA:
        raise ValueError(f"schema {schema}, but this version reads schema {SCHEMA}")
    try:
        raw = dict(body.pop("trial"))
        raw["evaluation"] = Evaluation(**raw["evaluation"])
        body["curve"] = tuple(Point(**p) for p in body.get("curve", ()))
        body["cost"] = Cost(**body.get("cost", {}))
        record = Record(trial=Trial(**raw), **body)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a record of schema {SCHEMA} ({error})") from None
    if record.trial.trial_id != trial_id:
        raise ValueError(f"its content hashes to {record.trial.trial_id}, not to {trial_id}: it was edited")
    return record
