"""Logs of modded-nanogpt's track 3 (fewest steps to a validation loss of 3.28) as runs.

A log is the script that ran, a line of ====, and a line for each evaluation:

    step:125/3325 val_loss:4.84530 train_time:198.159s step_avg:1585.27ms

Data, batch and architecture are fixed by the track; where a log's script states them, they are read from it. An
optimizer's runs have as many steps as it needs, so that each has a ratio of its own: what such logs compare is
steps at one loss, which is printed. Speedups need the baseline at several lengths.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmark.published import runs, sheet, sizes
from benchmark.published.numbers import shown
from benchmark.published.runs import Imported, Run
from benchmark.spec import Point
from benchmark.tasks import TOKENS_PER_PARAMETER

TARGET = 3.28  # the track's
BATCH_TOKENS = 8 * 64 * 1024  # a step's, fixed by the track; a log's script says the same
LAYERS, WIDTH, SEQ_LEN = 12, 768, 1024  # fixed by the track
SCALE = "modded-track3"
_NUMBER = r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf)"
_LINE = re.compile(
    rf"^step:(?P<step>[0-9]{{1,12}})/(?P<steps>[0-9]{{1,12}})\s+val_loss:(?P<loss>{_NUMBER})"
    rf"(?:\s+train_time:(?P<time>{_NUMBER})(?P<unit>ms|s))?",
    re.MULTILINE | re.IGNORECASE,
)
_SHAPE = re.compile(r"GPT\(vocab_size=([0-9]+), num_layers=([0-9]+), model_dim=([0-9]+)\)")
_BATCH = re.compile(r"^batch_size = ([0-9 *]{1,40})", re.MULTILINE)
_SEED = re.compile(r"^(?:Using seed=|SEED = )([0-9]{1,18})", re.MULTILINE)
_TORCH = re.compile(r"^Running PyTorch ", re.MULTILINE)


@dataclass(frozen=True)
class Shape:
    """What a log's script says of model and batch; the track's own where it says nothing."""

    vocab: int
    num_params: int
    batch_tokens: int


def from_logs(path: Path, optimizer: str = "") -> Imported:
    """A log, or a folder of logs with a folder for each optimizer, as runs.

    optimizer: whose the logs are, for a single log or a folder of them; else the folder's name less its date.
    Raises ValueError where no log is there, and for a single log without a name.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".txt", ".log"))
    if not files:
        raise ValueError(f"{path}: no logs there (.txt or .log)")
    found, contents, skipped = [], [], []
    for file in files:
        raw = sheet.content(file)
        text = raw.decode("utf-8", errors="replace")
        lines = list(_LINE.finditer(text))
        if not lines:
            skipped.append(file.name)
            continue
        contents.append(raw)
        where = str(file.relative_to(path)) if file != path else file.name
        found.append(_run(where, _name(file, path, optimizer), text, lines))
    if not found:
        raise ValueError(f"{path}: no line 'step:N/M val_loss:X train_time:Ts'; is this a log of track 3?")
    numbered, lacks = _numbered(found)
    settled, _ = sizes.settled(numbered, join=False)
    unique, said = runs.once(settled)
    of = runs.identity("modded-nanogpt", contents, {"optimizer": optimizer, "where": [r.where for r in unique]})
    return Imported(
        source=path.name,
        identity=of,
        records=runs.records(unique, path.name, of, lacks),
        said=[
            f"{len(found)} logs",
            *([f"no log: {', '.join(skipped[:5])}"] if skipped else []),
            *said,
            *_steps(unique),
        ],
        notes=[
            "each optimizer ran as many steps as it needs for a loss of 3.28: steps at that loss compare, and"
            " losses only where the number of steps is the same",
            "an optimizer's number of steps was chosen on the validation loss that is shown",
            *_steps(unique),
        ],
        lacks=lacks,
        sizes={r.scale: r.num_params or 0.0 for r in unique},
    )


def _name(file: Path, path: Path, optimizer: str) -> str:
    """Whose log it is: as said, else by its folder (`20260430_muonh` is muonh)."""
    if optimizer:
        return runs.named(optimizer)
    if file == path:
        raise ValueError(f"{path}: a log does not name its optimizer; say it with --given optimizer=NAME")
    folder = file.parent.name if file.parent != path else path.resolve().name
    return runs.named(re.sub(r"^[0-9]{8}[_-]", "", folder) or folder)


def _run(where: str, optimizer: str, text: str, lines: Sequence[re.Match[str]]) -> Run:
    shape, seed = _shape(where, text), _SEED.search(text)
    steps = int(lines[-1]["steps"])
    points = [p for p in (_point(line, shape.batch_tokens) for line in lines) if math.isfinite(p.val_loss)]
    last = lines[-1]
    loss, ended = float(last["loss"]), int(last["step"]) == steps
    backend: Literal["torch", ""] = "torch" if _TORCH.search(text) else ""
    tokens = steps * shape.batch_tokens
    return Run(
        where=where,
        optimizer=optimizer,
        loss=loss if ended or not math.isfinite(loss) else math.nan,
        scale=SCALE,
        num_params=shape.num_params,
        ratio=float(f"{tokens / (TOKENS_PER_PARAMETER * shape.num_params):.5g}") or None,
        tokens=tokens,
        seed=int(seed[1]) if seed else None,
        steps=steps,
        status="finished" if ended or not math.isfinite(loss) else "failed",
        reason="" if ended or not math.isfinite(loss) else f"the log ends at step {last['step']} of {steps}",
        corpus="fineweb10B" if "fineweb10B" in text else "",
        seq_len=SEQ_LEN,
        vocab=shape.vocab,
        backend=backend,
        settings={"batch_size": shape.batch_tokens // SEQ_LEN},
        curve=tuple(points),
    )


def _point(line: re.Match[str], batch_tokens: int) -> Point:
    seconds = float(line["time"] or 0) / (1000 if line["unit"] == "ms" else 1)
    step = int(line["step"])
    return Point(step, step * batch_tokens, seconds, float(line["loss"]))


def _shape(where: str, text: str) -> Shape:
    match, batch = _SHAPE.search(text), _BATCH.search(text)
    vocab, layers, width = map(int, match.groups()) if match else (0, LAYERS, WIDTH)
    tokens = math.prod(int(part) for part in batch[1].split("*") if part.strip()) if batch else BATCH_TOKENS
    num_params = layers * 12 * width * width  # attention 4 w^2, an MLP of 4 w without a gate 8 w^2
    if not 0 < num_params < 10**15 or not 0 < tokens < 10**12:
        raise ValueError(f"{where}: {shown(match[0] if match else '')}: sizes that no model has")
    return Shape(vocab, num_params, tokens)


def _numbered(found: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Runs with a seed each, and what no log states; where one has no seed, all are numbered by file."""
    lacks = runs.lacking(found)
    if all(r.seed is not None for r in found):
        return list(found), lacks
    counts: dict[tuple[str, int], int] = {}
    out = []
    for r in found:
        number = counts.get((r.optimizer, r.steps), 0)
        counts[r.optimizer, r.steps] = number + 1
        out.append(replace(r, seed=number))
    return out, list(dict.fromkeys(["seed", *lacks]))


def _steps(found: Sequence[Run]) -> list[str]:
    """For each optimizer and number of steps: how many runs, their mean loss, and whether it is the target."""
    groups: dict[tuple[int, str], list[float]] = {}
    for r in found:
        groups.setdefault((r.steps, r.optimizer), []).append(r.loss)
    said = []
    for (steps, name), losses in sorted(groups.items()):
        finite = [v for v in losses if math.isfinite(v)]
        mean = statistics.fmean(finite) if finite else math.nan
        reached = "at or below" if mean <= TARGET else "above"
        lost = f", {len(losses) - len(finite)} without a final loss" if len(finite) < len(losses) else ""
        said.append(
            f"{name}: {steps:,} steps, mean loss {mean:.4f} (n = {len(finite)}{lost}), {reached} {TARGET}"
        )
    return said
