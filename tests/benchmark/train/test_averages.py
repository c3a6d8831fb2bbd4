"""Averages of the weights: what they are, and that they leave the run as it is."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.kit import cases
from benchmark.train import averages, trainer_jax, trainer_torch
from optimizers.adamw import AdamW

STEPS = 20
TRAINERS = {"jax": trainer_jax, "torch": trainer_torch}


def asked(backend: Any, steps: int = STEPS, **changes: Any) -> Any:
    trial = cases.one_batch_trial(AdamW(), backend, 0, steps)
    evaluation = dataclasses.replace(trial.evaluation, averages=True, **changes)
    return dataclasses.replace(trial, evaluation=evaluation)


def train(trial: Any, **options: Any) -> Any:
    torch.set_num_threads(1)
    return TRAINERS[trial.backend].train([trial], [AdamW()], cases.one_batch(), **options)


@pytest.mark.parametrize("steps", [7, 199, 520, 1280])
def test_a_ramp_shows_what_each_is_a_mean_of(steps: int) -> None:
    kept, step, samples = dict.fromkeys(averages.NAMES, 0.0), 0, []
    while step < steps:
        step = averages.next_sample(step, steps)
        samples.append(step)
        for name, share in averages.weights(step, steps).items():
            kept[name] += share * (step - kept[name])
    assert samples[-1] == steps and set(np.diff(samples[:-1])) == {averages.every(steps)}
    tail = [s for s in samples if s > 0.9 * steps]
    assert kept["tail"] == pytest.approx(np.mean(tail), abs=averages.every(steps))
    for name, age in averages.EMAS.items():
        if steps >= 199:  # a shorter run has no window to speak of
            assert steps - kept[name] == pytest.approx(age * steps, abs=1.5 * averages.every(steps))


def test_they_are_averages_of_the_weights_after_each_step() -> None:
    torch.set_num_threads(1)
    run = trainer_torch.TrainingRun(asked("torch"), AdamW(), cases.one_batch())
    seen = []
    for step in range(1, STEPS + 1):
        run.train(max_steps=step)
        seen.append({name: value.detach().numpy().copy() for name, value in run.values.items()})
    for name in run.values:
        tail = np.mean([values[name] for values in seen[-2:]], axis=0)
        np.testing.assert_allclose(run.averages["tail"][name].numpy(), tail, atol=1e-6)
        # mean age of two steps: the plain mean of the first three, then a third of the new one
        slow = np.mean([values[name] for values in seen[:3]], axis=0)
        for values in seen[3:]:
            slow = (2 * slow + values[name]) / 3
        np.testing.assert_allclose(run.averages["ema10"][name].numpy(), slow, atol=1e-6)


@pytest.mark.parametrize("backend", TRAINERS)
def test_the_run_is_the_same_with_them_and_without(backend: Any) -> None:
    (with_them,) = train(asked(backend))
    evaluation = dataclasses.replace(asked(backend).evaluation, averages=False)
    plain = dataclasses.replace(asked(backend), evaluation=evaluation)
    (without,) = train(plain)
    assert with_them.val_loss == without.val_loss and not without.averages
    assert set(with_them.averages) == set(averages.NAMES)
    assert plain.trial_id != asked(backend).trial_id and "averages" not in plain.stored()["evaluation"]


def test_both_frameworks_have_the_same_averages() -> None:
    one, other = (train(asked(backend))[0].averages for backend in TRAINERS)
    assert one == pytest.approx(other, abs=2e-3)
    assert one["ema10"] > one["ema2"] + 1e-3  # an older mean of weights that still improve


@pytest.mark.parametrize("backend", TRAINERS)
def test_they_go_on_from_a_checkpoint(backend: Any, tmp_path: Any) -> None:
    path = tmp_path / "state.npz"
    assert not train(asked(backend), checkpoint_path=path, max_steps=11)
    (resumed,) = train(asked(backend), checkpoint_path=path)
    assert resumed.averages == train(asked(backend))[0].averages
