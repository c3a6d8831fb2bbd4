"""AlgoPerf's logs (`measurements.csv`, `eval_measurements.csv`) as runs: of its language model alone.

The files lie in SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_N/. A row is an evaluation: global_step, score
(seconds of training), and losses such as validation/loss; rows without one are training steps. Of its workloads
only finewebedu_lm is a language model whose loss is one of ours; the others are counted and left out, and what
they are compared by, the time to a target, is not what this project compares.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from benchmark.published import runs, sheet, sizes
from benchmark.published.numbers import number, quantity, shown
from benchmark.published.runs import Imported, Run
from benchmark.spec import Point

FILES = (
    "eval_measurements.csv",
    "measurements.csv",
)  # the first one there is read: it has the evaluations alone
LANGUAGE_MODEL = "finewebedu_lm"
LAYERS, WIDTH, MLP, SEQ_LEN, VOCAB = 12, 1024, 4096, 1024, 50257  # of that workload
NUM_PARAMS = LAYERS * (3 * WIDTH * MLP + 4 * WIDTH * WIDTH)
BACKENDS = {"jax": "jax", "pytorch": "torch"}
_WORKLOAD = re.compile(r"(?P<name>.+)_(?P<framework>jax|pytorch)")


@dataclass(frozen=True)
class Trial:
    """One trial's evaluations. points: (step, seconds of training, loss). study, number: as its folders say."""

    where: str
    submission: str
    workload: str
    framework: str
    study: int
    number: int
    points: Sequence[tuple[int, float, float]]


def from_algoperf(path: Path, given: Mapping[str, str]) -> Imported:
    """A file, or everything below a folder, as runs: of each study the best trial is its report run.

    given: `optimizer` (else the submission's folder), `workload` (else the folder), and `batch_size` in
    sequences, which the files do not state and without which no number of tokens is known. Raises ValueError.
    """
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise ValueError(f"{path}: no {' or '.join(FILES)} below it")
    read = [(file, sheet.content(file)) for file in files]
    trials = [t for file, raw in read for t in _trials(file, path, raw, given)]
    lm = [t for t in trials if t.workload == LANGUAGE_MODEL]
    left = sorted({t.workload for t in trials} - {LANGUAGE_MODEL})
    said = [f"{len(trials)} trials of {len({t.workload for t in trials})} workloads", *_steps(trials)]
    if left:
        said.append(f"left out, no language model's loss: {', '.join(left)}")
    if not lm:
        raise ValueError(
            f"{path}: no trial of {LANGUAGE_MODEL}, AlgoPerf's language model; {', '.join(left) or 'nothing'}"
            " has no loss of a language model to compare (--given workload=NAME names a single file's)"
        )
    found = _runs(lm, _batch(path, given))
    settled, joined = sizes.settled(found)
    unique, lines = runs.once(settled)
    lacks = runs.lacking(unique)
    of = runs.identity("algoperf", [raw for _, raw in read], {**given, "where": [t.where for t in trials]})
    return Imported(
        source=path.name,
        identity=of,
        records=runs.records(unique, path.name, of, lacks),
        said=[*said, *joined, *lines],
        notes=[
            "AlgoPerf compares the time to a target; these are the losses at the end of a run, of its language"
            " model alone",
            "of each study the trial with the lowest validation loss is reported: it was chosen on that loss",
            "the batch size was stated by whoever imported this",
            *([f"left out, no language model's loss: {', '.join(left)}"] if left else []),
        ],
        lacks=lacks,
        sizes={r.scale: r.num_params or 0.0 for r in unique},
        caveats=["lowest of its study's trials"],
    )


def _files(folder: Path) -> list[Path]:
    """One file for each folder that has any."""
    folders = sorted({p.parent for name in FILES for p in folder.rglob(name)})
    return [next(f / name for name in FILES if (f / name).is_file()) for f in folders]


def _trials(file: Path, path: Path, raw: bytes, given: Mapping[str, str]) -> list[Trial]:
    table = sheet.read(file, raw)
    parts = file.resolve().parts
    studies = [i for i, p in enumerate(parts) if re.fullmatch(r"study_[0-9]{1,9}", p)]
    match = next((m for p in reversed(parts) if (m := _WORKLOAD.fullmatch(p))), None)
    at = {name: i for i, name in enumerate(table.header)}
    where = str(file.relative_to(path)) if file != path else file.name
    prefixes = sorted({h.removesuffix("global_step") for h in table.header if h.endswith("global_step")})
    if not prefixes:
        raise ValueError(f"{file}: no column global_step; there are {', '.join(table.header[:12])}")
    submission = given.get("optimizer") or (parts[studies[-1] - 1] if studies and studies[-1] else "")
    out = []
    for prefix in prefixes:
        workload = prefix.strip("/") or given.get("workload", "") or (match["name"] if match else "")
        if not workload or not submission:
            what = "workload" if not workload else "optimizer"
            raise ValueError(f"{file}: its folders do not name the {what}; say it with --given {what}=NAME")
        named = _WORKLOAD.fullmatch(workload)
        out.append(
            Trial(
                where=where,
                submission=runs.named(submission),
                workload=named["name"] if named else workload,
                framework=named["framework"] if named else match["framework"] if match else "",
                study=int(parts[studies[-1]].removeprefix("study_")) if studies else 0,
                number=next((int(p[6:]) for p in reversed(parts) if re.fullmatch(r"trial_[0-9]{1,9}", p)), 1),
                points=_points(file, table, at, prefix),
            )
        )
    return out


def _points(
    file: Path, table: sheet.Sheet, at: Mapping[str, int], prefix: str
) -> list[tuple[int, float, float]]:
    """(step, seconds, validation loss) of the rows that have a loss; none where there is no such column."""
    loss = at.get(f"{prefix}validation/loss")
    if loss is None:
        return []
    clock = at.get(f"{prefix}score", at.get(f"{prefix}accumulated_submission_time"))
    found = []
    for line, cells in table.rows:
        if not cells[loss]:
            continue
        try:
            step = number(cells[at[f"{prefix}global_step"]])
            seconds = number(cells[clock]) if clock is not None and cells[clock] else 0.0
            value = number(cells[loss])
        except ValueError as error:
            raise ValueError(f"{file}: line {line}: {error}") from None
        if not 0 <= step < 2**53:
            raise ValueError(f"{file}: line {line}: global_step {step:g} is no number of steps")
        found.append((int(step), seconds, value))
    return sorted(found, key=lambda p: p[0])


def _batch(path: Path, given: Mapping[str, str]) -> int:
    text = given.get("batch_size", "")
    try:
        value = quantity(text) if text else 0.0
    except ValueError:
        value = -1.0
    if not text or not 1 <= value < 2**40 or value != int(value):
        what = f"{shown(text)} is none" if text else "the files do not state it"
        raise ValueError(f"{path}: tokens need the batch size in sequences, and {what}: --given batch_size=256")
    return int(value)


def _runs(trials: Sequence[Trial], batch: int) -> list[Run]:
    """The best trial of each study, by where it ended; its settings are in no file."""
    studies: dict[tuple[str, int], list[Trial]] = {}
    for t in trials:
        if not t.points or not t.points[-1][0]:
            raise ValueError(f"{t.where}: no step was taken" if t.points else f"{t.where}: no validation/loss")
        studies.setdefault((t.submission, t.study), []).append(t)
    return [_run(_best(own), len(own), batch) for own in studies.values()]


def _best(own: Sequence[Trial]) -> Trial:
    return min(own, key=lambda t: (not math.isfinite(t.points[-1][2]), t.points[-1][2]))


def _run(best: Trial, of: int, batch: int) -> Run:
    steps, _, loss = best.points[-1]
    points = [(s, seconds, v) for s, seconds, v in best.points if math.isfinite(v)]
    return Run(
        where=best.where,
        optimizer=best.submission,
        loss=loss,
        scale=LANGUAGE_MODEL,
        num_params=NUM_PARAMS,
        tokens=steps * batch * SEQ_LEN,
        seed=best.study,
        steps=steps,
        purpose=f"trial {best.number}, the lowest of {of} of study {best.study}",
        settings={"batch_size": batch},
        corpus="fineweb-edu",
        seq_len=SEQ_LEN,
        vocab=VOCAB,
        backend=cast(Literal["jax", "torch", ""], BACKENDS.get(best.framework, "")),
        curve=tuple(Point(s, s * batch * SEQ_LEN, seconds, v) for s, seconds, v in points),
    )


def _steps(trials: Sequence[Trial]) -> list[str]:
    """For each workload: its trials, and where the best of them ended."""
    said = []
    for workload in sorted({t.workload for t in trials}):
        own = [t for t in trials if t.workload == workload]
        ends = [t.points[-1] for t in own if t.points and math.isfinite(t.points[-1][2])]
        best = min(ends, key=lambda p: p[2]) if ends else None
        end = (
            f", lowest validation/loss {best[2]:.4f} after {best[0]:,} steps and {best[1]:,.0f} s"
            if best
            else ""
        )
        said.append(f"{workload}: {len(own)} trials{end}")
    return said
