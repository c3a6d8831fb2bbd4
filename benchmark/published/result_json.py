"""The published study's own result files, OPTIMIZER/SCALE/RATIO/result.json, as records.

What a file does not say (cost, order) stays empty; a batch size of 0 is one not stated.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.published import fantastic
from benchmark.spec import Record, Value

RENAMED = {  # the published study's spelling -> ours
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
            raise ValueError(f"{path}: not a result.json of the published study ({problem})") from None
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
    """The published study writes "NaN" or null for the loss of a run that diverged."""
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


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{column} {text!r} is no number") from None


def _positive(column: str, text: str) -> float:
    value = _number(column, text) if text else float("nan")
    if not 0 < value < float("inf"):
        raise ValueError(f"a positive {column} is needed, not {text!r}")
    return value
