"""Anyone's results as records: a folder of the study's result.json files, or a plain CSV of losses.

What a source does not say (cost, order, hyperparameters) stays empty; a batch size of 0 is one not stated.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark import scales, tasks
from benchmark.published import fantastic
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
            problem = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path}: not a result.json of the study ({problem})") from None
    if not found:
        raise ValueError(f"no OPTIMIZER/SCALE/RATIO/result.json below {folder}")
    return list(found.values())


def _cell(path: Path, body: dict[str, Any]) -> Iterator[Record]:
    tag, scale, ratio = path.parts[-4:-1]
    optimizer, ratio = OPTIMIZERS.get(tag, tag), _positive("ratio", ratio)
    facts = fantastic.facts().get(optimizer, {"title": optimizer})
    config = _config(body["best_config"])
    if "batch_size" not in config:
        raise KeyError("train_batch_size")
    runs = [(_loss(body["baseline"]["loss"]), config, "ground state")]
    for step in body["ablations"]:
        change = _config({step["param"]: step["value"]})
        runs.append((_loss(step["loss"]), {**config, **change}, f"{next(iter(change))} ablation"))
    for loss, setting, purpose in runs:
        yield fantastic.record(
            fantastic.trial(optimizer, scale, ratio, setting, "tuning"), loss, purpose, facts
        )
    lowest = body["min_loss"]
    best = next((h for loss, h, _ in runs if loss == lowest), {"batch_size": 0})  # 0: not stated
    trial = fantastic.trial(optimizer, scale, ratio, best, "report")
    yield fantastic.record(trial, _loss(lowest), "lowest loss of any run", facts)


def _loss(loss: float | str | None) -> float:
    """The study writes "NaN" or null for the loss of a run that diverged."""
    return float("nan") if loss is None else _number("loss", str(loss))


def _config(raw: dict[str, Any]) -> dict[str, Value]:
    """Our names; numbers to ten digits, because the files print 1e-25 as 9.999999999999999e-26."""
    plain: dict[str, Value] = {}
    for name, value in raw.items():
        if name != "nesterov":  # constant for an optimizer: part of its rule
            ours = RENAMED.get(name, name)
            text = value if ours == "decay_kind" else _number(name, str(value))
            plain[ours] = text if isinstance(text, str) else float(f"{text:.10g}")
    return plain


def from_csv(path: Path) -> list[Record]:
    """Report records from a CSV with columns optimizer, scale, chinchilla_ratio, val_loss.

    Optional: seed (default 0), corpus (one a file), family ("scalar" or "matrix"), `hp.<hyperparameter>`, and
    num_params (non-embedding), which a scale that is not on our ladders needs. An empty, NaN or infinite
    val_loss is a diverged run. Raises ValueError that names the file, the line and what to do.
    """
    found: dict[tuple[object, ...], Record] = {}
    for line, row in _rows(path):
        try:
            one = _row(path, row)
        except ValueError as error:
            raise ValueError(f"{path}: line {line}: {error}") from None
        run = (one.trial.optimizer, one.trial.scale, one.trial.chinchilla_ratio, one.trial.seed)
        if run in found:
            raise ValueError(
                f"{path}: line {line} repeats an optimizer, scale, ratio and seed; number the seeds,"
                " or leave one of the two out"
            )
        found[run] = one
    corpora = sorted({one.trial.corpus for one in found.values()})
    if len(corpora) > 1:
        raise ValueError(f"{path}: {len(corpora)} corpora ({', '.join(corpora)}); give each a file of its own")
    return list(found.values())


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column, without surrounding blanks."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV ({error})") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if not lines:
        raise ValueError(f"{path}: not a CSV (it is empty); its first line names the columns")
    (_, header), *rest = lines
    absent = [name for name in REQUIRED if name not in header]
    twice = [name for name in header if header.count(name) > 1]
    if absent or twice or not rest:
        problem = f"no column {absent[0]!r}" if absent else f"two columns {twice[0]!r}" if twice else "no rows"
        raise ValueError(f"{path}: {problem}; give every run a row with {', '.join(REQUIRED)}")
    for line, cells in rest:
        if len(cells) != len(header):
            raise ValueError(f"{path}: line {line} has {len(cells)} cells, but the header names {len(header)}")
        yield line, dict(zip(header, cells, strict=True))


def _row(path: Path, row: dict[str, str]) -> Record:
    optimizer, scale = row["optimizer"], row["scale"]
    if not optimizer or not scale:
        raise ValueError(f"no {'scale' if optimizer else 'optimizer'} is named")
    ratio, shape = _positive("chinchilla_ratio", row["chinchilla_ratio"]), scales.SCALES.get(scale)
    if shape is None and not row.get("num_params"):
        known = ", ".join(scales.SCALES)
        raise ValueError(f"scale {scale!r} is not one of {known}; add a column num_params (non-embedding)")
    count = float(shape.num_params) if shape else _positive("num_params", row["num_params"])
    facts = fantastic.facts().get(optimizer, {"title": optimizer})
    if family := row.get("family"):
        if family not in ("scalar", "matrix"):
            raise ValueError(f"family {family!r} is neither scalar nor matrix")
        facts = {**facts, "family": family}
    trial = Trial(
        optimizer=optimizer,
        rule=f"{optimizer}@published",
        scale=scale,
        chinchilla_ratio=ratio,
        tokens=round(tasks.TOKENS_PER_PARAMETER * count * ratio),
        steps=0,
        seq_len=shape.seq_len if shape else 0,
        vocab=shape.vocab if shape else 0,
        hyperparameters={"batch_size": 0} | {k[3:]: _value(v) for k, v in row.items() if k[:3] == "hp." and v},
        seed=_seed(row.get("seed") or "0"),
        role="report",
        corpus=row.get("corpus") or "not stated",
        corpus_hash="not stated",
        tokenizer_hash="not stated",
        evaluation=Evaluation(sequences=0),
        experiment=fantastic.EXPERIMENT,
    )
    loss = _number("val_loss", row["val_loss"] or "nan")
    if loss <= 0:
        raise ValueError(f"val_loss {row['val_loss']} is no loss in nats per token, which is positive")
    finished = loss < float("inf")
    return Record(
        trial=trial,
        status="finished" if finished else "diverged",
        reason="" if finished else "no finite loss given",
        purpose="imported",
        val_loss=loss if finished else None,
        facts=facts,
        environment={"source": path.name},
    )


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = "; leave it empty if the run diverged" if column == "val_loss" else ""
        raise ValueError(f"{column} {text!r} is no number{hint}") from None


def _positive(column: str, text: str) -> float:
    value = _number(column, text) if text else float("nan")
    if not 0 < value < float("inf"):
        raise ValueError(f"a positive {column} is needed, not {text!r}")
    return value


def _seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]+(\.0*)?", text):
        raise ValueError(f"seed {text!r} is no whole number")
    return int(float(text))


def _value(text: str) -> Value:
    """A hyperparameter: a finite number where it is one."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if abs(value) < float("inf") else text


def manifest(name: str, found: Sequence[Record], baseline: str = "adamw") -> dict[str, Any]:
    """An imported set as a sweep. Raises ValueError where nothing is of the baseline."""
    names = sorted({r.trial.optimizer for r in found})
    if baseline not in names:
        raise ValueError(
            f"no losses of the baseline {baseline!r}; there are {', '.join(names)}: name one with --baseline"
        )
    return {
        "name": name,
        "title": name,
        "published": True,
        "source": f"imported: {', '.join(sorted({str(r.environment['source']) for r in found}))}",
        "notes": ["imported results: not run by this project"],
        "baseline": baseline,
        "corpus": found[0].trial.corpus,
        "optimizers": {r.trial.optimizer: {**r.facts, "rule": r.trial.rule} for r in found},
        **fantastic.described(found),
    }
