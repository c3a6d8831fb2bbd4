"""Records on disk, and records as DataFrames: the seam between training and reading.

results/<sweep>/trials/<trial_id>.json   one record a file, written once and never changed
results/<sweep>/trials.jsonl             an archive: the same, one record a line, for committed results
results/<sweep>/sweep.json               the sweep's manifest: what was asked, what was chosen, what it cost

Needs neither jax nor torch nor ray.
"""

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark import files, machine, manifests, scales, timing, validate
from benchmark.data import sources
from benchmark.files import write_atomically
from benchmark.recorded import record_from_json
from benchmark.spec import Record


def save(record: Record, sweep_dir: Path) -> Path:
    """Write one record to its place. A finished record that is already there is kept: it is never replaced."""
    path = sweep_dir / "trials" / f"{record.trial.trial_id}.json"
    if path.exists():
        with contextlib.suppress(ValueError):  # damaged: the new record heals it
            if read(path).status == "finished":
                return path
    write_atomically(path, record.to_json() + "\n")
    return path


def read(path: Path) -> Record:
    """The record of a file that is named by its trial. Raises ValueError that names the file and says what is
    wrong with it."""
    try:
        record = record_from_json(files.content(path, files.LONGEST_LINE))
        if record.trial.trial_id != path.stem:
            raise ValueError(f"it holds the record {record.trial.trial_id}")
    except ValueError as error:
        raise ValueError(f"{files.name(path)}: {error}") from None
    return record


def records(
    results: Path, damaged: list[str] | None = None, archives: bool = True
) -> Iterator[tuple[str, Record]]:
    """Yield (sweep, record) for every record below `results`, each trial once, in a stable order.

    A damaged record is skipped and a line about it appended to `damaged`: one bad file must not hide the
    rest. A finished record wins over a failed one of the same trial. `results` may also be one sweep's own
    folder. Without `archives` only record files count: what was run here, not what came with the checkout.
    Raises ValueError if `results` is not a folder.
    """
    if not results.is_dir():
        raise ValueError(f"no results folder at {results}; run a sweep first, or name another with --results")
    told = [] if damaged is None else damaged
    best: dict[str, tuple[Path, Record]] = {}
    for folder, text, source in _texts(results, told, archives):
        try:
            record = record_from_json(text)
        except ValueError as error:
            told.append(f"{source}: {error}")
            continue
        key = record.trial.trial_id
        place, known = best.get(key, (folder, record))
        if key not in best or (known.status == "failed" and record.status != "failed"):
            best[key] = (folder, record)
        elif place == folder and known.val_loss != record.val_loss and record.status != "failed":
            told.append(f"{source}: another outcome of record {key}; the first one counts")
    yield from ((_name(folder), record) for folder, record in best.values())


def _texts(results: Path, damaged: list[str], archives: bool) -> Iterator[tuple[Path, bytes, str]]:
    """(sweep folder, text of one record, where it stands) for everything that should be a record."""
    for folder in _sweep_folders(results, damaged):
        for name in _listed(folder / "trials", damaged):
            path = folder / "trials" / name
            if path.suffix == ".json" and not name.startswith("."):  # some systems put notes beside files
                try:
                    yield folder, files.content(path, files.LONGEST_LINE), files.name(path)
                except ValueError as error:
                    damaged.append(f"{files.name(path)}: {error}")
        archive = folder / "trials.jsonl"
        if archives and os.path.lexists(archive):
            try:
                for number, line in files.lines(archive):
                    if isinstance(line, ValueError):
                        damaged.append(f"{files.name(archive)}: line {number}: {line}")
                    else:
                        yield folder, line, f"{files.name(archive)}: line {number}"
            except ValueError as error:
                damaged.append(f"{files.name(archive)}: {error}")


def holds_records(results: Path) -> bool:
    """Whether a folder has anything for `records` to read."""
    return any(
        (folder / "trials.jsonl").is_file() or any((folder / "trials").glob("*.json"))
        for folder in _sweep_folders(results)
    )


def _listed(folder: Path, damaged: list[str]) -> list[str]:
    """The names in a folder, sorted; none where it is not there."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        damaged.append(f"{files.name(folder)}: cannot be read ({error.strerror})")
        return []


def _sweep_folders(results: Path, damaged: list[str] | None = None) -> list[Path]:
    """Where a sweep may lie: in the folder itself, or in one below it whose name can be shown."""
    told, found = [] if damaged is None else damaged, [results]
    for name in _listed(results, told):
        try:
            if (results / name).is_dir():
                validate.name(name)
                found.append(results / name)
        except OSError as error:
            told.append(f"{files.name(results / name)}: cannot be read ({error.strerror})")
        except ValueError as error:
            told.append(f"{files.name(results / name)}: the folder's name {error}")
    return found


def _name(folder: Path) -> str:
    """A sweep's name: its folder's, also where that is given as "."."""
    return folder.name or folder.resolve().name


def compact(sweep_dir: Path) -> Path:
    """Gather a sweep's record files into one `trials.jsonl` (by id) and remove them; for committed results."""
    folder = sweep_dir / "trials"
    target = sweep_dir / "trials.jsonl"
    lines: dict[str, str] = {}
    for number, line in files.lines(target) if target.exists() else ():
        try:
            if isinstance(line, ValueError):
                raise line
            lines[record_from_json(line).trial.trial_id] = line.decode().strip()
        except ValueError as error:
            raise ValueError(f"{files.name(target)}: line {number}: {error}") from None
    for path in sorted(folder.glob("*.json")):
        record = read(path)
        lines[record.trial.trial_id] = record.to_json()
    write_atomically(target, "".join(lines[key] + "\n" for key in sorted(lines)))
    for path in folder.glob("*.json"):
        path.unlink()
    return target


MEASUREMENTS = "bench"  # the folder of figures of how fast the benchmark itself is, which are no sweep
# One corpus, one backend, one precision: losses of different experiments are not compared.
SAME = [
    "corpus", "corpus_hash", "tokenizer_hash", "eval_corpus_hash",
    "backend", "precision", "experiment", "eval_split",
]  # fmt: skip
RUN = ["optimizer", "scale", "chinchilla_ratio", "search", "seed"]
LOSS_COLUMNS = [*RUN, "val_loss", "task", "status", "reason", "trial_id"]


@dataclass(frozen=True)
class Results:
    """Everything below a results folder.

    runs: one row per record. Columns: trial_id, sweep (its folder), optimizer, rule, scale, num_params,
        chinchilla_ratio, task, tokens, steps, batch_size, seed, use, status, reason, purpose, val_loss
        (of a report run: its test loss), bits_per_byte, train_loss, data_epochs, corpus, corpus_hash,
        tokenizer_hash, eval_corpus, eval_corpus_hash, backend, precision, experiment, eval_split, machine,
        cpu_type, conditions (those of benchmark/machine.py), gradients_per_step, finished_at, every field of
        `Cost`, and `hp.<hyperparameter>` for each hyperparameter (missing where an optimizer has none such).
    curves: one row per evaluation along a run: trial_id, optimizer, scale, chinchilla_ratio, task, seed,
        use, step, fraction (of the run), tokens, seconds, val_loss.
    sweeps: the manifests by sweep name; a manifest's `trial_ids` says which runs are that sweep's.
    damaged: one line for each record, file or folder that could not be used.
    step_times: by sweep name, those that were measured in turns with the baseline's (`timing.read`).
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    sweeps: Mapping[str, Mapping[str, Any]]
    damaged: tuple[str, ...]
    by_id: Mapping[str, Record]
    step_times: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def load(results: str | Path) -> Results:
    """Read a results folder, or one sweep's own. Raises ValueError if it is not there; damaged records are
    listed, not fatal."""
    results = Path(results)
    damaged: list[str] = []
    pairs = list(records(results, damaged))
    runs = pd.DataFrame([_run_row(sweep, record) for sweep, record in pairs])
    curves = pd.DataFrame([row for _, record in pairs for row in _curve_rows(record)])
    sweeps = {}
    for path in (folder / "sweep.json" for folder in _sweep_folders(results)):
        figures = path.parent.name == MEASUREMENTS and not any(sweep == MEASUREMENTS for sweep, _ in pairs)
        if figures or not os.path.lexists(path):
            continue
        try:
            manifest, without = manifests.read(files.content(path))
            if isinstance(corpus := manifest.get("corpus"), str):  # which once was a path
                manifest = {**manifest, "corpus": sources.shown(corpus)}
            sweeps[_name(path.parent)] = manifest
            damaged += [f"{files.name(path)}: {problem}" for problem in without]
        except ValueError as error:
            damaged.append(f"{files.name(path)}: not a sweep manifest ({error})")
    folders = [folder for folder in _sweep_folders(results) if (folder / timing.FILE).parent.is_dir()]
    step_times = {_name(folder): timing.read(folder, damaged) for folder in folders}
    return Results(runs, curves, sweeps, tuple(damaged), {r.trial.trial_id: r for _, r in pairs}, step_times)


def skipped(damaged: Sequence[str]) -> str:
    """One line for what was left out of a results folder; empty where nothing was."""
    if not damaged:
        return ""
    more = f"; and {len(damaged) - 1:,} more" if len(damaged) > 1 else ""
    return f"skipped {len(damaged):,} of what is in the results, the rest is used: {damaged[0]}{more}"


def _run_row(sweep: str, record: Record) -> dict[str, Any]:
    trial = record.trial
    row: dict[str, Any] = {
        "trial_id": trial.trial_id,
        "sweep": sweep,
        "optimizer": trial.optimizer,
        "rule": trial.rule,
        "scale": trial.scale,
        "num_params": scales.SCALES[trial.scale].num_params if trial.scale in scales.SCALES else None,
        "chinchilla_ratio": trial.chinchilla_ratio,
        "task": trial.task,
        "tokens": trial.tokens,
        "steps": trial.steps,
        "batch_size": trial.batch_size,
        "seed": trial.seed,
        "use": trial.use,
        "status": record.status,
        "reason": record.reason,
        "purpose": record.purpose,
        "val_loss": record.val_loss,
        "bits_per_byte": record.bits_per_byte,
        "train_loss": record.train_loss,
        "data_epochs": record.data_epochs,
        "corpus": sources.shown(trial.corpus),
        "corpus_hash": trial.corpus_hash,
        "tokenizer_hash": trial.tokenizer_hash,
        "eval_corpus": sources.shown(trial.eval_corpus),
        "eval_corpus_hash": trial.eval_corpus_hash,
        "backend": trial.backend,
        "precision": trial.precision,
        "experiment": trial.experiment,
        "eval_split": trial.evaluation.split,
        "machine": machine.machine(record.environment),
        "cpu_type": machine.cpu_type(record.environment),
        "conditions": machine.conditions(record.environment),
        "gradients_per_step": _gradients(record),
        "finished_at": record.finished_at,
    }
    row.update(asdict(record.cost))
    row.update({f"hp.{name}": value for name, value in trial.hyperparameters.items()})
    return row


def _gradients(record: Record) -> float:
    """Gradients of the batch that a step evaluates, a loss alone a third of one. Where an old record does not
    say: one for an optimizer of the registry, as all of them had, and NaN for a user's."""
    said = record.facts.get("gradients_per_step")
    if isinstance(said, int | float):
        return float(said)
    return 1.0 if "@" in record.trial.rule else np.nan


def _curve_rows(record: Record) -> Iterator[dict[str, Any]]:
    trial = record.trial
    for point in record.curve:
        yield {
            "trial_id": trial.trial_id,
            "optimizer": trial.optimizer,
            "scale": trial.scale,
            "chinchilla_ratio": trial.chinchilla_ratio,
            "task": trial.task,
            "seed": trial.seed,
            "use": trial.use,
            "fraction": point.step / trial.steps,
            **asdict(point),
        }


def report_losses(
    runs: pd.DataFrame,
    trial_ids: Collection[str] | None = None,
    corpus: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    searches: Mapping[str, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """The report runs as a losses frame, what every comparison rests on.

    val_loss is inf for a diverged run and NaN for a failed one: both stay rows, because a gap would hide them.

    trial_ids: the runs of one sweep, as its manifest lists them; all if None.
    corpus, backend, precision: keep these only.
    searches: trial id -> the searches of its cell whose winner it ran: several where they chose alike. A run
        that is not in it is of search 0.

    Also returns task, status, reason and trial_id. Raises ValueError where the runs left are not of one
    experiment, or where two of them are the same optimizer, task and seed with different settings.
    """
    wanted = (runs["use"] == "report").to_numpy()
    if trial_ids is not None:
        wanted = wanted & runs["trial_id"].isin(list(trial_ids)).to_numpy()
    for column, value in (("corpus", corpus), ("backend", backend), ("precision", precision)):
        if value is not None:
            wanted = wanted & (runs[column] == value).to_numpy()
    chosen = runs.loc[wanted].drop_duplicates(["trial_id", *SAME])  # the same run twice is one run
    for column in SAME:
        found = sorted({str(v) for v in chosen[column]})
        if len(found) > 1:
            raise ValueError(
                f"report runs differ in {column} ({', '.join(found)}) and cannot be compared; choose one, "
                "or pass one sweep's trial_ids"
            )
    owners = [tuple((searches or {}).get(i) or (0,)) for i in chosen["trial_id"]]
    chosen = chosen.assign(search=owners).explode("search", ignore_index=True).astype({"search": int})
    twice = chosen.duplicated(RUN).to_numpy()
    if twice.any():
        first = chosen.iloc[int(twice.argmax())]
        raise ValueError(
            f"{first['optimizer']} on {first['task']} has two report runs of seed {first['seed']} with "
            "different settings; pass the trial_ids of one sweep"
        )
    loss = chosen["val_loss"].to_numpy(float, na_value=np.nan)
    status = chosen["status"].to_numpy(str)
    loss = np.where(status == "diverged", np.inf, np.where(status == "failed", np.nan, loss))
    return chosen.assign(val_loss=loss).reindex(columns=LOSS_COLUMNS).sort_values(by=RUN, ignore_index=True)
