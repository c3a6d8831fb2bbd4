"""One search repeated on other tuning seeds: planned, kept apart, and read back as what choosing adds."""

import dataclasses
import json

import pytest

from benchmark import store
from benchmark.analysis import tuning
from benchmark.spec import Outcome, Record
from optimizers.base import Axis
from sweeps.micro import SWEEP
from sweeps.plan import plan
from sweeps.summary import manifest
from sweeps.sweep import Protocol, select, stage

REPEATED = ("lion/27k-1x", "lion/27k-1x#100", "lion/27k-1x#200")


@pytest.fixture
def repeated(small):
    protocol = Protocol(tuning_seeds=(0, 1, 2), repeats=(("lion", "27k-1x"),))
    return dataclasses.replace(small, stages=(stage("27k-1x", "I", 12),), protocol=protocol)


def results_of(sweep, done, known, trials, folder):
    """Records and manifest on disk, read back."""
    for trial_id, outcome in known.items():
        record = Record(trials[trial_id], outcome.status, outcome.reason, val_loss=outcome.val_loss)
        store.save(record, folder / sweep.name)
    store.write_atomically(folder / sweep.name / "sweep.json", json.dumps(manifest(sweep, done)))
    return store.load(folder)


def test_a_repeat_has_the_same_budget_and_report_seeds_and_other_tuning_seeds(repeated, finish, valley):
    done, _ = finish(repeated, valley)
    for name, offset in zip(REPEATED, (0, 100, 200), strict=True):
        seeds = {asked.trial.seed for asked in done.solved[name].asked}
        assert {offset, offset + 1} <= seeds <= {offset, offset + 1, offset + 2}  # replicates included
        assert len(done.cells[name]["tuning"]) == 12
        assert [trial.seed for trial, _ in done.solved[name].reports] == [1000, 1001, 1002]


def test_what_choosing_adds_is_read_from_records_and_manifest(repeated, finish, valley, tmp_path):
    """Searches that land on another rate each time: the report losses say how far apart."""
    trials = {}

    def outcome(trial):
        trials[trial.trial_id] = trial
        if trial.optimizer == "lion" and trial.role == "tuning":
            wanted = {0: 0.001, 1: 0.002, 2: 0.004}[trial.seed // 100]
            return Outcome("finished", val_loss=3.0 + abs(float(trial.hyperparameters["peak_lr"]) - wanted))
        return valley(trial)

    done, known = finish(repeated, outcome)
    results = results_of(repeated, done, known, trials, tmp_path)
    (row,) = tuning.choosing(results.runs, results.sweeps["small"]["cells"]).to_dict("records")
    winners = {done.cells[name]["winner"]["peak_lr"] for name in REPEATED}
    assert (row["optimizer"], row["task"], row["n"], row["seeds"]) == ("lion", "27k-1x", 3, 3)
    assert row["settings"] == len(winners) == 3
    means = [sum(known[i].val_loss for _, i in done.solved[name].reports) / 3 for name in REPEATED]
    assert (row["lowest"], row["highest"]) == pytest.approx((min(means), max(means)))
    assert row["ratio"] == pytest.approx(row["spread"] / row["noise"])


def test_micro_repeats_the_baseline_s_search_and_another_at_its_smallest_task(contestant):
    space = {"peak_lr": Axis((0.01, 0.02, 0.04), 0.02, "log")}
    names = ("adamw", "muon", "lion")
    sweep = dataclasses.replace(
        select(SWEEP, ["27k-1x"]), contestants=tuple(contestant(name, space) for name in names)
    )
    now = plan(sweep, {})
    extra = {key for key in now.left if "#" in key}
    assert extra == {f"{name}/27k-1x#{offset}" for name in ("adamw", "muon") for offset in (100, 200)}
    assert {now.left[key] for key in extra} == {43}
    without = dataclasses.replace(sweep, contestants=sweep.contestants[:1])
    assert {key for key in plan(without, {}).left if "#" in key} == {"adamw/27k-1x#100", "adamw/27k-1x#200"}
