"""What an optimizer must do before a sweep runs it: the first steps of a real run, cut in two by a checkpoint.

A sweep asks this of a user's file once, before its first trial; the conformance kit asks it of every optimizer.
What fails here would fail trial by trial, hours later.
"""

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.corpora import cache_folder
from benchmark.kit import cases, drivers
from benchmark.kit.cases import STEPS
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers.base import Optimizer
from optimizers.user import files, modules
from optimizers.user.files import Backend

FIRST_STEPS = 4
LIMIT_SECONDS = 300.0  # a hang: with everything to compile, a busy machine takes half a minute
LOAD_SECONDS = 8.0  # a hang: what the file itself does when it is imported, the packages that it needs apart
PATIENCE_SECONDS = 5.0  # before a word is said of what one waits for
START = "spawn"  # of the process: what a file does there must not depend on what happened here
RESUME_TOLERANCE = 1e-5  # of the loss: a GPU's sums, whose order varies, differ by less; lost state by more


def admit(entry: type[Optimizer], backend: Backend) -> None:
    """Let an optimizer take its first steps. Raises ValueError, one line, with the reason and, where the fault
    lies in the optimizer's own file, the line."""
    files.require(entry, backend)
    runner.trainer_of(backend)
    file = Path(str(sys.modules[entry.__module__].__file__))
    try:
        trains_and_resumes(entry(), backend)
        every_parameter_moves(entry(), backend)
    except (Exception, SystemExit) as error:  # anything may be raised by somebody else's code
        where = modules.place(error, file)
        label = getattr(entry, "file", where) if where == str(file) else where
        raise ValueError(f"{label}: {_reason(error)}") from None


def admit_named(where: str, backend: Backend) -> None:
    """`admit` what is not in the registry (optimizers/user/spec.py), in a process of its own: it holds no GPU
    memory afterwards, and what hangs or ends the process does so there. Raises ValueError, one line."""
    _apart(where, backend)


def load_named(where: str) -> None:
    """Load what is not in the registry, in a process of its own as `admit_named`. Raises ValueError alike."""
    _apart(where, None)


def _apart(where: str, backend: Backend | None) -> None:
    context: Any = multiprocessing.get_context(START)
    answer, end = context.Pipe(duplex=False)
    process = context.Process(target=_load_and_admit, args=(where, backend, end))
    process.start()
    end.close()  # so that the child's end is the last: it is closed with the child, whatever ends it
    doing = "when it is imported"
    try:
        _wait(answer, LIMIT_SECONDS, f"{where}: what it imports has not been loaded")
        _wait(answer, LOAD_SECONDS, f"{where}: its import has not ended")
        doing = "in its first steps"
        _wait(
            answer,
            LIMIT_SECONDS,
            f"{where}: has not taken its first steps",
            f"{where}: taking its first steps ...",
        )
    except EOFError:
        raise ValueError(f"{where}: ends the process {doing} (killed, or a crash)") from None
    else:
        process.join(5.0)  # its answer is in: it may clean up
    finally:
        process.kill()


def _wait(answer: Connection, seconds: float, late: str, waiting: str = "") -> None:
    """Wait for a word of the process. Raises ValueError for a reason that it sends, or none in this time."""
    if waiting and not answer.poll(min(PATIENCE_SECONDS, seconds)):
        print(waiting, file=sys.stderr, flush=True)
    if not answer.poll(seconds):
        raise ValueError(f"{late} after {seconds:g} seconds")
    if failure := answer.recv():
        raise ValueError(failure)


def _load_and_admit(where: str, backend: Backend | None, end: Connection) -> None:
    """Send nothing as what the file imports is loaded, as it is itself and as it is admitted; or the reason why
    it is not."""
    try:
        if backend:
            runner.trainer_of(backend).set_up(cache_folder() / "compiled")
        files.preload(where)
        end.send("")
        entry = files.load(where)
        end.send("")
        if backend:
            admit(entry, backend)
        end.send("")
    except ValueError as error:
        end.send(str(error))
    except BaseException as error:  # whatever somebody's objects raise when they are looked at
        end.send(f"{where}: {_reason(error)}")


def trains_and_resumes(optimizer: Optimizer, backend: Backend) -> None:
    """The trainer itself takes the first steps of a run, hyperparameters traced in jax, and evaluates it; a
    checkpoint half way changes nothing. A loss that grows is allowed, for a search may find a better rate; one
    that is not finite is not."""
    whole = _first_steps(optimizer, backend, None)
    if whole.train_loss is None:
        raise ValueError(f"fails in its first steps at its default hyperparameters: {whole.reason}")
    with tempfile.TemporaryDirectory() as folder:
        resumed = _first_steps(optimizer, backend, Path(folder) / "state.npz")
    one, other = _losses(whole), _losses(resumed)
    if not np.allclose(one, other, rtol=RESUME_TOLERANCE, atol=0, equal_nan=True):
        gap = np.nanmax(np.abs(one - other))
        raise ValueError(f"its loss differs by {gap:.1e} after a checkpoint: some state is not saved")


def every_parameter_moves(optimizer: Optimizer, backend: Backend) -> None:
    """Every parameter is in exactly one group: it has a gradient, so it moves, to finite values."""
    start = cases.starting_values(cases.toy_params())
    for name, points in drivers.path(cases.in_square_blocks(optimizer), backend).items():
        if not np.all(np.isfinite(points)):
            raise ValueError(f"{name} is not finite after {STEPS} steps of harmless gradients")
        if np.all(points[-1] == start[name]):
            raise ValueError(f"{name} never moves: it is in no group")


def attempt(check: Callable[[], None]) -> str:
    """Empty where the check passes, else one line. An optimizer's code may raise anything; all is a failure."""
    try:
        check()
    except (Exception, SystemExit) as error:
        return _reason(error)
    return ""


def _reason(error: BaseException) -> str:
    name, lines = type(error).__name__, str(error).strip().splitlines() or ["no message"]
    if name.startswith(("Tracer", "Concretization")):
        return f"{name}: {lines[0]} Floats are traced in jax: no `if` on them, no float(); use jnp.where"
    return lines[0] if isinstance(error, ValueError) else f"{name}: {lines[0]}"


def _first_steps(optimizer: Optimizer, backend: Backend, checkpoint: Path | None) -> Outcome:
    """A run of FIRST_STEPS as the runner makes and records it, killed half way where there is a checkpoint."""
    trainer, corpus = runner.trainer_of(backend), cases.one_batch()
    trial = cases.one_batch_trial(optimizer, backend, seed=0, steps=FIRST_STEPS)
    settings = [runner.setting(type(optimizer), trial)]
    if checkpoint:
        trainer.train([trial], settings, corpus, checkpoint, max_steps=FIRST_STEPS // 2)
    outcome = trainer.train([trial], settings, corpus, checkpoint)[0]
    runner.record(trial, type(optimizer), outcome).to_json()
    return outcome


def _losses(outcome: Outcome) -> np.ndarray:
    """Training and final loss, NaN where there is none."""
    return np.array([outcome.train_loss, outcome.val_loss], dtype=float)
