"""Manifests of sweeps as they are read: what a page asks of one is there and can be true.

A damaged cell is left out and named; whatever else is wrong refuses the manifest, and the sweep is then
described by its records alone.
"""

import re
from collections.abc import Mapping
from typing import Any

from benchmark import recorded, validate
from benchmark.spec import SCHEMA
from benchmark.tasks import task_name
from benchmark.validate import Check, Wrong

CELL = re.compile(r"(.+/.+?)(#[0-9]{1,6})?", re.DOTALL)  # optimizer/task, and the number of its search


def read(content: bytes) -> tuple[Mapping[str, Any], list[str]]:
    """A manifest, and what is wrong with each cell that it lacks. Raises ValueError that says what is wrong."""
    body = validate.parse(content)
    if not isinstance(body, dict) or "schema" not in body:
        raise ValueError("no object with a schema")
    if isinstance(body["schema"], bool) or body["schema"] != SCHEMA:
        shown = validate.shown(body["schema"])
        raise ValueError(f"schema {shown}, but this version reads schema {SCHEMA}")
    given = body.pop("cells", {})
    manifest = _manifest(body)
    _once("task", [task["name"] for task in manifest.get("tasks", ())])
    cells, damaged = {}, []
    for key, entry in validate.mapping(given).items():
        try:
            cells[key] = _cell(key, entry)
        except ValueError as error:
            damaged.append(f"cell {validate.shown(key)}: {error}")
    return {**manifest, "cells": _ending(cells)} if given else manifest, damaged


def _plain(value: Any) -> str:
    """The name of a file or folder: it is shown in commands."""
    if not validate.name(value) or "/" in value or value.startswith("-"):
        raise Wrong(f"{validate.shown(value)} is no file's name")
    return value


def _task(value: Any) -> Mapping[str, Any]:
    task = _task_fields(value)
    if missing := _TASK.keys() - task.keys():
        raise Wrong("it is missing", min(missing))
    if task["name"] != task_name(task["scale"], task["chinchilla_ratio"]):
        raise Wrong(f"{validate.shown(task['name'])} is not its scale and ratio", "name")
    return task


def _cell(key: str, value: Any) -> Mapping[str, Any]:
    entry = {"tuning": [], "reports": [], **_entry(value)}
    named = CELL.fullmatch(key)
    if not named:
        raise ValueError("it is not named OPTIMIZER/TASK")
    if "optimizer" in entry and named[1] != f"{entry['optimizer']}/{entry.get('task')}":
        raise ValueError("it is not of the optimizer and task that it is named by")
    winner = entry.get("winner") or {}
    if lacking := [n for n in entry.get("unbracketed", ()) if isinstance(winner.get(n), str | None)]:
        raise ValueError(f"its winner has no number {validate.shown(lacking[0])}")
    return entry


def _ending(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The cells, where those that start from each other in a circle start from none."""
    found = dict(cells)
    for key in cells:
        seen, here = set(), key
        while here in found and here not in seen:
            seen.add(here)
            here = found[here].get("from", "")
        if here in seen:
            found[here] = {k: v for k, v in found[here].items() if k != "from"}
    return found


def _once(what: str, names: list[str]) -> None:
    if twice := [n for n in names if names.count(n) > 1]:
        raise ValueError(f"two entries of {what} {validate.shown(twice[0])}")


_IDS = validate.several(validate.name)
_WORDS = validate.several(validate.prose)
_SD = validate.maybe(validate.number())
_SEEDS = validate.maybe(validate.several(validate.whole()))
_TASK: Mapping[str, Check] = {
    "name": validate.name,
    "scale": validate.name,
    "chinchilla_ratio": recorded.RANGES["chinchilla_ratio"],
    "tokens": validate.whole(0, 10**18),
    "num_params": validate.whole(0, 10**18),
}
_task_fields = validate.tree({**_TASK, "phase": validate.name})
_entry = validate.tree(
    {
        **dict.fromkeys(("optimizer", "task", "phase", "start", "from"), validate.name),
        **dict.fromkeys(("search", "seed_offset", "diverged", "failed"), validate.whole()),
        "budget": validate.maybe(validate.whole(0, 10**9)),
        "complete": validate.flag,
        "winner": validate.maybe(recorded.check_settings),
        "tuning_loss": validate.maybe(recorded.LOSS),
        "spent": validate.each(validate.whole()),
        "badges": _WORDS,
        "tuning": _IDS,
        "reports": _IDS,
        "unbracketed": validate.each(validate.name),
        "noise": validate.tree({"sd": _SD, "band": _SD, "df": validate.whole()}),
        "swings": validate.each(recorded.SIGNED),
        "near": validate.each(validate.several(recorded.check_value)),
        "tuned": _IDS,
    }
)
_manifest = validate.tree(
    {
        "name": _plain,
        "file": _plain,
        **dict.fromkeys(
            ("title", "corpus", "corpus_hash", "tokenizer_hash", "backend", "precision", "baseline"),
            validate.name,
        ),
        **dict.fromkeys(("eval_corpus", "eval_corpus_hash", "tokenizer"), validate.name),
        "source": validate.prose,
        "published": validate.flag,
        "tasks": validate.several(_task),
        "optimizers": validate.each(recorded.check_facts),
        "protocol": validate.tree(
            {
                **dict.fromkeys(("looks", "report_seeds", "tuning_seeds"), _SEEDS),
                "max_hours": validate.maybe(validate.number(1e-9, 1e9)),
                "search": validate.name,
            }
        ),
        "notes": _WORDS,
        "trial_ids": _IDS,
        "reused": _IDS,
    }
)
