"""Trackers: each is told of a run by its own client's calls, and what goes wrong there costs no training."""

import dataclasses
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import optimizers
from benchmark import running
from benchmark.extras import known
from benchmark.kit import cases
from benchmark.running import Line
from benchmark.train import trackers
from benchmark.train.checkpoint import Progress
from benchmark.train.upkeep import Upkeep, Watch
from sweeps import __main__ as command

TRIAL = cases.one_batch_trial(optimizers.get("adamw")(), "jax", 0, 20)
LINE = Line(1.0, TRIAL.trial_id, "adamw", "13k-1x", 10, 20, 5120, 3.5, 1000.0, None, "host", 1)


class Client:
    """A stand-in for a package with the interface of wandb's."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def init(self, **how: Any) -> "Client":
        self.told.append(("init", how))
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.told.append(("log", (values, step)))

    def finish(self) -> None:
        self.told.append(("finish", None))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_run_is_logged_and_resumed_under_its_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    client = Client()
    monkeypatch.setitem(sys.modules, name, client)  # pyright: ignore[reportArgumentType]
    run = trackers.begin(name, tmp_path, TRIAL)
    run.tell(LINE)
    run.end()
    (_, how), log, end = client.told
    assert how["resume"] == "allow" and TRIAL.trial_id in (how.get("id", ""), how["name"].split()[-1])
    assert how["config"]["hyperparameters"] == TRIAL.hyperparameters
    assert log == ("log", ({"tokens": 5120.0, "loss": 3.5, "tokens_per_second": 1000.0}, 10))
    assert end == ("finish", None)


def test_tensorboard_reads_what_was_said(tmp_path: Path) -> None:
    run = trackers.begin("tensorboard", tmp_path, TRIAL)
    run.tell(LINE)
    run.end()
    (events,) = (tmp_path / "tensorboard").rglob("events.out.tfevents.*")
    assert events.parent.name == TRIAL.trial_id
    assert b"tokens_per_second" in events.read_bytes() and b"loss" in events.read_bytes()


def test_a_tracker_that_fails_is_said_and_costs_no_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("api_key not configured (no-tty)\nmore")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("benchmark.train.upkeep.LONG_SECONDS", 0.0)
    monkeypatch.setattr("benchmark.train.upkeep.LINE_SECONDS", 0.0)
    progress = Progress(curves=[[]])
    with Upkeep([TRIAL], None, Watch(tmp_path, track="wandb", tracked=tmp_path), list) as kept:
        kept.begin(progress)
        progress = dataclasses.replace(progress, step=5, train_seconds=1.0, train_losses=[[3.0]] * 5)
        kept.after_call(progress)
        ((line,),) = running.read(tmp_path)
    assert line.note == "wandb: RuntimeError: api_key not configured (no-tty)" and line.loss == 3.0


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_tracker_that_is_not_installed_is_one_line_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: None)
    assert (
        command.main(["smoke", "--track", name, "--results", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    )
    error = capsys.readouterr().err
    assert f"--track {name} needs" in error and error.count("\n") == 1
    assert f"EXTRAS={name}" in error or f"[{name}]" in error or shutil.which("uv") or name not in known()
