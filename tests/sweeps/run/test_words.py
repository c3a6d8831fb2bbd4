"""What a running sweep says: failures once a kind, and one's own optimizer before its verdict."""

import dataclasses
import random
from types import SimpleNamespace

import pytest

from benchmark.spec import Outcome
from sweeps.run.words import EARLY, Words
from sweeps.search.plan import Memory, plan
from sweeps.search.sweep import Protocol, Sweep, stage


@pytest.fixture
def sweep(pair) -> Sweep:
    mine = dataclasses.replace(pair[1], source="mine.py", name="mine", rule="mine#1")
    stages = (
        stage("27k-0.5x", "I", 16, tune="essential"),
        stage("27k-1x", "II", 0, start="winner", tune="essential", after=("27k-0.5x",)),
        stage("27k-2x", "baseline", 0, start="winner", tune="essential", after=("27k-0.5x",)),
    )
    return Sweep(
        "w", "", stages, Protocol(searches=4, looks=(8,)), contestants=(pair[0], mine), search_looks=(2, 4)
    )


def told(sweep, outcome, seconds=0.0):
    """Every line of a sweep that runs to its end, the baseline first, after how many trials of one's own."""
    words, memory, known, lines, own = Words(sweep), Memory(), {}, [], 0
    while not (now := plan(sweep, known, memory)).done:
        trial = min(now.ready, key=lambda t: t.optimizer != "adamw")
        ended = outcome(trial)
        record = SimpleNamespace(trial=trial, **dataclasses.asdict(ended))
        known[trial.trial_id] = ended
        own += trial.optimizer == "mine"
        lines += [(own, line) for line in words.about(record, plan(sweep, known, memory), seconds)]
    return lines


def finished(trial):
    coins, shared = random.Random(trial.trial_id), random.Random(trial.seed)
    loss = 3.5 - 0.5 * (trial.optimizer == "mine") - 0.1 * trial.chinchilla_ratio
    return Outcome("finished", val_loss=loss + coins.gauss(0, 0.01) + shared.gauss(0, 0.02))


def test_the_first_words_come_with_the_first_tuning_and_are_no_verdict(sweep):
    (trials, first), (_, look) = told(sweep, finished)
    assert trials == 8  # two searches of four, half of its tuning
    assert first.startswith(
        "mine, not a verdict yet: after 8 tuning trials at 27k-0.5x its best validation loss is 2.9"
    )
    assert "adamw's after as many 3.4" in first and first.endswith("; none diverged or failed.")
    assert look == "mine, looked at after 2 searches: nothing is open, so it ends here."


def test_where_tuning_takes_long_something_is_said_before_it_ends(sweep):
    (trials, first), (later, second), _ = told(sweep, finished, seconds=EARLY)
    assert (trials, later) == (1, 8)
    assert "after 1 tuning trial at" in first and "after 8 tuning trials" in second


def test_a_failure_is_shown_once_a_kind_as_it_happens(sweep):
    def bad(trial):
        if trial.optimizer != "mine" or trial.use == "report":
            return finished(trial)
        if trial.hyperparameters["beta"] == 0.9 or random.Random(trial.trial_id).random() < 0.3:
            return Outcome("failed", f"mine.py:7: shapes {len(trial.trial_id)} and {trial.seed} differ")
        return Outcome(
            "diverged", f"the loss is not finite after {random.Random(trial.trial_id).randint(1, 99)} steps"
        )

    lines = [line for _, line in told(sweep, bad)]
    assert len([line for line in lines if line.startswith("failed: mine 27k-0.5x")]) == 1
    assert len([line for line in lines if line.startswith("diverged: mine 27k-0.5x")]) == 1
    words = next(line for line in lines if "not a verdict yet" in line)
    assert "none has finished" in words and "diverged and" in words and words.endswith("failed.")


def test_trials_that_are_given_up_are_said_to_be(sweep):
    def broken(trial):
        return Outcome("failed", "mine.py:7: no") if trial.optimizer == "mine" else finished(trial)

    lines = [line for _, line in told(sweep, broken)]
    assert any(line.startswith("mine at 27k-0.5x: given up after 3 failures: mine.py:7: no") for line in lines)


def test_others_divergences_are_no_news(sweep):
    def outcome(trial):
        return Outcome("diverged", "the loss is not finite") if trial.optimizer == "adamw" else finished(trial)

    assert not any(line.startswith("diverged") for _, line in told(sweep, outcome))
