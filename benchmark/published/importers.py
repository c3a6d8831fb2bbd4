"""Anyone's results as records: a folder of the study's result.json files, or a plain CSV of losses.

What a source does not say (cost, order, hyperparameters) stays empty; a batch size of 0 is one not stated.
Next: analysis/, which judges them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import scales, tasks
from benchmark.published import study
from benchmark.spec import Evaluation, Record, Trial, Value

RENAMED = {  # the study's spelling -> ours
    "learning_rate": "peak_lr",
    "train_batch_size": "batch_size",
    "max_grad_norm": "clip_norm",
    "min_lr_ratio": "final_lr_ratio",
    "epsilon": "eps",
    "lr_schedule": "decay_kind",
    "decay": "decay_fraction",
    "warmup": "warmup_steps",
    "muon_epsilon": "ns_eps",
    "scion_epsilon": "ns_eps",
    "muon_to_adam_lr": "adam_lr_ratio",
    "scion_to_signum_lr": "signum_lr_ratio",
    "update_prob_flat_start": "flat_start_steps",
}
OPTIMIZERS = {"mini": "adam_mini", "soape": "soap"}
REQUIRED = ("optimizer", "scale", "chinchilla_ratio", "val_loss")


def results_set(results: Path, name: str) -> Path:
    """The folder of a results set. Raises ValueError for a name that is no plain folder name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"cannot name a results set {name!r}; use letters, digits, '.', '_' and '-' (--name)")
    return results / name


def from_result_json(folder: Path) -> list[Record]:
    """Records of OPTIMIZER/SCALE/RATIO/result.json below `folder`.

    The baseline and each ablation become tuning runs; the lowest loss becomes the report run. Its own
    hyperparameters are not in such a file unless it is the baseline or an ablation: otherwise they stay empty.
    Raises ValueError where nothing is found or a file is not of this form.
    """
    found: dict[str, Record] = {}
    for path in sorted(folder.glob("*/*/*/result.json")):
        try:
            cell = json.loads(path.read_text(encoding="utf-8"))
            for one in _cell(path, cell):
                found.setdefault(one.trial.trial_id, one)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}: not a result.json of the study ({type(error).__name__}: {error})"
            ) from None
    if not found:
        raise ValueError(f"no OPTIMIZER/SCALE/RATIO/result.json below {folder}")
    return list(found.values())


def _cell(path: Path, body: dict[str, Any]) -> Iterator[Record]:
    tag, scale, ratio = path.parts[-4:-1]
    optimizer, ratio = OPTIMIZERS.get(tag, tag), float(ratio)
    facts = study.facts().get(optimizer, {"title": optimizer})
    config = _config(body["best_config"])
    runs = [(_loss(body["baseline"]["loss"]), config, "ground state")]
    for step in body["ablations"]:
        change = _config({step["param"]: step["value"]})
        runs.append((_loss(step["loss"]), {**config, **change}, f"{next(iter(change))} ablation"))
    for loss, setting, purpose in runs:
        yield study.record(study.trial(optimizer, scale, ratio, setting, "tuning"), loss, purpose, facts)
    lowest = body["min_loss"]
    best = next((h for loss, h, _ in runs if loss == lowest), {"batch_size": 0})  # 0: not stated
    trial = study.trial(optimizer, scale, ratio, best, "report")
    yield study.record(trial, _loss(lowest), "lowest loss of any run", facts)


def _loss(loss: float | str | None) -> float:
    """A loss that is no number (the study writes "NaN" or null) is a diverged run's."""
    try:
        return float(loss)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _config(raw: dict[str, Any]) -> dict[str, Value]:
    """Our names; numbers to ten digits, because the files print 1e-25 as 9.999999999999999e-26."""
    plain: dict[str, Value] = {}
    for name, value in raw.items():
        if name != "nesterov":  # constant for an optimizer: part of its rule
            plain[RENAMED.get(name, name)] = value if isinstance(value, str) else float(f"{float(value):.10g}")
    return plain


def from_csv(path: Path) -> list[Record]:
    """Report records from a CSV with columns optimizer, scale, chinchilla_ratio, val_loss.

    Optional: seed (default 0), corpus, family ("scalar" or "matrix"), `hp.<hyperparameter>`, and num_params
    (non-embedding), which a scale that is not on our ladders needs. An empty or infinite val_loss is a
    diverged run. Raises ValueError that names the file, the row and what to do.
    """
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV ({error})") from None
    absent = [c for c in REQUIRED if c not in frame]
    if absent or frame.empty:
        problem = f"no column {absent[0]!r}" if absent else "no rows"
        raise ValueError(f"{path}: {problem}; give every run a row with {', '.join(REQUIRED)}")
    frame["seed"] = frame["seed"].fillna(0).astype(int) if "seed" in frame else 0
    twice = frame.duplicated(["optimizer", "scale", "chinchilla_ratio", "seed"])
    if twice.any():
        line = int(twice.to_numpy().argmax()) + 2
        raise ValueError(f"{path}: line {line} repeats an optimizer, scale, ratio and seed; number the seeds")
    return [_row(path, line, row) for line, row in enumerate(frame.to_dict("records"), start=2)]


def _row(path: Path, line: int, row: dict[str, Any]) -> Record:
    scale, ratio, params = str(row["scale"]), float(row["chinchilla_ratio"]), row.get("num_params")
    if not ratio > 0 or row["optimizer"] != row["optimizer"]:
        raise ValueError(f"{path}: line {line}: an optimizer and a positive chinchilla_ratio are needed")
    shape = scales.SCALES.get(scale)
    if shape is None and (params is None or not params > 0):
        raise ValueError(
            f"{path}: line {line}: scale {scale!r} is not one of {', '.join(scales.SCALES)};"
            " add a column num_params (non-embedding)"
        )
    count = shape.num_params if shape else params
    optimizer = str(row["optimizer"])
    facts = study.facts().get(optimizer, {"title": optimizer})
    if isinstance(row.get("family"), str):
        facts = {**facts, "family": row["family"]}
    trial = Trial(
        optimizer=optimizer,
        rule=f"{optimizer}@published",
        scale=scale,
        chinchilla_ratio=ratio,
        tokens=round(tasks.TOKENS_PER_PARAMETER * float(count) * ratio),  # type: ignore[arg-type]
        steps=0,
        seq_len=shape.seq_len if shape else 0,
        vocab=shape.vocab if shape else 0,
        hyperparameters={"batch_size": 0} | {k[3:]: v for k, v in row.items() if k[:3] == "hp." and v == v},
        seed=int(row["seed"]),
        role="report",
        corpus=str(row.get("corpus", "not stated")),
        corpus_hash="not stated",
        tokenizer_hash="not stated",
        evaluation=Evaluation(sequences=0),
    )
    loss = _loss(row["val_loss"])
    if isinstance(row["val_loss"], str) and loss != loss:
        raise ValueError(
            f"{path}: line {line}: val_loss {row['val_loss']!r} is no number; leave it empty if diverged"
        )
    finished = loss == loss and abs(loss) != float("inf")
    return Record(
        trial=trial,
        status="finished" if finished else "diverged",
        reason="" if finished else "no finite loss given",
        purpose="imported",
        val_loss=loss if finished else None,
        facts=facts,
        environment={"source": path.name},
    )


def manifest(name: str, found: Sequence[Record]) -> dict[str, Any]:
    """An imported set as a sweep."""
    return {
        "name": name,
        "title": name,
        "published": True,
        "source": f"imported: {', '.join(sorted({str(r.environment['source']) for r in found}))}",
        "notes": ["imported results: not run by this project"],
        "baseline": "adamw",
        "corpus": found[0].trial.corpus,
        "optimizers": {r.trial.optimizer: {**r.facts, "rule": r.trial.rule} for r in found},
        **study.described(found),
    }
