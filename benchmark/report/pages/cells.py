"""A page for every cell (one optimizer on one task): its curves, best hyperparameters, command and records.

The same content is written as a small script beside the page: the leaderboard's row opens with it, also from a
file:// address, where no page may fetch another.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.data import sources
from benchmark.described import TaskFacts
from benchmark.frames import column, groups, rows, where
from benchmark.report import style, text
from benchmark.report.addresses import slug
from benchmark.report.curves import Curves, Run
from benchmark.report.site import Site
from benchmark.report.table import Column, Table, fixed, numbers
from benchmark.study import Study
from optimizers.shared.carried import POLICIES

SEARCHES = ("coordinate", "random")  # and those searches that are not the usual one


def write(site: Site, study: Study) -> None:
    """Write cells/<optimizer>--<task>.html and .js for every cell that has runs or was asked for."""
    curves = groups(where(study.curves, use="report"), "trial_id")
    flags = {(r["optimizer"], r["task"]): r["flags"] for r in rows(study.speedups)}
    by_task = groups(study.runs, "task")
    for optimizer in study.optimizers:
        for task in study.tasks:
            there = by_task[task.name] if task.name in by_task else study.runs.iloc[:0]
            runs, baseline = where(there, optimizer=optimizer), where(there, optimizer=study.baseline)
            if not len(runs) and not study.cell(optimizer, task.name):
                continue
            context = _context(study, optimizer, task, runs, baseline, curves)
            context["flags"] = flags.get((optimizer, task.name), "")
            name = slug(f"{optimizer}/{task.name}")
            path, heading = f"{slug(study.name)}/cells/{name}", f"{context['title']} at {task.name}"
            site.write(f"{path}.html", "cell.html", study, heading=heading, open=True, **context)
            body = site.render("cell_body.html", root="../../", base="../", open=False, study=study, **context)
            site.text(f"{path}.js", f"cell({text.script_json(name)},{text.script_json(body)});\n")


def _context(
    study: Study,
    optimizer: str,
    task: TaskFacts,
    runs: pd.DataFrame,
    baseline: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    title, colour = study.titles.get(optimizer, optimizer), style.appearance(optimizer)[0]
    lines = _lines(runs, curves, colour)
    beside = [] if optimizer == study.baseline else _lines(baseline, curves, "", f"{study.baseline_title}, ")
    rates = column(runs, "hp.peak_lr")
    return {
        "optimizer": optimizer,
        "title": title,
        "task": task,
        "curves": Curves(f"Loss curves of {title} at {task.name}", lines, beside),
        "winner": [w for w in chosen(study.winners(optimizer, task.name)) if w[0] not in study.not_stated],
        "per_gradient": per_gradient(study, optimizer, task.name),
        "searches": len(study.winners(optimizer, task.name)),
        "command": command(study, optimizer, task.name),
        "records": records(title, task.name, runs.assign(peak_lr=rates), "seed" not in study.not_stated),
    }


def per_gradient(study: Study, optimizer: str, task: str) -> str:
    """The speedup in tokens and in gradients, where a step of some optimizer evaluates several."""
    found = rows(where(study.costs, optimizer=optimizer, task=task))
    if "gradients" not in study.metrics or not found or not text.is_number(found[0]["speedup_gradients"]):
        return ""
    row, over = found[0], study.baseline_title
    tokens, gradients = (
        f"{text.times(row[f'speedup{end}'])} {text.interval(row[f'lo{end}'], row[f'hi{end}'])}"
        for end in ("", "_gradients")
    )
    evaluated = f"{row['gradients_per_step']:.3g}"
    return f"{tokens} in tokens over {over}, {gradients} per gradient: a step evaluates {evaluated}"


def records(title: str, task: str, runs: pd.DataFrame, seeds: bool = True) -> Table:
    """The runs of a cell, each with the way to its own page. seeds: whether they are stated."""
    columns = (
        Column("trial_id", "Record", link="records/{}.html"),
        Column("use", "Run"),
        Column("purpose", "Purpose"),
        *([numbers("seed", "Seed")] if seeds else []),
        numbers("peak_lr", "Peak lr"),
        Column("status", "Status"),
        numbers("val_loss", "Final loss", fixed(4), unit="nats/token"),
    )
    ordered = rows(runs.sort_values(["use", "finished_at", "trial_id"]))
    return Table(f"Records of {title} at {task}", columns, ordered, quiet=True)


def chosen(winners: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each hyperparameter with its value, or where searches chose differently with the value of each."""
    found = []
    for name in sorted({name for winner in winners for name in winner}):
        values = [text.value(winner.get(name)) for winner in winners]
        found.append((name, values[0] if len(set(values)) == 1 else " · ".join(values)))
    return found


def _lines(runs: pd.DataFrame, curves: Mapping[str, pd.DataFrame], colour: str, prefix: str = "") -> list[Run]:
    """The report runs that have a curve, named by their seed; by their record too where seeds repeat."""
    reported = [r for r in rows(where(runs, use="report")) if r["trial_id"] in curves]
    seeds = [r["seed"] for r in reported]
    found = []
    for r in reported:
        name = f"seed {r['seed']}" if seeds.count(r["seed"]) == 1 else f"seed {r['seed']}, {r['trial_id']}"
        curve = curves[r["trial_id"]]
        points = list(zip(curve["tokens"], curve["val_loss"], strict=True))
        found.append(Run(f"{prefix}{name}", points, colour))
    return found


def command(study: Study, optimizer: str, task: str) -> str:
    """What to type to run a cell again: tuning, replicates and report runs."""
    if study.theirs:
        return "# results of others: there is nothing here to run again"
    manifest = study.manifest
    named = [str(manifest["name"]), *study.optimizers, *(str(t["name"]) for t in manifest["tasks"])]
    if any(name.startswith("-") or re.search(r"[/,]|\.py$", name) for name in named):
        # an option, or the path of a file to execute, which whoever made these records could have chosen
        return "# a name in these records would not be read as a name on a command line"
    own = f"path/to/{manifest['file']}" if "file" in manifest else ""  # a user's sweep is asked for by its file
    if study.copies:
        name, _, number = str(manifest["name"]).removeprefix("aa-").rpartition("-")
        how = ["--optimizer-name", study.baseline, "--copies", str(len(study.optimizers))]
        return shlex.join(
            ["python", "-m", "sweeps", "aa", "--sweep", own or name, "--replication", number, *how]
        )
    name, options = _policy(str(manifest["name"]), manifest["protocol"])
    names, tasks = [optimizer], [task]
    if "--max-hours" in options:  # how many trials fit depends on all that is run, so all of it is named
        names, tasks = list(study.optimizers), [str(t["name"]) for t in manifest["tasks"]]
    files = [n for n in names if "#" in study.optimizers[n]["rule"]]
    words = ["--optimizers", ",".join(n for n in names if n not in files) or study.baseline]
    words += [word for n in files for word in ("--optimizer", f"path/to/{n}.py")]
    words += ["--tasks", ",".join(tasks), *options]
    for key in ("corpus", "tokenizer", "eval_corpus", "backend", "precision"):
        value = str(manifest.get(key, ""))
        if key == "tokenizer":
            value = value and f"path/to/{value}"
        elif value and key in ("corpus", "eval_corpus"):
            value = sources.to_type(value)
        words += [f"--{key.replace('_', '-')}", value] if value else []
    return shlex.join(["python", "-m", "sweeps", own or name, *words])


def _policy(name: str, protocol: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The name that a sweep is asked for by, and the options that gave it a name of its own."""
    hours, options = protocol.get("max_hours"), []
    if hours:
        name, options = name.removesuffix(f"-{hours:g}h"), ["--max-hours", f"{hours:g}"]
    if many := re.fullmatch(r"(.*)-(\d+)-searches", name):
        name, options = many[1], ["--searches", many[2], *options]
    for search in SEARCHES:
        if name.endswith(f"-{search}"):
            name, options = name.removesuffix(f"-{search}"), ["--search", search, *options]
    for rule in POLICIES:  # they give a sweep a name of its own
        if name.endswith(f"-{rule}") and name != f"-{rule}":
            return name.removesuffix(f"-{rule}"), ["--transfer", rule, *options]
    return name, options
