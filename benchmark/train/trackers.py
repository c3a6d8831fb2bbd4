"""What a run tells while it goes on, handed on to a tracker: `--track wandb|trackio|tensorboard`.

A tracker is a thin client around another project's; only trials that live for more than half a minute reach it
(upkeep.py). What goes wrong in one costs its lines and nothing else.
"""

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmark.extras import install
from benchmark.running import Line
from benchmark.spec import Trial

PROJECT = "optimizer-benchmark"
SHOWN = ("tokens", "loss", "tokens_per_second", "share_of_peak")


class Tracker(Protocol):
    """One trial's run in a tracker. Each of these may raise anything."""

    def tell(self, line: Line) -> None: ...

    def end(self) -> None: ...


class _Logged:
    """A run of wandb's, or of trackio's, which has the same interface."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def tell(self, line: Line) -> None:
        self.run.log(_values(line), step=line.step)

    def end(self) -> None:
        self.run.finish()


class _Events:
    """TensorBoard's event files."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def tell(self, line: Line) -> None:
        for name, value in _values(line).items():
            self.writer.add_scalar(name, value, line.step, walltime=line.time)
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


def _wandb(folder: Path, trial: Trial) -> Tracker:
    wandb = importlib.import_module("wandb")
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=PROJECT,
        name=_name(trial),
        id=trial.trial_id,
        group=f"{trial.optimizer} {trial.task}",
        config=_config(trial),
        dir=str(folder),
        resume="allow",  # a trial that goes on from a checkpoint
        reinit="create_new",  # the trials of a pack are runs of one process
    )
    return _Logged(run)


def _trackio(folder: Path, trial: Trial) -> Tracker:
    trackio = importlib.import_module("trackio")
    name = f"{_name(trial)} {trial.trial_id}"  # by which it is resumed
    return _Logged(trackio.init(project=PROJECT, name=name, config=_config(trial), resume="allow"))


def _tensorboard(folder: Path, trial: Trial) -> Tracker:
    writer = importlib.import_module("tensorboardX").SummaryWriter
    where = folder / "tensorboard" / trial.optimizer.replace("/", "--") / trial.task / trial.trial_id
    return _Events(writer(str(where)))


TRACKERS: Mapping[str, tuple[str, Callable[[Path, Trial], Tracker]]] = {
    "wandb": ("wandb", _wandb),
    "trackio": ("trackio", _trackio),
    "tensorboard": ("tensorboardX", _tensorboard),
}  # name, which is its extra's too -> the package that it needs, and how a trial's run begins


def check(name: str) -> None:
    """Raise ValueError where a tracker's package is not installed."""
    package = TRACKERS[name][0]
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"--track {name} needs {package}, which is not installed: {install(name)}")


def begin(name: str, folder: Path, trial: Trial) -> Tracker:
    """A trial's run in a tracker, or the one that there is. folder: for what is kept on this machine."""
    return TRACKERS[name][1](folder, trial)


def _values(line: Line) -> dict[str, float]:
    found = dataclasses.asdict(line)
    return {name: float(found[name]) for name in SHOWN if found[name] is not None}


def _name(trial: Trial) -> str:
    return f"{trial.optimizer} {trial.task} {trial.use} seed {trial.seed}"


def _config(trial: Trial) -> dict[str, Any]:
    return {**dataclasses.asdict(trial), "trial_id": trial.trial_id}
