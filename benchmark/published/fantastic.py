"""The figures of "Fantastic Pretraining Optimizers and Where to Find Them" (arXiv 2509.02046) as records.

One seed per number and none of it ours: every record's rule ends in "@published" and its environment names
the source. Best runs are report runs; ground states, ablations and the read-out of figure 1 are tuning runs.
What the published study does not publish (order of the runs, cost, most curves) stays empty.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchmark import scales, tasks
from benchmark.frames import CELL
from benchmark.published import folders
from benchmark.published.progress import counted
from benchmark.spec import SCHEMA, Evaluation, Point, Record, Trial, Use, Value

NAME = "published-fantastic"
SOURCE = "arXiv 2509.02046 and its public result files; one seed per number, not run by this project"
CORPUS = "dclm-mixture"
STATED_CORPUS = "stated: DCLM-baseline 3.8, StarCoder 0.25, ProofPile-2 0.055"  # a hash is not published
STATED_TOKENIZER = "stated: Llama-3 tokenizer"
EXPERIMENT = 1  # of these records: others' experiments do not change with ours
RECIPE = ("adamw", "130m", 2, 0.0006)  # the GPT-3-style run of figure 1


def table(name: str) -> pd.DataFrame:
    """One of the CSV tables in data/, by its stem."""
    text = resources.files("benchmark.published").joinpath("data", f"{name}.csv")
    with resources.as_file(text) as path:
        return pd.read_csv(path)


def losses(era: Literal["paper", "latest"] = "paper") -> pd.DataFrame:
    """The losses frame of the published study: optimizer, scale, chinchilla_ratio, seed (always 0) and
    val_loss.

    "paper" is what its figures used, "latest" a later re-collection.
    """
    cells = table("losses").rename(columns={f"loss_{era}": "val_loss"}).assign(seed=0)
    return cells.loc[cells.val_loss.notna(), [*CELL, "seed", "val_loss"]].reset_index(drop=True)


def facts() -> dict[str, dict[str, Any]]:
    """What each contestant is: title, family, paper, url and rule by optimizer."""
    rows = table("optimizers").drop(columns="finished_runs").set_index("optimizer")
    return {str(name): {**row, "rule": f"{name}@published"} for name, row in rows.to_dict("index").items()}


def trial(optimizer: str, scale: str, ratio: float, hyperparameters: Mapping[str, Value], use: Use) -> Trial:
    """A trial of the published study's experiment. A batch size of 0 is one not stated; steps are then 0
    too."""
    shape = scales.get(scale)
    tokens = tasks.Task(shape, ratio, CORPUS).tokens
    batch = int(hyperparameters["batch_size"])
    return Trial(
        optimizer=optimizer,
        rule=f"{optimizer}@published",
        scale=scale,
        chinchilla_ratio=ratio,
        tokens=tokens,
        steps=tokens // (batch * shape.seq_len) if batch else 0,
        seq_len=shape.seq_len,
        vocab=shape.vocab,
        hyperparameters=hyperparameters,
        seed=0,
        use=use,
        corpus=CORPUS,
        corpus_hash=STATED_CORPUS,
        tokenizer_hash=STATED_TOKENIZER,
        evaluation=Evaluation(split="validation", sequences=0),  # Paloma C4-EN; how many is not stated
        precision="bfloat16",  # float32 parameters, bfloat16 arithmetic
        experiment=EXPERIMENT,
    )


def record(
    of: Trial, loss: float, purpose: str, facts: Mapping[str, Any], curve: tuple[Point, ...] = ()
) -> Record:
    """A published outcome: diverged when the loss is missing or above 6, the published study's own rule."""
    diverged = not loss < 6
    return Record(
        trial=of,
        status="diverged" if diverged else "finished",
        reason=f"published final loss {loss:.4g}, above 6" if diverged else "",
        purpose=purpose,
        val_loss=None if diverged else loss,
        curve=curve,
        facts=facts,
        environment={"source": "arXiv 2509.02046"},
    )


def records() -> Iterator[Record]:
    """Every published run: best runs, then ground states, ablations, and the recipe of figure 1."""
    yield from _best_runs()
    yield from {r.trial.trial_id: r for r in (*_ablations(), *_ground_states())}.values()
    points = _curves()[RECIPE]
    recipe = trial(*RECIPE[:3], {"peak_lr": RECIPE[3], "batch_size": 128}, "tuning")
    yield record(recipe, points[-1].val_loss, "GPT-3-style recipe, read off figure 1", facts()["adamw"], points)


def _best_runs() -> Iterator[Record]:
    known, curves = facts(), _curves()
    for row in table("losses").to_dict("records"):
        cell = (row["optimizer"], row["scale"], row["chinchilla_ratio"])
        best = trial(*cell, json.loads(row["hyperparameters"]), "report")
        curve = curves.get((*cell, float(best.hyperparameters["peak_lr"])), ())
        yield record(best, row["loss_paper"], "lowest loss of any run", known[cell[0]], curve)


def _ground_states() -> Iterator[Record]:
    known = facts()
    for row in table("ground_states").to_dict("records"):
        cell = (row["optimizer"], row["scale"], row["chinchilla_ratio"])
        setting = json.loads(row["hyperparameters"])
        yield record(trial(*cell, setting, "tuning"), row["loss"], "ground state", known[cell[0]])


def _ablations() -> Iterator[Record]:
    known, states = facts(), {tuple(row[:3]): row[4] for row in table("ground_states").itertuples(index=False)}
    for row in table("ablations").to_dict("records"):
        cell = (row["optimizer"], row["scale"], row["chinchilla_ratio"])
        setting = {**json.loads(states[cell]), row["hyperparameter"]: _number(row["value"])}
        purpose = f"{row['hyperparameter']} ablation"
        yield record(trial(*cell, setting, "tuning"), row["loss"], purpose, known[cell[0]])


def _number(value: float) -> Value:
    return int(value) if float(value).is_integer() else float(value)


def _curves() -> dict[tuple[str, str, int, float], tuple[Point, ...]]:
    """Figure 1 by (optimizer, scale, ratio, peak_lr); its runs used batches of 128 sequences of 4096."""
    found: dict[tuple[str, str, int, float], tuple[Point, ...]] = {}
    for row in table("figure1").to_dict("records"):
        key = (row["optimizer"], row["scale"], row["chinchilla_ratio"], row["peak_lr"])
        point = Point(row["step"], row["step"] * 128 * 4096, 0.0, row["loss"])
        found[key] = (*found.get(key, ()), point)
    return found


def write(found: Iterable[Record], folder: Path, manifest: Mapping[str, Any], replace: bool = False) -> int:
    """Write records and the manifest with their ids to a folder of their own. Returns how many.

    Raises ValueError as `folders.put` does, where anything made elsewhere is in the folder.
    """
    records = list(found)
    lines = {r.trial.trial_id: r.to_json() for r in counted(records, "records to write")}
    folders.put(folder, lines, {"schema": SCHEMA, **manifest, "trial_ids": sorted(lines)}, replace)
    return len(lines)


def manifest() -> dict[str, Any]:
    """The published study as a sweep: what it is, who ran it, how unequal its tuning was."""
    runs = table("optimizers").set_index("optimizer").finished_runs.dropna().astype(int)
    return {
        "name": NAME,
        "title": "Fantastic Pretraining Optimizers and Where to Find Them",
        "published": True,
        "source": SOURCE,
        "notes": [
            "one seed per number: intervals rest on an assumed noise, stated with them",
            "a cell's loss is the lowest of all its runs, and optimizers had unequal numbers of runs",
            "losses are C4-EN validation losses: tuning and reporting share the split and the seed",
            "the published study's 1.2B and 16x runs are left out: its files do not say which loss is whose",
            "of the tuning runs only each cell's last round of coordinate descent is published",
        ],
        "corpus": CORPUS,
        "backend": "jax",
        "precision": "bfloat16",
        "baseline": "adamw",
        "optimizers": {name: {**known, "space": spaces()[name]} for name, known in facts().items()},
        "finished_runs": {str(name): int(count) for name, count in runs.items()},
        **described(records()),
    }


def spaces() -> dict[str, dict[str, dict[str, list[Value]]]]:
    """Every value on any of the published study's grids, by optimizer and hyperparameter: {"grid": [...]}."""
    found: dict[str, dict[str, set[Value]]] = {}
    for row in table("grids").to_dict("records"):
        values = {_number(float(v)) for v in str(row["values"]).split(";") if v[-1].isdigit()}
        found.setdefault(row["optimizer"], {}).setdefault(row["hyperparameter"], set()).update(values)
    return {
        name: {h: {"grid": sorted(values)} for h, values in grids.items() if values}
        for name, grids in found.items()
    }


def described(found: Iterable[Record]) -> dict[str, Any]:
    """What a manifest says of tasks and cells, read off the records: no more is known of others' sweeps."""
    tasks_seen: dict[str, dict[str, Any]] = {}
    cells: dict[str, dict[str, Any]] = {}
    for one in counted(list(found), "trials"):
        of = one.trial
        params = round(of.tokens / (tasks.TOKENS_PER_PARAMETER * of.chinchilla_ratio))
        size = {"tokens": of.tokens, "num_params": params}
        named = {"name": of.task, "scale": of.scale, "chinchilla_ratio": of.chinchilla_ratio}
        tasks_seen.setdefault(of.task, {**named, **size})
        empty = {"complete": True, "winner": None, "badges": ["not run by this project"]}
        cell = cells.setdefault(f"{of.optimizer}/{of.task}", {**empty, "tuning": [], "reports": []})
        cell["tuning" if of.use == "tuning" else "reports"].append(of.trial_id)
        if of.use == "report":
            cell["winner"] = dict(of.hyperparameters)
    for cell in cells.values():
        cell["badges"] += ["single seed"] if len(cell["reports"]) == 1 else []
    order = sorted(tasks_seen.values(), key=lambda task: (task["num_params"], task["chinchilla_ratio"]))
    return {"tasks": order, "cells": dict(sorted(cells.items()))}
