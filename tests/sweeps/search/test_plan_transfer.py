"""What later phases start from: agreement, power laws, and the policy that carries settings by a rule."""

import dataclasses
import json
import math
import random

import pytest

from benchmark import files, store
from benchmark.analysis import tuning
from benchmark.spec import Outcome, Record
from optimizers.base import Axis
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan
from sweeps.search.sweep import Protocol, Sweep, stage
from sweeps.search.transfer import transferred

SPACE = {
    "peak_lr": Axis((0.004, 0.008, 0.016, 0.032, 0.064), 0.016, "log"),
    "weight_decay": Axis((0.0, 0.1, 0.2, 0.4), 0.1, "log"),
}
ONE, TWO = ("27k-1x", "27k-2x", "27k-4x", "27k-8x", "55k-1x", "100k-1x"), ("55k-2x", "100k-2x")


def steep(trial):
    """Loss whose best rate is 0.032 * (N / 27k)**-1 * r**-0.5, rounded to the grid by the search, and whose
    best weight decay is 0.2 everywhere. Nothing else matters. No noise, but paired seeds."""
    h = trial.hyperparameters
    best = 0.032 * (trial.tokens / trial.chinchilla_ratio / 532_480) ** -1.0 * trial.chinchilla_ratio**-0.5
    loss = 0.1 * math.log2(float(h["peak_lr"]) / best) ** 2 + (float(h["weight_decay"]) - 0.2) ** 2
    return Outcome("finished", val_loss=3.0 + loss + 0.01 * (trial.seed % 3))


@pytest.fixture
def phases(contestant):
    return Sweep(
        "phases",
        "",
        (
            *(stage(name, "I", 34) for name in ONE),
            *(stage(name, "II", 5, start="consensus", tune="sensitive", after=ONE) for name in TWO),
            stage("220k-1x", "III", 5, start="law", tune="sensitive", after=(*ONE, *TWO)),
        ),
        Protocol(search="coordinate", searches=1, looks=(3,)),
        contestants=(contestant("adamw", SPACE),),
    )


def test_what_every_task_agrees_on_is_frozen_and_the_rest_is_tuned_again(phases, finish):
    done, _ = finish(phases, steep)
    cell = done.cells["adamw/55k-2x"]
    assert cell["sensitive"] == ["peak_lr"]
    assert cell["agreed"]["weight_decay"] == 0.2
    assert list(done.solved["adamw/55k-2x"].opening.axes) == ["peak_lr"]
    assert cell["from"] == "adamw/55k-1x"
    assert all(a.trial.hyperparameters["weight_decay"] == 0.2 for a in done.solved["adamw/55k-2x"].asked)


def test_an_agreed_value_is_preferred_to_the_nearest_winner(phases, finish):
    """At 55k a weight decay of 0.1 wins by less than the band; everywhere else 0.2 does."""

    def outcome(trial):
        best = 0.1 if trial.scale == "55k" else 0.2
        off = abs(float(trial.hyperparameters["weight_decay"]) - best)
        return Outcome("finished", val_loss=3.0 + 0.01 * off + 0.01 * (trial.seed % 3))

    sweep = dataclasses.replace(phases, protocol=dataclasses.replace(phases.protocol, band=0.005))
    done, _ = finish(sweep, outcome)
    assert done.cells["adamw/55k-1x"]["winner"]["weight_decay"] == 0.1
    assert done.solved["adamw/55k-2x"].opening.start["weight_decay"] == 0.2


def test_the_most_sensitive_is_tuned_first(phases, finish):
    """Both best values fall with size; a step of weight decay costs more than one of the rate."""

    def outcome(trial):
        size = trial.tokens / trial.chinchilla_ratio / 532_480
        rate = math.log2(float(trial.hyperparameters["peak_lr"]) * size / 0.032)
        decay = math.log2((float(trial.hyperparameters["weight_decay"]) + 0.01) * size / 0.41)
        return Outcome("finished", val_loss=3.0 + 0.05 * rate**2 + 0.2 * decay**2 + 0.01 * (trial.seed % 3))

    done, _ = finish(phases, outcome)
    assert list(done.solved["adamw/55k-2x"].opening.axes) == ["weight_decay", "peak_lr"]


def test_the_law_predicts_the_largest_scale_and_its_error_is_reported(phases, finish):
    done, _ = finish(phases, steep)
    cell = done.cells["adamw/220k-1x"]
    truth = 0.032 * (221_184 / 26_624) ** -1.0
    assert cell["predicted"]["peak_lr"] == pytest.approx(truth, rel=0.2)
    assert cell["laws"]["peak_lr"]["points"] == 8
    first = done.solved["adamw/220k-1x"].asked[0]
    assert first.trial.hyperparameters["peak_lr"] == cell["predicted"]["peak_lr"]
    assert cell["prediction"]["excess"] == pytest.approx(first.entry.loss - cell["tuning_loss"])
    assert 0 <= cell["prediction"]["excess"] < 0.02


def test_a_law_is_followed_at_most_a_doubling_beyond_what_won(phases, finish):
    """The law falls with size and ratio: at 400k and 8x it lies far below the smallest winner."""
    far = (*phases.stages[:-1], stage("400k-8x", "III", 5, start="law", tune="sensitive", after=(*ONE, *TWO)))
    done, _ = finish(dataclasses.replace(phases, stages=far), steep)
    cell = done.cells["adamw/400k-8x"]
    winners = [c["winner"]["peak_lr"] for name, c in done.cells.items() if name != "adamw/400k-8x"]
    assert cell["predicted"]["peak_lr"] == pytest.approx(min(winners) / 2, rel=0.01)


def test_where_all_agree_the_essential_hyperparameters_are_tuned_again(phases, finish):
    done, _ = finish(phases, lambda trial: Outcome("finished", val_loss=3.0 + 0.01 * (trial.seed % 3)))
    assert done.cells["adamw/55k-2x"]["sensitive"] == []
    assert list(done.solved["adamw/55k-2x"].opening.axes) == ["peak_lr"]


def test_the_law_in_the_manifest_is_the_one_that_predicted(phases, finish):
    """Its JSON says everything: h(N, r) = scale * N**B * r**C + floor, here from eight winners."""
    done, _ = finish(phases, steep)
    cell = json.loads(json.dumps(done.cells["adamw/220k-1x"], allow_nan=False))
    law = cell["laws"]["peak_lr"]

    def told(size, ratio):
        return law["scale"] * size ** law["size_exponent"] * ratio ** law["ratio_exponent"] + law["floor"]

    assert told(221_184, 1) == pytest.approx(cell["predicted"]["peak_lr"], rel=0.005)  # kept to three digits
    assert told(26_624, 8) == pytest.approx(0.032 * 8**-0.5, rel=0.2)
    assert law["flags"] == []


def test_no_law_without_two_positive_values(phases, finish):
    """A decay of 0 wins everywhere but at 100k-1x: one value is no law, and the nearest winner's is taken."""

    def outcome(trial):
        best = 0.4 if trial.task == "100k-1x" else 0.0
        off = abs(float(trial.hyperparameters["weight_decay"]) - best)
        return Outcome("finished", val_loss=3.0 + off + 0.01 * (trial.seed % 3))

    done, _ = finish(phases, outcome)
    cell = done.cells["adamw/220k-1x"]
    assert cell["sensitive"] == ["weight_decay"]
    assert (cell["predicted"], cell["laws"]) == ({}, {})
    start = done.solved["adamw/220k-1x"].opening.start
    assert start["weight_decay"] == done.cells[cell["from"]]["winner"]["weight_decay"]


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_analysis_finds_the_same_sensitive_hyperparameters(phases, finish, tmp_path, noise):
    """From records and manifest alone, as the pages do, and with the band that the sweep measured."""
    trials = {}

    def outcome(trial):
        trials[trial.trial_id] = trial
        clean, coins = steep(trial), random.Random(trial.trial_id)
        return dataclasses.replace(clean, val_loss=clean.val_loss + coins.gauss(0, noise))

    done, known = finish(phases, outcome)
    for trial_id, trial in trials.items():
        store.save(
            Record(trial=trial, status="finished", val_loss=known[trial_id].val_loss), tmp_path / "phases"
        )
    files.write_atomically(tmp_path / "phases" / "sweep.json", json.dumps(manifest(phases, done)))
    results = store.load(tmp_path)
    runs = results.runs[results.runs.task.isin(ONE)]
    table = tuning.scaling_sensitive(runs, searched=results.sweeps["phases"]["cells"])
    later = done.cells["adamw/55k-2x"]
    assert table[table.sensitive].hyperparameter.tolist() == later["sensitive"]
    for row in table[~table.sensitive].itertuples():
        assert later["agreed"][row.hyperparameter] in row.agreed
    assert {cell["noise"]["band"] is not None for cell in done.cells.values()} == {True}


@pytest.mark.parametrize("rule", ["constant", "width", "law"])
def test_the_policy_transfer_tunes_on_the_smallest_scale_only(phases, finish, rule):
    sweep = transferred(phases, rule)
    assert sweep.name == f"phases-{rule}"
    done, _ = finish(sweep, steep)
    for name, cell in done.cells.items():
        small = cell["task"].startswith("27k")
        assert (len(cell["tuning"]), len(cell["reports"])) == ((34, 3) if small else (0, 3)), name
        assert cell["complete"]
        assert cell["winner"] is not None


def test_constant_transfer_takes_the_nearest_ratio(phases, finish):
    done, _ = finish(transferred(phases, "constant"), steep)
    assert done.cells["adamw/55k-2x"]["winner"] == done.cells["adamw/27k-2x"]["winner"]
    assert done.cells["adamw/220k-1x"]["winner"] == done.cells["adamw/27k-1x"]["winner"]


def test_width_transfer_rescales_rate_and_decay(phases, finish):
    done, _ = finish(transferred(phases, "width"), steep)
    small, large = (done.cells[f"adamw/{name}-1x"]["winner"] for name in ("27k", "100k"))
    assert large["peak_lr"] == pytest.approx(small["peak_lr"] / 2, rel=0.01)  # width 32 to 64
    assert large["weight_decay"] == pytest.approx(small["weight_decay"] * 2, rel=0.01)
    orthogonal = dataclasses.replace(phases.protocol, width_exponents={"*": {}, "adamw": {"weight_decay": 1.0}})
    done, _ = finish(transferred(dataclasses.replace(phases, protocol=orthogonal), "width"), steep)
    assert done.cells["adamw/100k-1x"]["winner"]["peak_lr"] == done.cells["adamw/27k-1x"]["winner"]["peak_lr"]


def test_law_transfer_follows_the_ratio(phases, finish):
    done, _ = finish(transferred(phases, "law"), steep)
    cell = done.cells["adamw/55k-2x"]
    assert cell["predicted"]["peak_lr"] == pytest.approx(0.032 * 2**-0.5, rel=0.2)
    assert cell["laws"]["peak_lr"]["size_exponent"] == 0.0


def test_later_phases_wait_for_all_that_they_need(phases):
    now = plan(phases, {})
    assert {trial.task for trial in now.ready} == set(ONE)
    assert now.remaining == 6 * 37 + 3 * 8
