"""The study's smallest scale, 265 million parameters in all, trains on a CPU; killed, it goes on bit for bit.

Short sequences and small batches, so that a step takes seconds. Run by `pytest -m slow`.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import optimizers
from benchmark import scales
from benchmark.spec import RECIPE, Evaluation, Outcome, Trial
from benchmark.train import runner, trainer_jax, upkeep
from benchmark.train.checkpoint import Progress

pytestmark = pytest.mark.slow
STEPS, BATCH, LENGTH = 4, 2, 64


def trial() -> Trial:
    built, scale = optimizers.get("adamw")(), scales.get("130m")
    recipe = dict(zip(RECIPE, (1.0, 1.0, 0.25, "cosine", 1.0, 0.0, 1.0, BATCH), strict=True))
    return Trial(
        optimizer="adamw",
        rule="adamw@1",
        scale="130m",
        chinchilla_ratio=1.0,
        tokens=STEPS * BATCH * LENGTH,
        steps=STEPS,
        seq_len=LENGTH,
        vocab=scale.vocab,
        hyperparameters={**built.floats(), **built.statics(), **recipe},
        seed=0,
        use="tuning",
        corpus="random",
        corpus_hash="c",
        tokenizer_hash="t",
        evaluation=Evaluation(sequences=4),
        precision="bfloat16",
    )


class RandomCorpus:
    """Random tokens of the study's vocabulary."""

    name = "random"
    token_bytes = np.full(128_256, 4)

    def tokens(self, split: str) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 128_256, 4096).astype(np.uint32)


def child(folder: Path) -> None:
    """One worker: a checkpoint after every step, the final state kept beside the record."""
    short = dataclasses.replace(scales.get("130m"), seq_len=LENGTH)
    scales.SCALES["130m"] = short
    trainer_jax.set_up(folder.parent / "compiled")
    trainer_jax.CHUNK, upkeep.CHECKPOINT_SECONDS, upkeep.SHARE = 1, 0.0, 1e9
    judge = trainer_jax._Pack.outcomes

    def outcomes(pack: trainer_jax._Pack, progress: Progress) -> list[Outcome]:
        pack.save(folder / "final.npz", progress)
        return judge(pack, progress)

    resume = trainer_jax._Pack.resume

    def resumed(pack: trainer_jax._Pack, path: Path | None) -> Progress:
        progress = resume(pack, path)
        (folder / "first_step").write_text(str(progress.step))
        return progress

    setattr(trainer_jax._Pack, "outcomes", outcomes)  # noqa: B010
    setattr(trainer_jax._Pack, "resume", resumed)  # noqa: B010
    (record,) = runner.run([trial()], optimizers.get("adamw"), RandomCorpus(), checkpoints=folder)  # pyright: ignore[reportArgumentType]
    (folder / "record.json").write_text(record.to_json())


def start(folder: Path) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log:
        return subprocess.Popen([sys.executable, __file__, str(folder)], stdout=log, stderr=log)


def finish(folder: Path) -> dict:
    assert start(folder).wait(timeout=600) == 0, (folder / "log").read_text()[-3000:]
    return json.loads((folder / "record.json").read_text())


def steps_done(path: Path) -> int:
    """The step of a checkpoint; 0 where there is none."""
    if not path.exists():
        return 0
    with np.load(path) as file:
        return json.loads(file["meta"].tobytes())["step"]


def test_a_killed_run_ends_with_the_parameters_of_one_that_was_not(tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.perf_counter()
    record = finish(whole)
    seconds = time.perf_counter() - began
    assert record["status"] == "finished" or "uniform guess" in record["reason"]  # random text teaches nothing
    run, checkpoint = start(killed), killed / f"{trial().trial_id}-1.npz"
    while not 1 <= (done := steps_done(checkpoint)) < STEPS:
        assert run.poll() is None, (killed / "log").read_text()[-3000:]
        time.sleep(0.2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(timeout=60)
    assert not (killed / "record.json").exists()
    kept = steps_done(checkpoint)
    resumed = finish(killed)
    assert int((killed / "first_step").read_text()) == kept >= done  # it went on, and did not start afresh
    with np.load(whole / "final.npz") as one, np.load(killed / "final.npz") as other:
        names = [name for name in one.files if name != "meta"]
        assert len(names) > 500 and one.files == other.files
        assert all(one[name].tobytes() == other[name].tobytes() for name in names)
        assert sum(one[name].size for name in names) > 3 * scales.get("130m").num_params
    assert resumed["val_loss"] == record["val_loss"] and resumed["train_loss"] == record["train_loss"]
    cost = record["cost"]
    with capsys.disabled():
        print(
            f"\n130m: {STEPS} steps of {BATCH} x {LENGTH} tokens, {cost['step_seconds']:.1f} s each,"
            f" {seconds:.0f} s in all, peak memory {cost['peak_memory_bytes'] / 2**30:.1f} GiB;"
            f" killed at step {done}, resumed"
        )


if __name__ == "__main__":
    child(Path(sys.argv[1]))
