"""Between two calls of a run's loop: how long the next is, what is kept and said, an end that is asked for."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimizers
from benchmark import peaks, running, stopping
from benchmark.kit import cases
from benchmark.spec import Trial
from benchmark.train import checkpoint, upkeep
from benchmark.train.checkpoint import Progress
from benchmark.train.upkeep import Upkeep, Watch

STEPS = 2000


def trial(**changes: Any) -> Trial:
    made = cases.one_batch_trial(optimizers.get("adamw")(), "jax", 0, STEPS)
    recipe = {**made.hyperparameters, **{k: changes.pop(k) for k in ("batch_size",) if k in changes}}
    return dataclasses.replace(made, hyperparameters=recipe, **changes)


@dataclasses.dataclass
class Clock:
    """Seconds that pass when the run says so."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(upkeep, "time", made)
    return made


def advance(clock: Clock, progress: Progress, until: int, pace: float) -> None:
    seconds = (until - progress.step) * pace
    clock.now += seconds
    progress.train_seconds += seconds
    progress.train_losses += [[3.0 - s / STEPS] for s in range(progress.step, until)]
    progress.step = until


def run(clock: Clock, pace: float, path: Path | None, folder: Path, steps: int = STEPS, **changes: Any) -> dict:
    """A run with so many seconds a step; what it did."""
    progress, one = Progress(curves=[[]]), trial(**changes)
    calls, states = [], []

    def state() -> list[np.ndarray]:
        states.append(clock.now)
        return [np.zeros(3)]

    with Upkeep([one], path, Watch(folder, "NVIDIA H100 80GB HBM3"), state) as kept:
        kept.begin(progress)
        while progress.step < steps:
            until = kept.until(progress, min(steps, progress.step + 128))
            calls.append(until - progress.step)
            advance(clock, progress, until, pace)
            kept.after_call(progress)
        lines = list(running.lines(folder / running.FOLDER / f"{one.trial_id}.jsonl"))
        kept.finish(progress)
    return {"calls": calls, "saved": states, "lines": lines, "progress": progress}


def test_a_call_takes_seconds_and_a_short_run_leaves_nothing(clock: Clock, tmp_path: Path) -> None:
    short = run(clock, 0.005, tmp_path / "state.npz", tmp_path)  # ten seconds of a micro trial
    assert short["calls"][:2] == [16, 128] and not short["saved"] and not short["lines"]
    assert not list(tmp_path.iterdir())
    long = run(clock, 2.0, tmp_path / "state.npz", tmp_path, scale="130m", batch_size=128, seq_len=4096)
    assert long["calls"][:2] == [1, 2] and max(long["calls"]) * 2.0 <= upkeep.CALL_SECONDS
    # what it has come to is there from the first call on, in a line for each
    assert len(long["lines"]) == len(long["calls"])
    assert [line.step for line in long["lines"][:3]] == [1, 3, 5]
    last = long["lines"][-1]
    assert (last.step, last.steps, last.tokens) == (STEPS, STEPS, STEPS * 128 * 4096)
    assert last.loss == pytest.approx(3.0 - (STEPS - 1) / STEPS)  # of one step
    assert last.tokens_per_second == pytest.approx(128 * 4096 / 2.0)
    assert running.read(tmp_path) == [], "its record says more"


@pytest.mark.parametrize(("cost", "every"), [(0.0, 60.0), (3.0, 300.0), (60.0, 900.0)])
def test_saving_takes_a_hundredth_or_comes_every_quarter_of_an_hour(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, every: float
) -> None:
    began = checkpoint.Writer.start

    def slow(writer: checkpoint.Writer, *state: Any) -> None:
        clock.now += cost  # such as a copy of 14 GB
        began(writer, *state)
        writer.wait()
        writer.seconds = 0.0

    monkeypatch.setattr(checkpoint.Writer, "start", slow)
    saved = run(clock, 2.0, tmp_path / "state.npz", tmp_path)["saved"]
    gaps = np.diff(saved[:-1])  # the last one is of the end
    assert len(gaps) > 2
    assert all(every <= gap - cost <= every + 2 * upkeep.CALL_SECONDS for gap in gaps[1:]), gaps


def test_a_state_is_written_beside_the_run_and_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, go, written = tmp_path / "state.npz", threading.Event(), []
    write = checkpoint._write

    def waits(*args: Any) -> None:
        go.wait(10)
        written.append(len(written))
        write(*args)

    monkeypatch.setattr(checkpoint, "_write", waits)
    writer = checkpoint.Writer(path, ["a"])
    writer.start(Progress(step=1), [np.ones(3)])
    assert not written and not path.exists()  # the run goes on meanwhile
    go.set()
    writer.start(Progress(step=2), [np.ones(3)])
    assert written[0] == 0 and checkpoint.reached(path) >= 1
    writer.wait()
    assert checkpoint.reached(path) == 2
    assert checkpoint.load(path, 1, ["a"]) is not None and checkpoint.load(path, 1) is not None
    assert checkpoint.load(path, 1, ["b"]) is None, "the state of others is no state"
    with np.load(path) as file:  # as it was written before it said whose it is
        meta = {k: v for k, v in json.loads(file["meta"].tobytes()).items() if k != "trial_ids"}
    np.savez(path, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), array0=np.ones(3))
    assert checkpoint.load(path, 1, ["b"]) is not None


def test_what_was_said_beyond_a_checkpoint_is_said_again(clock: Clock, tmp_path: Path) -> None:
    line = running.Line(0.0, trial().trial_id, "adamw", "27k-1x", 1, STEPS, 1, 3.0, 1.0, None, "h", 1)
    for step in (1, 5, 9):
        running.append(tmp_path / running.FOLDER, dataclasses.replace(line, step=step))
    with (tmp_path / running.FOLDER / f"{line.trial_id}.jsonl").open("a") as file:
        file.write('{"half": ')
    progress = Progress(step=5, curves=[[]], train_losses=[[3.0]] * 5)
    with pytest.raises(KeyboardInterrupt), Upkeep([trial()], None, Watch(tmp_path), list) as kept:
        kept.begin(progress)
        advance(clock, progress, 6, 2.0)
        kept.after_call(progress)
        raise KeyboardInterrupt  # killed: what was said stays
    assert [line.step for line in running.read(tmp_path)[0]] == [1, 5, 6]


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312e12),
        ("NVIDIA A10", "bfloat16", 125e12),
        ("NVIDIA L40S", "bfloat16", 362e12),
        ("NVIDIA H100 80GB HBM3", "float32", None),
        ("cpu", "bfloat16", None),
    ],
)
def test_the_peak_of_a_device_where_it_is_known(device: str, precision: str, expected: float | None) -> None:
    assert peaks.peak(device, precision) == expected


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from benchmark import stopping
from benchmark.kit import cases
from benchmark.train import checkpoint, upkeep
from benchmark.train.checkpoint import Progress
from optimizers.base import Optimizer
upkeep.LONG_SECONDS = upkeep.LINE_SECONDS = 0.0
how, folder = sys.argv[1], Path(sys.argv[2])
trial = cases.one_batch_trial(Optimizer(), "jax", 0, 20)
found = checkpoint.load(folder / "state.npz", 1)
progress, state = found if found else (Progress(curves=[[]]), [np.zeros(1)])
def main():
    with upkeep.Upkeep([trial], folder / "state.npz", upkeep.Watch(folder), lambda: [state[0].copy()]) as kept:
        kept.begin(progress)
        while progress.step < 20:
            print("at", progress.step, flush=True)
            for _ in range(5):
                time.sleep(0.05)  # a signal comes in here
                progress.train_losses.append([1.0])
                state[0] += 1
            progress.step += 5
            progress.train_seconds += 0.5
            kept.after_call(progress)
        kept.finish(progress)
    print("ended with", state[0].tolist(), flush=True)
    return 0
if how == "worker":
    stopping.listen()
    sys.exit(main())
sys.exit(stopping.run(main, "Stopped."))
"""


@pytest.mark.parametrize("how", ["worker", "command"])
def test_a_signal_in_a_call_loses_no_step_of_a_long_run(tmp_path: Path, how: str) -> None:
    def start() -> subprocess.Popen:
        words = [sys.executable, "-c", CHILD, how, str(tmp_path)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = start()
    assert first.stdout
    assert [first.stdout.readline() for _ in range(2)] == ["at 0\n", "at 5\n"]
    os.kill(first.pid, signal.SIGTERM)
    rest, error = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM and rest == "", error
    assert error.strip() == ("Stopped." if how == "command" else "")
    assert len(list((tmp_path / "running").iterdir())) == 1
    resumed, error = start().communicate(timeout=60)
    assert resumed == "at 10\nat 15\nended with [20.0]\n", error
    assert not list((tmp_path / "running").iterdir())


def test_blocks_that_ask_are_not_interrupted_and_what_came_is_told_when_they_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def main() -> int:
        with stopping.first(lambda: asked.append("first")):
            try:
                with stopping.held(), stopping.held():
                    os.kill(os.getpid(), signal.SIGTERM)
                    asked.append(stopping.requested())
            except KeyboardInterrupt:
                asked.append("told")
                raise
        return 0

    assert stopping.run(main, "Stopped.") == 128 + signal.SIGTERM
    assert asked == [True, "first", "told"]
