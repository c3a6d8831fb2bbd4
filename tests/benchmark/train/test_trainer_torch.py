"""The trainer in torch: what trainer_jax.py does, and the same numbers."""

import dataclasses
import errno
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import optimizers
from benchmark import scales
from benchmark.kit import cases
from benchmark.spec import Evaluation, Outcome, Trial
from benchmark.train import checkpoint, trainer_jax, trainer_torch, upkeep
from optimizers import Optimizer

Pair = tuple[Trial, Optimizer]


def pair(name: str = "adamw", seed: int = 0, steps: int = 20, points: int = 0, **changes: Any) -> Pair:
    """A short run on one batch, with its evaluation on the same text."""
    entry = optimizers.get(name)
    fields = {field.name for field in dataclasses.fields(entry)}
    optimizer = entry(**{key: value for key, value in changes.items() if key in fields})
    trial = cases.one_batch_trial(optimizer, "torch", seed, steps)
    evaluation = Evaluation("test", sequences=4, curve_points=points, curve_sequences=4)
    recipe = {**trial.hyperparameters, **changes}
    return dataclasses.replace(trial, hyperparameters=recipe, evaluation=evaluation), optimizer


def train(*pairs: Pair, trainer: Any = trainer_torch, **options: Any) -> list[Outcome]:
    torch.set_num_threads(1)
    return trainer.train([t for t, _ in pairs], [o for _, o in pairs], cases.one_batch(), **options)


def test_loss_falls_and_the_record_is_complete() -> None:
    (out,) = train(pair(points=4))
    assert out.status == "finished"
    assert out.val_loss is not None and out.val_loss < math.log(512) - 0.5
    assert [point.step for point in out.curve] == [5, 10, 15, 20]
    assert out.curve[-1].val_loss == pytest.approx(out.val_loss)
    assert out.bits_per_byte == pytest.approx(out.val_loss / math.log(2))
    assert out.cost.state_bytes == pytest.approx(8 * scales.get("13k").total_params, rel=0.01)
    assert out.cost.tokens_per_second > 0 and out.cost.peak_memory_bytes > 0
    assert out.cost.train_seconds > 0 and out.cost.eval_seconds > 0 and out.cost.compile_seconds == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"decay_kind": "cosine", "decay_fraction": 1.0},
        {"warmup_fraction": 0.5, "final_lr_ratio": 0.5},
        {"clip_norm": 0.05},
        {"clip_norm": 0.0, "weight_decay": 2.0},
        {"embedding_lr_ratio": 4.0, "head_lr_ratio": 0.5, "weight_decay": 1.0},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_schedule_clipping_and_decay_are_those_of_jax(changes: dict[str, Any]) -> None:
    plain = train(pair())[0].val_loss
    (ours,), (theirs,) = train(pair(**changes)), train(pair(**changes), trainer=trainer_jax)
    assert ours.val_loss == pytest.approx(theirs.val_loss, abs=1e-4)
    assert abs(ours.val_loss - plain) > 1e-3  # an accepted argument is used


def test_bfloat16_is_close_to_float32_and_not_the_same() -> None:
    trial, optimizer = pair()
    (full,) = train((trial, optimizer))
    (low,) = train((dataclasses.replace(trial, precision="bfloat16"), optimizer))
    assert low.val_loss == pytest.approx(full.val_loss, abs=0.03)
    assert low.val_loss != full.val_loss


@pytest.mark.parametrize("name", ["adamw", "kron", "sophia"])
def test_resuming_is_bit_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.npz"
    train_one_step, steps = trainer_torch.TrainingRun._step, []

    def counted(run: trainer_torch.TrainingRun, step: int) -> torch.Tensor:
        steps.append(step)
        return train_one_step(run, step)

    monkeypatch.setattr(trainer_torch.TrainingRun, "_step", counted)
    (whole,) = train(pair(name, points=4))
    assert train(pair(name, points=4), checkpoint_path=path, max_steps=13) == []
    assert path.exists()
    steps.clear()
    (resumed,) = train(pair(name, points=4), checkpoint_path=path)
    assert steps == list(range(13, 20))  # not from the beginning
    assert (resumed.val_loss, resumed.train_loss) == (whole.val_loss, whole.train_loss)
    assert [(p.step, p.val_loss) for p in resumed.curve] == [(p.step, p.val_loss) for p in whole.curve]
    assert not path.exists()


def test_told_to_end_a_long_run_keeps_its_state_and_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.npz"
    (whole,) = train(pair())
    told = iter([False, True])
    monkeypatch.setattr(trainer_torch, "CHUNK", 5)
    monkeypatch.setattr(upkeep, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(upkeep.stopping, "requested", lambda: next(told, False))
    with pytest.raises(KeyboardInterrupt):
        train(pair(), checkpoint_path=path)
    assert checkpoint.reached(path) == 10
    (resumed,) = train(pair(), checkpoint_path=path)
    assert (resumed.val_loss, resumed.train_loss) == (whole.val_loss, whole.train_loss)
    assert not path.exists()


def test_damaged_checkpoint_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    (whole,) = train(pair())
    train(pair(), checkpoint_path=path, max_steps=13)
    path.write_bytes(path.read_bytes()[:500])
    assert train(pair(), checkpoint_path=path)[0].val_loss == whole.val_loss


def test_a_pack_is_its_runs_one_after_the_other(tmp_path: Path) -> None:
    pairs = [pair(seed=0), pair(seed=1, peak_lr=0.01)]
    alone = [train(one)[0].val_loss for one in pairs]
    assert [out.val_loss for out in train(*pairs)] == alone
    path = tmp_path / "state.npz"
    assert train(*pairs, checkpoint_path=path, max_steps=7) == []
    assert len(list(tmp_path.iterdir())) == 2
    assert [out.val_loss for out in train(*pairs, checkpoint_path=path)] == alone
    assert not list(tmp_path.iterdir())


def test_a_long_packs_finished_run_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in its second run, a pack goes on there."""
    pairs, path = [pair(seed=0), pair(seed=1)], tmp_path / "state.npz"
    expected = [out.val_loss for out in train(*pairs)]
    monkeypatch.setattr(upkeep, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(upkeep, "SHARE", 1e9)
    train_one_step, steps = trainer_torch.TrainingRun._step, []

    def dies_at_step_25(run: trainer_torch.TrainingRun, step: int) -> torch.Tensor:
        steps.append(step)
        if len(steps) == 25:
            raise KeyboardInterrupt
        return train_one_step(run, step)

    monkeypatch.setattr(trainer_torch.TrainingRun, "_step", dies_at_step_25)
    with pytest.raises(KeyboardInterrupt):
        train(*pairs, checkpoint_path=path)
    assert [out.val_loss for out in train(*pairs, checkpoint_path=path)] == expected
    assert len(steps) == 25 + 20  # the second run's


def test_a_full_disk_stops_checkpoints_and_not_the_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, path = [pair(seed=0), pair(seed=1)], tmp_path / "state.npz"
    expected = [out.val_loss for out in train(*pairs)]
    train(*pairs, checkpoint_path=path, max_steps=13)
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}
    tries = []

    def full(*args: Any, **arrays: np.ndarray) -> None:
        tries.append(all(file.read_bytes() == content for file, content in kept.items()))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(upkeep, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(upkeep, "SHARE", 1e9)
    monkeypatch.setattr(np, "savez", full)
    assert [out.val_loss for out in train(*pairs, checkpoint_path=path)] == expected
    assert tries == [True] * 2  # each run's checkpoint, which is its end too


def test_divergence_is_the_same_outcome_as_in_jax() -> None:
    wild = pair(peak_lr=1e6, clip_norm=0.0)
    (ours,), (theirs,) = train(wild), train(wild, trainer=trainer_jax)
    assert ours.status == theirs.status == "diverged"
    assert ours.val_loss is None and ours.reason


def test_a_parameter_without_a_group_is_an_error() -> None:
    values = {name: torch.nn.Parameter(torch.ones(2)) for name in ("a", "b")}
    trainer_torch.require_every_parameter_once(torch.optim.SGD(values.values(), lr=0.1), values)
    with pytest.raises(ValueError, match="'b' is in 0 of its groups"):
        trainer_torch.require_every_parameter_once(torch.optim.SGD([values["a"]], lr=0.1), values)


def test_noise_is_a_pure_function_of_seed_name_and_step() -> None:
    draw = trainer_torch.normal(seed=3)
    first = draw("embed", 5, (4, 2))
    assert torch.equal(first, trainer_torch.normal(3)("embed", 5, (4, 2)))
    for other in (
        draw("embed", 6, (4, 2)),
        draw("head", 5, (4, 2)),
        trainer_torch.normal(4)("embed", 5, (4, 2)),
    ):
        assert not torch.equal(first, other)
    assert abs(float(np.std(draw("embed", 0, (100, 100)).numpy())) - 1) < 0.02
