"""What a plan makes of single cells, and what it says about them."""

import dataclasses
import json
import math

import pytest

from benchmark.spec import Outcome
from optimizers.base import Axis
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan
from sweeps.search.sweep import Protocol, stage
from sweeps.search.variants import select


def test_of_equals_the_baseline_comes_first(small):
    sweep = dataclasses.replace(small, stages=small.stages[:2], contestants=small.contestants[::-1])
    names = [trial.optimizer for trial in plan(sweep, {}).ready]
    assert names == ["adamw", "adamw", "lion", "lion"] * 2  # of search 0, for which more waits, then search 1


def test_what_holds_others_up_comes_before_what_is_merely_long(small):
    """27k-2x costs twice as much as 27k-1x, but 27k-4x waits for the latter."""
    stages = (
        stage("27k-2x", "I", 6, tune="essential"),
        stage("27k-1x", "I", 6, tune="essential"),
        stage("27k-4x", "II", 3, start="winner", tune="essential", after=("27k-1x",)),
    )
    ready = plan(dataclasses.replace(small, stages=stages), {}).ready
    assert [trial.task for trial in ready] == ["27k-1x"] * 8 + ["27k-2x"] * 8


def test_a_winner_is_carried_to_the_next_task(small, finish, valley):
    done, _ = finish(small, valley)
    for search in ("", "#1"):  # a search goes on from its own number's winner
        one, two = done.solved[f"lion/27k-1x{search}"], done.solved[f"lion/27k-2x{search}"]
        assert two.opening.start == one.winner
        assert two.opening.notes == {"start": "winner", "from": f"lion/27k-1x{search}"}


def test_a_cell_in_which_nothing_trains_holds_nobody_up(small, finish, valley):
    def outcome(trial):
        broken = trial.optimizer == "lion" and trial.task == "27k-1x"
        return Outcome("failed", "out of memory") if broken else valley(trial)

    done, _ = finish(small, outcome)
    (badge,) = done.cells["lion/27k-1x"]["badges"]
    assert badge.startswith("skipped: given up after") and badge.endswith("failures: out of memory")
    failed = [
        cell["failed"]
        for cell in done.cells.values()
        if (cell["optimizer"], cell["task"]) == ("lion", "27k-1x")
    ]
    assert sum(failed) >= 3  # over its searches
    assert done.cells["lion/27k-1x"]["reports"] == []
    assert done.solved["lion/27k-2x"].opening.notes == {"start": "stated"}
    assert done.cells["lion/27k-2x"]["winner"] is not None


def test_an_optimum_still_on_an_edge_carries_a_badge(small, finish):
    def falling(trial):
        return Outcome("finished", val_loss=-math.log(float(trial.hyperparameters["peak_lr"])))

    done, _ = finish(small, falling)
    assert "optimum on edge: peak_lr" in done.cells["adamw/27k-1x"]["badges"]
    assert done.cells["adamw/27k-1x"]["unbracketed"]["peak_lr"] == "up"


def test_an_exhausted_space_is_said(small, finish, valley, contestant):
    tiny = contestant("adamw", {"peak_lr": Axis((0.1, 0.2), 0.1), "weight_decay": Axis((0.0,), 0.0)})
    protocol = Protocol(search="coordinate", searches=1, tuning_seeds=(0,))
    done, _ = finish(dataclasses.replace(small, contestants=(tiny,), protocol=protocol), valley)
    assert done.cells["adamw/27k-1x"]["badges"] == ["unequal budget: 2 of 6, its space is exhausted"]


def test_a_small_space_is_raced_on_every_tuning_seed(small, finish, valley, contestant):
    tiny = contestant("adamw", {"peak_lr": Axis((0.1, 0.2), 0.1), "weight_decay": Axis((0.0,), 0.0)})
    stages = (stage("27k-1x", "I", 16, tune="essential"),)
    done, _ = finish(dataclasses.replace(small, contestants=(tiny,), stages=stages), valley)
    cell = done.cells["adamw/27k-1x"]
    assert cell["spent"] == {"start": 1, "opening": 1, "race": 4}
    assert cell["badges"] == ["unequal budget: 6 of 8, its space is exhausted"]


def test_a_start_with_too_few_steps_takes_a_smaller_batch(small, contestant):
    sweep = dataclasses.replace(small, stages=(stage("400k-0.03x", "I", 3),), protocol=Protocol(min_steps=100))
    now = plan(sweep, {})
    starts = {trial.batch_size for trial in now.ready if now.purposes[trial.trial_id] == "start"}
    assert starts == {16} and all(trial.batch_size <= 16 for trial in now.ready)
    sweep = dataclasses.replace(small, stages=(stage("27k-0.01x", "I", 3),))
    assert plan(sweep, {}).done
    assert plan(sweep, {}).cells["adamw/27k-0.01x"]["badges"][0].startswith("skipped: fewer than 50 steps")


def test_random_search_draws_independent_trials_with_the_same_budget(small, finish, valley):
    sweep = dataclasses.replace(small, protocol=Protocol(search="random"))
    assert len(plan(sweep, {}).ready) == 12  # none waits for another
    done, _ = finish(sweep, valley)
    cell = done.cells["lion/27k-1x"]
    assert cell["spent"] == {"random": 3}
    losses = [asked.entry.loss for asked in done.solved["lion/27k-1x"].asked]
    assert cell["tuning_loss"] == min(losses)


def test_manifest_says_what_was_asked_and_chosen(small, finish, valley):
    sweep = dataclasses.replace(small, corpus_hash="c", tokenizer_hash="t")
    done, known = finish(sweep, valley)
    written = json.loads(json.dumps(manifest(sweep, done), allow_nan=False))
    assert sorted(written["trial_ids"]) == sorted(known)
    assert written["tasks"][0] == {
        "name": "27k-1x",
        "scale": "27k",
        "chinchilla_ratio": 1,
        "tokens": 532480,
        "num_params": 26624,
        "phase": "I",
        "budget": 6,
    }
    assert written["optimizers"]["lion"]["space"]["beta"] == {
        "grid": [0.9, 0.95, 0.98],
        "start": 0.95,
        "scale": "log1m",
    }
    cells = ("adamw/27k-1x", "lion/27k-1x", "adamw/27k-2x", "lion/27k-2x", "adamw/27k-4x")
    assert set(written["cells"]) == {f"{name}{search}" for name in cells for search in ("", "#1")}
    assert [written["cells"][f"lion/27k-1x{search}"]["search"] for search in ("", "#1")] == [0, 1]


def test_a_part_of_a_sweep_brings_what_it_starts_from(small):
    part = select(small, ["27k-2x"])
    assert [s.task.name for s in part.stages] == ["27k-1x", "27k-2x", "27k-4x"]
    alone = select(small, ["27k-1x"])  # the baseline's 4x would need 2x, which nobody asked for
    assert [s.task.name for s in alone.stages] == ["27k-1x"]
    with pytest.raises(ValueError, match=r"has no task '27k-8x'.*; choose from 27k-1x"):
        select(small, ["27k-8x"])


def test_sweeps_that_cannot_be_planned_say_why(small, contestant):
    loop = (
        stage("27k-1x", "I", 2, start="winner", after=("27k-2x",)),
        stage("27k-2x", "I", 2, after=("27k-1x",)),
    )
    with pytest.raises(ValueError, match="need each other's winners"):
        plan(dataclasses.replace(small, stages=loop), {})
    with pytest.raises(ValueError, match="needs the winner of 27k-1x"):
        plan(dataclasses.replace(small, stages=small.stages[1:]), {})
    with pytest.raises(ValueError, match="no baseline 'adamw'"):
        plan(dataclasses.replace(small, contestants=small.contestants[1:]), {})
    odd = contestant("adamw", {"peak_lr": Axis((0.1, 0.2), 0.1)}, ("momentum",))
    with pytest.raises(ValueError, match="calls momentum essential but gives it no axis"):
        plan(dataclasses.replace(small, contestants=(odd,)), {})
