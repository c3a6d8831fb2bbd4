"""A run of others as an importer reads it, and as a record: what the source does not say stays blank."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmark.published import fantastic
from benchmark.published.numbers import shown
from benchmark.published.progress import counted
from benchmark.spec import Evaluation, Point, Record, Status, Trial, Value

LONGEST = 100  # characters of a name
NOT_STATED = "not stated"
MAY_LACK = ("seed", "steps", "batch_size", "seq_len", "vocab", "backend", "precision")


@dataclass(frozen=True)
class Run:
    """One run of a source. Zero, empty and None are what it does not say.

    where: the line or file it is from. loss: nats per token, NaN or infinite for a run that diverged.
    """

    where: str
    optimizer: str
    loss: float
    scale: str = ""
    num_params: float | None = None
    ratio: float | None = None
    tokens: int | None = None
    seed: int | None = None
    steps: int = 0
    status: Status = "finished"
    reason: str = ""
    purpose: str = "imported"
    settings: Mapping[str, Value] = field(default_factory=dict)
    family: str = ""
    corpus: str = ""
    seq_len: int = 0
    vocab: int = 0
    backend: Literal["jax", "torch", ""] = ""
    precision: Literal["float32", "bfloat16", ""] = ""
    curve: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Imported:
    """What an importer made of a source.

    identity: a hash of the source and of what it was read as. said: lines for whoever imports. notes: what the
    pages say of the whole. lacks: what no run of it states (MAY_LACK). caveats: said at every number.
    """

    source: str
    identity: str
    records: list[Record]
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    sizes: Mapping[str, float] = field(default_factory=dict)


def identity(kind: str, contents: Iterable[bytes], reading: Mapping[str, Any]) -> str:
    """A hash of a source: its bytes and how they were read. The same import again has the same."""
    digest = hashlib.sha256(f"{kind} {sorted((k, str(v)) for k, v in reading.items())}".encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def named(name: str, of: str = "optimizer") -> str:
    """A name as it may stand in a record. Raises ValueError for none, and for one that cannot be shown or that
    means something here: `~2` is a baseline's second entry, `#2` a cell's second search."""
    if not name:
        raise ValueError(f"no {of} is named")
    if len(name) > LONGEST or not name.isprintable():
        raise ValueError(f"{of} {shown(name)} is longer than {LONGEST} characters or not printable; shorten it")
    if mark := next((c for c in "~#" if c in name), ""):
        raise ValueError(f"{of} {shown(name)} has a {mark!r}, which marks a second entry here; rename it")
    return name


def once(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Each optimizer, scale, ratio and seed once; a run that is there twice alike is dropped and said.

    Raises ValueError where two of them have different losses or settings, and where only some have a seed.
    """
    found: dict[tuple[object, ...], Run] = {}
    repeated = []
    with_seed = next((r for r in runs if r.seed is not None), None)
    for r in runs:
        if with_seed and r.seed is None:
            raise ValueError(
                f"{r.where}: no seed, but {with_seed.where} has one; give every run its own or none"
            )
        key = (r.optimizer, r.scale, r.ratio, r.seed)
        first = found.setdefault(key, r)
        if first is r:
            continue
        same = first.loss == r.loss or (math.isnan(first.loss) and math.isnan(r.loss))
        if same and first.settings == r.settings and r.seed is not None:
            repeated.append(r.where)
            continue
        raise ValueError(
            f"{r.where} repeats an optimizer, scale, ratio and seed ({shown(r.optimizer)}, {r.scale},"
            f" {r.ratio:g}x: loss {r.loss:.6g}, and {first.loss:.6g} at {first.where}); number the seeds, or"
            " leave one of the two out"
        )
    said = [f"{len(repeated)} rows that repeat another were left out, first {repeated[0]}"] if repeated else []
    return list(found.values()), said


def one(runs: Iterable[Run], of: str, many: str) -> None:
    """Raise ValueError where runs differ in what must be alike for a comparison."""
    found = sorted({str(getattr(r, of)) or NOT_STATED for r in runs})
    if len(found) > 1:
        listed = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise ValueError(f"{len(found)} {many} ({listed}); give each a file of its own")


def lacking(runs: Sequence[Run]) -> list[str]:
    """What no run states."""

    def stated(name: str) -> bool:
        if name == "seed":
            return any(r.seed is not None for r in runs)
        if name == "batch_size":
            return any(r.settings.get("batch_size") for r in runs)
        return any(getattr(r, name) for r in runs)

    return [name for name in MAY_LACK if not stated(name)]


def records(runs: Sequence[Run], source: str, of: str, lacks: Sequence[str]) -> list[Record]:
    """Records of settled runs (sizes.settled).

    of: the source's identity, a part of every rule, so that two sources with the same cell are two runs.
    lacks: what no run states (MAY_LACK).
    """
    known = fantastic.facts()
    environment = {"source": source, **({"not_stated": list(lacks)} if lacks else {})}
    return [_record(r, known, environment, of) for r in counted(runs, "records")]


def _record(
    run: Run, known: Mapping[str, Mapping[str, Any]], environment: Mapping[str, Any], of: str
) -> Record:
    rule = f"{run.optimizer}@imported:{of}"
    facts = {**known.get(run.optimizer, {"title": run.optimizer}), "rule": rule}
    trial = Trial(
        optimizer=run.optimizer,
        rule=rule,
        scale=run.scale,
        chinchilla_ratio=run.ratio or 0.0,
        tokens=run.tokens or 0,
        steps=run.steps,
        seq_len=run.seq_len,
        vocab=run.vocab,
        hyperparameters={"batch_size": 0} | dict(run.settings),  # 0: not stated
        seed=run.seed or 0,
        use="report",
        corpus=run.corpus or NOT_STATED,
        corpus_hash=NOT_STATED,
        tokenizer_hash=NOT_STATED,
        evaluation=Evaluation(sequences=0),
        backend=run.backend,
        precision=run.precision,
        experiment=fantastic.EXPERIMENT,
    )
    finite = math.isfinite(run.loss)
    status = run.status if run.status != "finished" or finite else "diverged"
    return Record(
        trial=trial,
        status=status,
        reason=run.reason or ("" if status == "finished" else "no finite loss given"),
        purpose=run.purpose,
        val_loss=run.loss if status == "finished" else None,
        curve=run.curve,
        facts=facts | ({"family": run.family} if run.family else {}),
        environment=environment,
    )
