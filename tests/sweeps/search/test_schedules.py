"""Contestants under a stated schedule, and the sweep that compares them."""

import dataclasses

import pytest

import optimizers
from benchmark.analysis import horizon
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers.shared.copies import rule_name, title_of
from optimizers.shared.schedules import SCHEDULES
from sweeps.schedules import SWEEP
from sweeps.search.contestants import contestants
from sweeps.search.plan import plan
from sweeps.search.sweep import Protocol, Sweep, stage


def test_names_and_titles():
    assert [rule_name(name) for name in ("muon", "muon+wsd", "muon+wsd~2")] == ["muon"] * 3
    assert title_of("Muon", "muon+wsd") == "Muon, wsd"
    assert title_of("AdamW", "adamw+cosine~2") == "AdamW, cosine decay, again"
    assert optimizers.get("adamw+power") is optimizers.get("adamw")


@pytest.mark.parametrize("name", ["adamw+", "adamw+wds", "adamw+wsd+wsd", "adam+wsd"])
def test_what_there_is_not_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match="choose from") as caught:
        contestants([name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_is_stated_and_everything_else_is_searched(name):
    usual, under = contestants(["adamw", f"adamw+{name}"])
    scale = SWEEP.stages[0].task.scale
    assert under.rule == usual.rule and under.essential == usual.essential
    assert set(usual.axes(scale)) - set(under.axes(scale)) == set(SCHEDULES[name].fixed)
    assert {k: under.start(scale)[k] for k in SCHEDULES[name].fixed} == SCHEDULES[name].fixed
    record = runner.record(_trials(under)[0], optimizers.get(under.name), Outcome("finished", val_loss=3.0))
    assert record.facts["title"] == under.info.title != usual.info.title


def _trials(contestant):
    small = Sweep("s", "", (stage("27k-0.5x", "I", 8),), Protocol(), baseline=contestant.name)
    return plan(_with(small, contestant), {}).ready


def _with(sweep, *them):
    return dataclasses.replace(sweep, contestants=them)


@pytest.mark.parametrize(("name", "warmup"), [("adamw+cosine", 0.1), ("adamw+wsd", 0.0125)])
def test_a_longer_run_begins_as_the_shorter_one_where_the_schedule_knows_no_horizon(name, warmup, finish):
    how = {"start": "winner", "tune": "essential", "after": ("27k-0.5x",)}
    stages = (stage("27k-0.5x", "I", 8, tune="essential"), stage("27k-4x", "II", 0, **how))
    protocol = Protocol(searches=1, looks=(2,))
    sweep = _with(Sweep("s", "", stages, protocol, baseline=name), *contestants([name]))
    done, _ = finish(sweep, lambda trial: Outcome("finished", val_loss=3.0 + trial.seed % 7 / 100))
    found = {t.hyperparameters["warmup_fraction"] for t, _ in done.solved[f"{name}/27k-4x"].reports}
    assert found == {warmup}


def test_the_sweep_compares_every_schedule_and_keeps_averages_of_report_runs_alone():
    assert {n.partition("+")[2] for n in SWEEP.optimizers} - {""} == set(SCHEDULES) - {"linear"}
    assert SWEEP.report_evaluation.averages and not SWEEP.tuning_evaluation.averages
    named = {name for s in SWEEP.stages for name in s.only}
    assert named <= set(SWEEP.optimizers)


def test_one_long_run_costs_its_own_tokens_and_the_decays():
    assert horizon.branched_tokens([4, 1, 2], 0.2) == pytest.approx(4 + 0.2 * 3)
