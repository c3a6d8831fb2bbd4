"""What is committed: trials which nobody has to run again, counted as if they had been.

Tuning: a search asks the same of an optimizer of the registry on every machine, so where a stage says so its
tuning trials are committed as records. Whatever is not among them, an optimizer of one's own above all, is run
like any trial. Report runs count only where they are asked for, by --reuse or by `challenge`, which looks
through the folder of results for every sweep that fits.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optimizers
from benchmark import store
from benchmark.spec import Record, canonical
from optimizers.shared.copies import split
from sweeps.search.sweep import Sweep

ROOT = Path(__file__).parents[2] / "results" / "reference"  # not in a wheel: the tuning is then run
# what must be alike in two manifests, so that a trial of one is a trial of the other
_SAME = ("name", "baseline", "corpus_hash", "tokenizer_hash", "backend", "precision")
_SAME_PROTOCOL = ("search", "searches", "tuning_seeds", "salt", "band", "min_steps")


@dataclass(frozen=True)
class Reference:
    """Finished sweeps that a sweep can be set beside.

    folders: where their records lie. seeds: their report seeds. reported: task -> the optimizers whose report
    runs on it are all there, under the rule that they have today.
    """

    folders: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()
    reported: Mapping[str, frozenset[str]] = field(default_factory=dict)


def records(sweep: Sweep, root: Path = ROOT) -> Iterator[Record]:
    """The committed tuning records of the stages that have some; none without such a stage or folder."""
    tasks = {stage.task.name for stage in sweep.stages if stage.committed}
    if tasks and root.is_dir():
        for _, record in store.records(root):
            if record.trial.use == "tuning" and record.trial.task in tasks:
                yield record


def reference(sweep: Sweep, roots: Iterable[Path]) -> Reference:
    """The sweeps in the folders `roots`, or directly below them, that ran as `sweep` would: the same corpus,
    backend, protocol and tuning. None with other report seeds than the first found: its runs are not paired."""
    folders: list[Path] = []
    seeds: tuple[int, ...] = ()
    reported: dict[str, frozenset[str]] = {}
    for folder in dict.fromkeys(folder.resolve() for root in roots for folder in _folders(root)):
        manifest = _manifest(folder)
        try:
            own = tuple(manifest["protocol"]["report_seeds"][: max(sweep.protocol.looks)])
            if not _fits(sweep, manifest) or (seeds and own != seeds):
                continue
            found = _reported(manifest)
        except (KeyError, TypeError, AttributeError):
            continue  # damaged, or of another schema: as good as none
        if any(found.values()):
            seeds = own
            folders.append(folder)
            for task, names in found.items():
                reported[task] = reported.get(task, frozenset()) | names
    return Reference(tuple(folders), seeds, reported)


def _folders(root: Path) -> list[Path]:
    return [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []


def _manifest(folder: Path) -> Any:
    try:
        return json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _fits(sweep: Sweep, manifest: Mapping[str, Any]) -> bool:
    theirs, tuned = manifest["protocol"], {t["name"]: t["budget"] for t in manifest["tasks"]}
    return (
        all(manifest[name] == getattr(sweep, name) for name in _SAME)
        and all(canonical(theirs[n]) == canonical(getattr(sweep.protocol, n)) for n in _SAME_PROTOCOL)
        and not theirs.get("sealed")
        and all(tuned.get(s.task.name, s.budget) == s.budget for s in sweep.stages)
        and any(s.budget and s.task.name in tuned for s in sweep.stages)
    )


def _reported(manifest: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Task -> the registry's optimizers with a report run of every search there; their rules are today's."""
    known, there = optimizers.names(), set(manifest["trial_ids"])
    whole: dict[tuple[str, str], list[bool]] = {}
    for key, cell in manifest["cells"].items():
        name, task = key.partition("#")[0].split("/")
        reports = cell.get("reports", ())
        whole.setdefault((task, name), []).append(bool(reports) and there.issuperset(reports))
    found: dict[str, set[str]] = {}
    for (task, name), searches in whole.items():
        original = split(name)[0]
        if original not in known or len(searches) < manifest["protocol"]["searches"] or not all(searches):
            continue
        if manifest["optimizers"][name]["rule"] == f"{original}@{optimizers.get(original).info.version}":
            found.setdefault(task, set()).add(name)
    return {task: frozenset(names) for task, names in found.items()}
