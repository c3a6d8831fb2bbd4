"""Records on disk, and read from there as DataFrames: the seam between training and reading.

results/<sweep>/trials/<trial_id>.json   one record a file, written once and never changed
results/<sweep>/trials.jsonl             an archive: the same, one record a line, for committed results
results/<sweep>/sweep.json               the sweep's manifest: what was asked, what was chosen, what it cost

Needs neither jax nor torch nor ray.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import files, manifests, record_rows, timing, validate
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
    runs = pd.DataFrame([record_rows.run_row(sweep, record) for sweep, record in pairs])
    curves = pd.DataFrame([row for _, record in pairs for row in record_rows.curve_rows(record)])
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
