"""Properties of a whole plan, on sweeps whose training runs are simulated."""

import dataclasses
import json
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.spec import RECIPE, Outcome, Record
from optimizers.base import Axis
from sweeps.plan import Memory, plan
from sweeps.summary import manifest
from sweeps.sweep import Protocol, Sweep, select, stage

PROPERTY = settings(
    derandomize=True,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SPACE = {
    "peak_lr": Axis((0.008, 0.016, 0.032, 0.064), 0.032, "log"),
    "weight_decay": Axis((0.0, 0.1, 0.2, 0.4), 0.1, "log"),
}
LION = {
    "peak_lr": Axis((0.001, 0.002, 0.004, 0.008), 0.004, "log"),
    "weight_decay": Axis((0.3, 0.6, 1.2), 0.6, "log"),
    "beta": Axis((0.9, 0.95, 0.98), 0.95, "log1m"),
}
ONE, TWO = ("27k-1x", "27k-2x", "55k-1x"), ("55k-2x",)


@pytest.fixture
def small(contestant):
    """Essential hyperparameters only, as in `quick`."""
    return Sweep(
        "small",
        "",
        (
            stage("27k-1x", "I", 6, tune="essential"),
            stage("27k-2x", "II", 3, start="winner", tune="essential", after=("27k-1x",)),
            stage("27k-4x", "baseline", 2, start="winner", tune="essential", after=("27k-2x",)),
        ),
        contestants=(contestant("adamw", SPACE), contestant("lion", LION, ("peak_lr", "weight_decay"))),
    )


@pytest.fixture
def phases(contestant):
    """Three phases in small, with replicates, as in `micro`."""
    return Sweep(
        "phases",
        "",
        (
            *(stage(name, "I", 25) for name in ONE),
            *(stage(name, "II", 6, start="consensus", tune="sensitive", after=ONE) for name in TWO),
            stage("100k-1x", "III", 5, start="law", tune="sensitive", after=(*ONE, *TWO)),
            stage("27k-4x", "baseline", 4, start="consensus", tune="sensitive", after=ONE),
        ),
        Protocol(tuning_seeds=(0, 1, 2)),
        contestants=(contestant("adamw", SPACE), contestant("lion", LION)),
    )


@pytest.mark.parametrize("which", ["small", "phases"])
def test_every_optimizer_gets_exactly_the_budget(which, request, finish, valley):
    sweep = request.getfixturevalue(which)
    done, known = finish(sweep, valley)
    assert not done.ready
    for name, cell in done.cells.items():
        assert cell["complete"], name
        assert sum(cell["spent"].values()) == len(cell["tuning"]) == cell["budget"], name
        assert len(cell["reports"]) == 3
    assert len(known) == sum(cell["budget"] + 3 for cell in done.cells.values())
    others = {name for name, cell in done.cells.items() if cell["phase"] == "baseline"}
    assert others == {"adamw/27k-4x"}


@PROPERTY
@given(arrival=st.integers(0, 10**6))
def test_the_order_of_records_does_not_matter(small, finish, valley, arrival):
    first, known = finish(small, valley)
    second, others = finish(small, valley, arrival=arrival)
    assert known == others
    assert first.cells == second.cells
    shuffled = random.Random(arrival).sample(sorted(known), len(known))
    assert plan(small, {trial_id: known[trial_id] for trial_id in shuffled}).cells == first.cells


@PROPERTY
@given(share=st.floats(0, 1), arrival=st.integers(0, 10**6))
def test_resuming_from_any_part_of_the_records_ends_alike(small, finish, valley, share, arrival):
    first, known = finish(small, valley)
    part = random.Random(arrival).sample(sorted(known), int(share * len(known)))
    again, others = finish(small, valley, {trial_id: known[trial_id] for trial_id in part}, arrival)
    assert again.cells == first.cells
    assert others == known


@PROPERTY
@given(salt=st.integers(0, 10**6))
def test_a_plan_is_total_whatever_the_outcomes(small, finish, salt):
    def outcome(trial):
        coins = random.Random(f"{salt} {trial.trial_id}")
        kind = coins.choice(["finished", "finished", "diverged", "failed", "nonsense"])
        if kind == "nonsense":
            return Outcome("finished", val_loss=coins.choice([None, math.nan, math.inf]))
        return Outcome(kind, val_loss=coins.random() if kind == "finished" else None)

    done, known = finish(small, outcome)
    json.dumps(manifest(small, done), allow_nan=False)
    spent = {name: sum(cell["spent"].values()) for name, cell in done.cells.items()}
    assert spent == {name: cell["budget"] for name, cell in done.cells.items()}
    assert all(cell["diverged"] + cell["failed"] <= cell["budget"] for cell in done.cells.values())
    assert plan(small, known | {"of another sweep": Outcome("failed")}).cells == done.cells


def test_memory_changes_nothing(phases, finish, valley):
    _, known = finish(phases, valley)
    memory, seen = Memory(), {}
    for index, (trial_id, outcome) in enumerate(known.items()):
        seen[trial_id] = outcome
        remembered = plan(phases, seen, memory)
        if index % 25 == 0 or len(seen) == len(known):
            fresh = plan(phases, seen)
            assert (remembered.ready, remembered.remaining) == (fresh.ready, fresh.remaining)
            assert remembered.cells == fresh.cells
    corrected = dict(seen)
    first = next(iter(corrected))
    corrected[first] = Outcome("failed")
    assert plan(phases, corrected, memory).cells == plan(phases, corrected).cells


def test_remaining_counts_down_to_zero(small, finish, valley):
    _, known = finish(small, valley)
    seen = {}
    for trial_id, outcome in known.items():
        before = plan(small, seen)
        seen[trial_id] = outcome
        now = plan(small, seen)
        assert now.remaining == before.remaining - 1
        assert before.remaining_tokens > now.remaining_tokens
    assert now.done


def test_records_are_taken_as_they_come_from_the_store(small):
    first = plan(small, {}).ready[0]
    record = Record(first, "finished", val_loss=3.0)
    as_mapping, as_list = plan(small, {first.trial_id: record}), plan(small, [record])
    assert as_mapping.ready == as_list.ready
    assert first not in as_list.ready


def test_trials_are_complete_and_tuning_and_reporting_are_apart(small, finish, valley):
    trials = []

    def outcome(trial):
        trials.append(trial)
        return valley(trial)

    finish(small, outcome)
    for trial in trials:
        own = {"adamw": SPACE, "lion": LION}[trial.optimizer]
        assert set(trial.hyperparameters) == {*own, *RECIPE}
        assert trial.steps == trial.tokens // (trial.batch_size * trial.seq_len)
        assert (trial.role == "report") == (trial.seed >= 1000) == (trial.evaluation.split == "test")


def test_the_baseline_and_what_others_wait_for_come_first(small):
    now = plan(small, {})
    assert {now.purposes[trial.trial_id] for trial in now.ready} == {"start", "peak_lr up", "peak_lr down"}
    assert [trial.optimizer for trial in now.ready] == ["adamw"] * 3 + ["lion"] * 3


def test_a_winner_is_carried_to_the_next_task(small, finish, valley):
    done, _ = finish(small, valley)
    one, two = done.solved["lion/27k-1x"], done.solved["lion/27k-2x"]
    assert two.opening.start == one.winner
    assert two.opening.notes == {"start": "winner", "from": "lion/27k-1x"}


def test_a_cell_in_which_nothing_trains_holds_nobody_up(small, finish, valley):
    def outcome(trial):
        broken = trial.optimizer == "lion" and trial.task == "27k-1x"
        return Outcome("failed", "out of memory") if broken else valley(trial)

    done, _ = finish(small, outcome)
    assert done.cells["lion/27k-1x"]["badges"] == ["no trial finished"]
    assert done.cells["lion/27k-1x"]["failed"] == 6
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
    done, _ = finish(dataclasses.replace(small, contestants=(tiny,)), valley)
    assert done.cells["adamw/27k-1x"]["badges"] == ["unequal budget: 2 of 6, its space is exhausted"]


def test_a_start_with_too_few_steps_takes_a_smaller_batch(small, contestant):
    sweep = dataclasses.replace(small, stages=(stage("400k-0.03x", "I", 3),), protocol=Protocol(min_steps=100))
    assert {trial.batch_size for trial in plan(sweep, {}).ready} == {16}
    sweep = dataclasses.replace(small, stages=(stage("27k-0.01x", "I", 3),))
    assert plan(sweep, {}).done
    assert plan(sweep, {}).cells["adamw/27k-0.01x"]["badges"][0].startswith("skipped: fewer than 50 steps")


def test_random_search_draws_independent_trials_with_the_same_budget(small, finish, valley):
    sweep = dataclasses.replace(small, protocol=Protocol(search="random"))
    assert len(plan(sweep, {}).ready) == 12  # none waits for another
    done, _ = finish(sweep, valley)
    cell = done.cells["lion/27k-1x"]
    assert cell["spent"] == {"random": 6}
    losses = [asked.loss for asked in done.solved["lion/27k-1x"].asked]
    assert cell["tuning_loss"] == min(losses)


def test_a_repeated_search_uses_other_tuning_seeds(small, finish, valley):
    sweep = dataclasses.replace(small, protocol=Protocol(repeats=(("lion", "27k-1x"),)))
    done, _ = finish(sweep, valley)
    seeds = {
        name: {asked.trial.seed for asked in done.solved[name].asked}
        for name in ("lion/27k-1x", "lion/27k-1x#100", "lion/27k-1x#200")
    }
    assert list(seeds.values()) == [{0}, {100}, {200}]
    assert done.cells["lion/27k-1x#100"]["complete"]


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
    assert set(written["cells"]) == {
        "adamw/27k-1x",
        "lion/27k-1x",
        "adamw/27k-2x",
        "lion/27k-2x",
        "adamw/27k-4x",
    }


def test_a_part_of_a_sweep_brings_what_it_starts_from(small):
    part = select(small, ["27k-2x"])
    assert [s.task.name for s in part.stages] == ["27k-1x", "27k-2x", "27k-4x"]
    alone = select(small, ["27k-1x"])  # the baseline's 4x would need 2x, which nobody asked for
    assert [s.task.name for s in alone.stages] == ["27k-1x"]
    with pytest.raises(ValueError, match="has no task '27k-8x'; choose from 27k-1x"):
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
    odd = contestant("adamw", SPACE, ("momentum",))
    with pytest.raises(ValueError, match="calls momentum essential but gives it no axis"):
        plan(dataclasses.replace(small, contestants=(odd,)), {})
