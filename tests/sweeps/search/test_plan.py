"""Properties of a whole plan, on sweeps whose training runs are simulated."""

import dataclasses
import json
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.spec import RECIPE, Outcome, Record
from sweeps.search.cells import BRACKETS
from sweeps.search.manifest import manifest
from sweeps.search.plan import Memory, plan
from sweeps.search.sweep import Protocol, Sweep, stage

PROPERTY = settings(
    derandomize=True,
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ONE, TWO = ("27k-1x", "27k-2x", "55k-1x"), ("55k-2x",)


@pytest.fixture
def phases(pair):
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
        contestants=pair,
    )


@pytest.fixture
def coordinates(phases):
    """The same by coordinate descent, one search a cell."""
    protocol = Protocol(search="coordinate", searches=1, looks=(3,))
    return dataclasses.replace(phases, protocol=protocol)


@pytest.mark.parametrize("which", ["small", "phases", "coordinates"])
def test_every_optimizer_gets_exactly_the_budget(which, request, finish, valley):
    """Split over its searches; only the baseline may take more, to get its rate off an edge."""
    sweep = request.getfixturevalue(which)
    done, known = finish(sweep, valley)
    assert not done.ready
    budgets = dict.fromkeys(((c["optimizer"], c["task"]) for c in done.cells.values()), 0)
    for name, cell in done.cells.items():
        assert cell["complete"], name
        spent = sum(cell["spent"].values())
        assert len(cell["tuning"]) == spent, name
        over = BRACKETS if cell["optimizer"] == "adamw" and sweep.protocol.search == "gp" else 0
        exhausted = any("its space is exhausted" in badge for badge in cell["badges"])
        assert exhausted or cell["budget"] <= spent
        assert spent <= cell["budget"] + min(over, cell["spent"].get("bracket", 0)), name
        assert len(cell["reports"]) == 3
        budgets[cell["optimizer"], cell["task"]] += cell["budget"]
    stages = {s.task.name: s.budget for s in sweep.stages}
    assert budgets == {(optimizer, task): stages[task] for optimizer, task in budgets}
    assert len(known) == sum(len(cell["tuning"]) + 3 for cell in done.cells.values())
    others = {cell["optimizer"] for cell in done.cells.values() if cell["phase"] == "baseline"}
    assert others == {"adamw"}


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
    assert all(spent[name] >= cell["budget"] for name, cell in done.cells.items())
    assert all(spent[name] == cell["budget"] for name, cell in done.cells.items() if "lion" in name)
    assert all(cell["diverged"] + cell["failed"] <= spent[name] for name, cell in done.cells.items())
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
        assert now.remaining >= before.remaining - 1  # what an edge asks for beyond the budget comes on top
    assert now.done


def test_records_are_taken_as_they_come_from_the_store(small):
    first = plan(small, {}).ready[0]
    record = Record(trial=first, status="finished", val_loss=3.0)
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
        own = next(c for c in small.contestants if c.name == trial.optimizer).defaults
        assert set(trial.hyperparameters) == {*own, *RECIPE}
        assert trial.steps == trial.tokens // (trial.batch_size * trial.seq_len)
        assert (trial.use == "report") == (trial.seed >= 1000) == (trial.evaluation.split == "test")


def test_the_baseline_and_what_others_wait_for_come_first(small):
    now = plan(small, {})
    assert {now.purposes[trial.trial_id] for trial in now.ready} == {"start", "opening"}
    assert [trial.optimizer for trial in now.ready] == ["adamw"] * 4 + ["lion"] * 4  # two searches of each


def test_three_alike_failures_and_nothing_else_end_an_optimizer(small, finish, valley):
    """Its other trials are not burnt; everybody else's run, and the plan ends."""
    bad = small.contestants[-1].name
    assert bad != small.baseline

    def outcome(trial):
        if trial.optimizer == bad:
            return Outcome("failed", f"mine.py:7: TypeError: no {len(trial.hyperparameters)} of {trial.seed}")
        return valley(trial)

    done, known = finish(small, outcome)
    failed = [record for record in known.values() if record.status == "failed"]
    assert 3 <= len(failed) < sum(cell["budget"] for cell in done.cells.values() if cell["optimizer"] == bad)
    cells = [cell for cell in done.cells.values() if cell["optimizer"] == bad]
    assert all(cell["winner"] is None for cell in cells)
    assert all(any("given up after" in badge for badge in cell["badges"]) for cell in cells)
    assert all(cell["complete"] for cell in done.cells.values())


def test_failures_for_different_reasons_do_not_end_an_optimizer(small, finish, valley):
    bad = small.contestants[-1].name
    words = iter(f"reason {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600))

    def outcome(trial):
        return Outcome("failed", next(words)) if trial.optimizer == bad else valley(trial)

    done, _ = finish(small, outcome)
    spent = [sum(c["spent"].values()) for c in done.cells.values() if c["optimizer"] == bad and c["budget"]]
    assert sum(spent) > 3
    assert not any("given up" in badge for cell in done.cells.values() for badge in cell["badges"])
