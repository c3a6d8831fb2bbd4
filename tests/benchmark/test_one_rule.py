"""Two displays of one quantity agree, on the committed records: one function answers each question."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import benchmark
from benchmark.analysis import choosing, edges, settings, speedup, tuning
from benchmark.frames import rows, where
from benchmark.report.board import board
from benchmark.report.pages import tuning as tuning_page
from benchmark.study import Study
from optimizers.base import Axis
from sweeps.search.history import History
from sweeps.search.transfer import consensus

RESULTS = Path(__file__).parents[2] / "results"
SWEEPS = ("reference", "micro-27k-1x")


@pytest.fixture(scope="module", params=SWEEPS)
def study(request: pytest.FixtureRequest) -> Study:
    return benchmark.load(RESULTS / request.param).each[0]


def badge_edges(study: Study) -> set[tuple[str, str, str]]:
    """(optimizer/task, hyperparameter, which searches) of the badges that the board shows."""
    found = set()
    for optimizer in study.optimizers:
        for task in study.tasks:
            for badge in study.cell(optimizer, task.name).get("badges", ()):
                kind, _, name = badge.partition(": ")
                if kind == edges.BADGE:
                    found.add((f"{optimizer}/{task.name}", *name.partition(" (")[::2]))
    return found


def test_the_tuning_page_shows_the_edges_that_the_badges_name(study: Study) -> None:
    shown: dict[tuple[str, str], list[str]] = {}
    of: dict[tuple[str, str], int] = {}
    for row in rows(study.edges):
        key = (f"{row['optimizer']}/{row['task']}", row["hyperparameter"])
        shown.setdefault(key, []).append(str(row["search"]))
        of[key] = row["searches"]
    expected = {
        (*key, "" if len(which) == of[key] else f"search {', '.join(which)} of {of[key]})")
        for key, which in shown.items()
    }
    assert badge_edges(study) == expected and len(study.edges) >= 4
    titles = [(study.titles[r["optimizer"]], r["hyperparameter"]) for r in rows(study.edges)]
    tables = [page["edges"] for _, page in tuning_page.pages(study)]
    pages = [(row["optimizer"], row["hyperparameter"]) for table in tables for row in table.shown()]
    assert sorted(pages) == sorted(titles)


def test_edges_judged_from_the_records_are_those_of_the_search_itself() -> None:
    """Of the sweep that moved one hyperparameter at a time, whose manifest is asked nothing but its winners."""
    study = benchmark.load(RESULTS / "micro-27k-1x").each[0]
    cells = {
        key: {name: value for name, value in entry.items() if name != "unbracketed"}
        for key, entry in study.manifest["cells"].items()
    }
    spaces = {name: facts["space"] for name, facts in study.optimizers.items()}
    judged = edges.edges(study.runs, spaces, cells)
    assert judged.to_numpy().tolist() == study.edges.to_numpy().tolist()


def test_near_is_the_same_for_the_search_and_for_the_analysis() -> None:
    """Every tuning trial of a committed search asked again of a ledger; any band, also one not known."""
    study = benchmark.load(RESULTS / "micro-27k-1x").each[0]
    for entry in list(study.manifest["cells"].values())[:6]:
        (cell,) = settings.tuned(study.runs.loc[study.runs["trial_id"].isin(entry["tuning"])])
        trials = [study.by_id[i] for i in entry["tuning"]]
        known = {(str(sorted(r.trial.hyperparameters.items())), r.trial.seed): r.val_loss for r in trials}
        seeds = sorted({r.trial.seed for r in trials})
        for band in (0.0, entry["noise"]["band"], 0.1, float("inf")):
            ledger = History(
                lambda s, seed, _, known=known: known[str(sorted(s.items())), seed] or float("inf"),
                len(trials), seeds, band=band,
            )  # fmt: skip
            ledger.ask([(r.trial.hyperparameters, r.trial.seed, "") for r in trials])
            best = cell.index(entry["winner"])
            assert best is not None
            theirs = {cell.index(setting) for setting in ledger.near(entry["winner"])}
            assert theirs == set(np.flatnonzero(cell.near(best, band)).tolist())


def test_what_must_be_tuned_again_is_the_same_for_the_sweep_and_for_the_page() -> None:
    """The first searches of `reference`, told apart by a task that is made up: its near values moved."""
    study = benchmark.load(RESULTS / "reference").each[0]
    entry = study.manifest["cells"]["adamw/27k-0.5x"]
    names = {n: v for n, v in entry["near"].items() if len(v) > 1}
    moved = {n: v[1:] if i % 2 else [float(x) * 3 for x in v] for i, (n, v) in enumerate(names.items())}
    other = {**entry, "task": "27k-7x", "near": {**entry["near"], **moved}}
    runs = study.runs.loc[study.runs["trial_id"].isin(entry["tuning"])]
    frame = pd.concat([runs, runs.assign(task="27k-7x", chinchilla_ratio=7.0)], ignore_index=True)
    page = tuning.scaling_sensitive(frame, searched={"adamw/27k-0.5x": entry, "adamw/27k-7x": other})
    shown = page.set_index("hyperparameter")["sensitive"]
    solved: list[Any] = [SimpleNamespace(near=_settings(e["near"]), winner=e["winner"]) for e in (entry, other)]
    space = {n: Axis(tuple(v), v[0]) for n, v in entry["near"].items()}
    agreed, sensitive = consensus(solved, {n: space[n] for n in shown.index})
    assert set(sensitive) == set(shown.index[shown]) and set(agreed) == set(shown.index[~shown])
    assert sensitive and agreed


def _settings(near: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Settings in which every near value occurs."""
    most = max(map(len, near.values()))
    return [{name: values[i % len(values)] for name, values in near.items()} for i in range(most)]


def test_the_board_shows_the_verdicts_of_the_analysis(study: Study) -> None:
    for task in study.tasks:
        for row in board(study, task).rows:
            costs = rows(where(study.costs, optimizer=row.optimizer, task=task.name))
            tokens = rows(where(study.speedups, optimizer=row.optimizer, task=task.name))
            for metric, shown in row.speedups.items():
                ending = {"seconds": "_seconds", "FLOPs": "_flops"}.get(metric, "")
                (said,) = {r[f"verdict{ending}"] for r in (costs if ending else tokens)} or {""}
                assert shown.verdict == said
                if row.is_baseline:
                    assert shown.verdict == "baseline"


def test_every_verdict_is_read_off_its_interval_by_one_rule(study: Study) -> None:
    for table, ending in ((study.speedups, ""), (study.costs, "_seconds"), (study.costs, "_flops")):
        known = table.loc[np.isfinite(table[f"lo{ending}"].to_numpy(float))]
        lo, hi = (known[f"{end}{ending}"].to_numpy(float) for end in ("lo", "hi"))
        read = speedup.verdicts(lo, hi, (known["optimizer"] == study.baseline).to_numpy())
        assert read.tolist() == known[f"verdict{ending}"].tolist()


def test_the_board_shows_the_step_times_of_the_costs(study: Study) -> None:
    seen = 0
    for task in study.tasks:
        for row in board(study, task).rows:
            (cost,) = {
                r["step_overhead"] for r in rows(where(study.costs, optimizer=row.optimizer, task=task.name))
            }
            assert row.overhead == (None if np.isnan(cost) else cost)
            seen += row.overhead is not None
    assert seen > 5


def test_a_report_run_is_of_the_same_searches_everywhere(study: Study) -> None:
    cells = study.manifest["cells"]
    owners = choosing.owners(cells)
    told = study.losses.groupby("trial_id")["search"].apply(sorted).to_dict()
    assert told == {trial_id: sorted(owners[trial_id]) for trial_id in told}
    compared = choosing.choosing(study.runs, cells).set_index(["optimizer", "task"])["n"]
    counted = study.losses.groupby(["optimizer", "task"])["search"].nunique()
    assert compared.to_dict() == counted[counted > 1].to_dict()
