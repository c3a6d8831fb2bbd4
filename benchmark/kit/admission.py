"""What an optimizer must do before a sweep runs it: the first steps of a real run, cut in two by a checkpoint.

A sweep asks this of a user's file once, before its first trial; the conformance kit asks it of every optimizer.
What fails here would fail trial by trial, hours later.
"""

import multiprocessing
import sys
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import hidden
from benchmark.data.corpora import cache_folder
from benchmark.kit import cases, drivers, guard
from benchmark.kit.cases import STEPS
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers.base import Optimizer
from optimizers.user import files, modules
from optimizers.user.files import Backend
from optimizers.user.spec import parse

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
    label = getattr(entry, "file", str(file))
    try:
        with guard.watched():
            for check in MUST:
                check(cases.in_square_blocks(entry()) if check in ON_THE_TOY else entry(), backend)
    except (Exception, SystemExit) as error:  # anything may be raised by somebody else's code
        where = modules.place(error, file)
        raise ValueError(f"{label if where == str(file) else where}: {_reason(error)}") from None


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
    process = context.Process(target=_load_and_admit, args=(str(parse(where)), backend, end))
    with hidden.shown():  # a rule may need the device that it will train on
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
        with guard.watched():
            entry = files.load(where)
        end.send("")
        if backend:
            admit(entry, backend)
        end.send("")
    except ValueError as error:
        text = str(error)
        end.send(text if text.startswith(("/", parse(where).label, parse(where).where)) else f"{where}: {text}")
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
    if not (gap := _gap(whole, resumed)):
        return
    if again := _gap(whole, _first_steps(optimizer, backend, None)):
        raise ValueError(f"its loss differs by {again:.1e} between two runs of one seed: {UNSEEDED[backend]}")
    kept = drivers.driver("torch").changing_attributes(optimizer) if backend == "torch" else []
    hint = f" (outside state_dict: {', '.join(kept)})" if kept else ""
    raise ValueError(f"its loss differs by {gap:.1e} after a checkpoint: some state is not saved{hint}")


def every_parameter_moves(optimizer: Optimizer, backend: Backend) -> None:
    """Every parameter is in exactly one group: it has a gradient, so it moves, to finite values."""
    start = cases.starting_values(cases.toy_params())
    for name, points in drivers.path(optimizer, backend).items():
        if not np.all(np.isfinite(points)):
            raise ValueError(f"{name} is not finite after {STEPS} steps of harmless gradients")
        if np.all(points[-1] == start[name]):
            raise ValueError(f"{name} never moves: it is in no group")


def follows_its_rate(optimizer: Optimizer, backend: Backend) -> None:
    """Half the rate at every step is another path, unless the recipe's schedule is off."""
    if optimizer.recipe_fixed.get("final_lr_ratio") == 1.0:
        return
    half = drivers.path(optimizer, backend, rate=0.5)
    if all(np.array_equal(points, half[name]) for name, points in drivers.path(optimizer, backend).items()):
        raise ValueError(
            "ignores its learning rate: half of it at every step changes nothing; if the rule has a schedule of"
            " its own, say so in a file: schedule = False"
        )


def goes_on_from_where_it_is(optimizer: Optimizer, backend: Backend) -> None:
    """Elsewhere started, elsewhere after a step: a rule that sets parameters anew forgets where they were."""
    start = cases.starting_values(cases.toy_params())
    apart = {name: 0.1 * cases.standard_normal(f"apart {name}", x.shape) for name, x in start.items()}
    first = drivers.driver(backend).first_step
    one = first(optimizer, start)
    other = first(optimizer, {name: x + apart[name] for name, x in start.items()})
    for name, away in apart.items():
        kept = float(((other[name] - one[name]) * away).sum() / (away * away).sum())
        if abs(kept) < REMEMBERED:
            raise ValueError(f"{name} is set anew: after a step it does not depend on where it was")


def is_one_program(optimizer: Optimizer, backend: Backend) -> None:
    """jax: traced twice it is the same. Random numbers of numpy or Python are drawn once, by the compiler."""
    if backend == "jax":
        one, other = drivers.driver("jax").traced_twice(optimizer)
        if one != other:
            raise ValueError(f"is another program whenever it is traced: {UNSEEDED['jax']}")


def is_evaluated_at_its_average(optimizer: Optimizer, backend: Backend) -> None:
    """jax: optax's Schedule-Free is trained at one point and has its result at another, which `eval_params`
    gives. A torch rule that has both modes is put into them."""
    if backend != "jax" or type(optimizer).eval_params is not Optimizer.eval_params:
        return
    from optimizers.user.convention_jax import is_schedule_free

    if is_schedule_free(optimizer):
        raise ValueError(
            "its state is Schedule-Free's, whose result is an average: define eval_params(self, state, params),"
            " as optax.contrib.schedule_free_eval_params, or it is scored where it trains"
        )


REMEMBERED = 1e-3  # of the distance between two starts; a step and its decay leave nearly all of it
UNSEEDED = {
    "jax": "draw random numbers from run.normal or from a key in the state, not from numpy or Python",
    "torch": "draw random numbers from run.normal alone, or from torch's own generator",
}
MUST: tuple[Callable[[Optimizer, Backend], None], ...] = (
    trains_and_resumes,
    every_parameter_moves,
    follows_its_rate,
    goes_on_from_where_it_is,
    is_one_program,
    is_evaluated_at_its_average,
)
ON_THE_TOY = MUST[1:]


def attempt(check: Callable[[], None]) -> str:
    """Empty where the check passes, else one line. An optimizer's code may raise anything; all is a failure."""
    try:
        check()
    except (Exception, SystemExit) as error:
        return _reason(error)
    return ""


def _reason(error: BaseException) -> str:
    name = type(error).__name__
    lines = str(error).strip().splitlines() or [_statement(error)]
    if name.startswith(("Tracer", "Concretization")):
        return f"{name}: {lines[0]} Floats are traced in jax: no `if` on them, no float(); use jnp.where"
    if isinstance(error, MemoryError) or any(word in lines[0] for word in OUT_OF_MEMORY):
        return f"runs out of memory: {name}: {lines[0]}"
    if isinstance(error, FileNotFoundError) and not Path(str(error.filename)).is_absolute():
        return f"{name}: {lines[0]}; a run has a folder of its own: name the file from Path(__file__).parent"
    return lines[0] if isinstance(error, ValueError) else f"{name}: {lines[0]}"


OUT_OF_MEMORY = ("can't allocate memory", "RESOURCE_EXHAUSTED", "CUDA out of memory", "bad_alloc")


def _statement(error: BaseException) -> str:
    """Of an error without a message: the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"`{frames[-1].line}`" if frames and frames[-1].line else "no message"


def _gap(one: Outcome, other: Outcome) -> float:
    """How far the losses of two runs are apart, 0 within the tolerance."""
    first, second = _losses(one), _losses(other)
    close = np.allclose(first, second, rtol=RESUME_TOLERANCE, atol=0, equal_nan=True)
    return 0.0 if close else float(np.nanmax(np.abs(first - second)))


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
