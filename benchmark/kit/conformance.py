"""What every optimizer must do, checked: `python -m benchmark.kit lion` or `... path/to/mine.py`.

Each check is a function of an optimizer that raises ValueError, in one line, where the optimizer fails it. The
first of them is what a sweep asks before it runs a file (admission.py). The toy they use is in cases.py;
drive_jax.py and drive_torch.py drive it.
"""

import functools
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmark import scales
from benchmark.kit import admission, cases, drivers
from benchmark.kit.cases import STEPS, Arrays
from benchmark.spec import Outcome
from benchmark.train import parameters, runner
from optimizers.base import Optimizer
from optimizers.user import files
from optimizers.user.files import Backend
from optimizers.user.rule import UserRule

TWIN_TOLERANCE = 1e-6  # jax and torch in float64: rounding is 1e-15, and libraries place an eps differently
OVERFIT_STEPS = 128
PACK_TOLERANCE = 1e-9  # a batched product sums in another order
DECAY_TOLERANCE = 1e-9


def zero_rate_changes_nothing(optimizer: Optimizer, backend: Backend) -> None:
    """At a rate of 0 every parameter keeps its bits: decay included, nothing moves on its own."""
    start = cases.starting_values(cases.toy_params())
    for name, points in drivers.path(optimizer, backend, rate=0.0).items():
        if not np.all(points == start[name]):
            raise ValueError(f"{name} moves by {abs(points - start[name]).max():.1e} at a learning rate of 0")


def weight_decay_acts_where_it_should(optimizer: Optimizer, backend: Backend) -> None:
    """Hidden matrices shrink by lr * weight_decay per step and the head by a multiple of it; embedding and
    norms do not shrink. Without a `weight_decay` there is nothing to check.

    At the last step, where the rate has fallen. Of a rule with a second point, or that finds its rate, at the
    first one, which no step before has changed; whatever rate it finds, all hidden matrices shrink by it.
    """
    if "weight_decay" not in optimizer.floats():
        return
    params, decay, lr = cases.toy_params(), 0.3, optimizer.floats()["peak_lr"]
    start = cases.starting_values(params)
    without = drivers.path(optimizer.replace(weight_decay=0.0), backend)
    decayed = drivers.path(optimizer.replace(weight_decay=decay), backend)
    step = 0 if optimizer.own_ratios or optimizer.finds_rate else STEPS - 1
    shrinks = {}
    for name in params:
        before, other = (points[name][step - 1] if step else start[name] for points in (decayed, without))
        extra = decayed[name][step] - before - (without[name][step] - other)
        shrinks[name] = -float((extra * before).sum() / (before * before).sum())
        if np.abs(extra + shrinks[name] * before).max() > DECAY_TOLERANCE * np.abs(start[name]).max():
            raise ValueError(f"weight decay moves {name} not towards zero, but elsewhere")
    unit = lr * (1.0 - 0.5 * step / STEPS) * decay
    if optimizer.finds_rate:
        unit = max(shrinks[name] for name, param in params.items() if param.role == "hidden")
    for name, param in params.items():
        factor = shrinks[name] / unit if unit > 0 else 0.0
        wanted = {"hidden": abs(factor - 1) < 1e-6, "head": factor > 1e-3}.get(param.role, abs(factor) < 1e-6)
        if not wanted:
            raise ValueError(
                f"weight decay shrinks {name} by {factor:.3g} lr weight_decay per step;"
                " it is 1 for hidden matrices, some factor for the head, 0 for embedding and norms"
            )


def state_survives_a_checkpoint(optimizer: Optimizer, backend: Backend) -> None:
    """Half a run, a checkpoint, a fresh process's objects, the other half: the same bits as without."""
    driver = drivers.driver(backend)
    with tempfile.TemporaryDirectory() as folder:
        resumed = driver.second_half(optimizer, Path(folder) / "state.npz")
    for name, points in driver.second_half(optimizer, None).items():
        if not np.array_equal(points, resumed[name]):
            gap = np.abs(points - resumed[name]).max()
            raise ValueError(f"{name} differs by {gap:.1e} after a checkpoint: some state is not saved")


def state_size_is_declared(optimizer: Optimizer, backend: Backend) -> None:
    """`state_floats` is what the build really keeps, at the toy's and at a model's shapes."""
    for params in (cases.toy_params(), parameters.roles(scales.get("27k"))):
        measured, declared = (
            drivers.driver(backend).state_floats(optimizer, params),
            optimizer.state_floats(params),
        )
        if measured != declared:
            raise ValueError(f"keeps {measured} floats of state, but state_floats says {declared}")


def overfits_one_batch(optimizer: Optimizer, backend: Backend) -> None:
    """A small model learns one batch by heart at the default hyperparameters."""
    outcome = _train(optimizer, backend, seed=0, steps=OVERFIT_STEPS)
    if outcome.status != "finished" or (outcome.train_loss or 0.0) > 0.5 * math.log(scales.get("13k").vocab):
        reached = outcome.reason or f"its loss is {outcome.train_loss:.2f}"
        raise ValueError(f"does not overfit one batch in {OVERFIT_STEPS} steps by default: {reached}")


def runs_are_their_seed(optimizer: Optimizer, backend: Backend) -> None:
    """Two runs at one seed are the same, bit for bit; a run at another is not."""
    first, again, other = (_train(optimizer, backend, seed, steps=12) for seed in (0, 0, 1))
    if (first.val_loss, first.train_loss) != (again.val_loss, again.train_loss):
        raise ValueError("two runs at one seed differ: draw random numbers from run.normal alone")
    if first.train_loss == other.train_loss:
        raise ValueError("runs at two seeds are the same")


def hyperparameters_are_traced(optimizer: Optimizer) -> None:
    """jax: a float hyperparameter changes the run, in some variant, and never compiles anew."""
    for name, value in optimizer.floats().items():
        moved = 0.5 * value + 0.01
        changed = {name: moved if moved != value else 0.5 * value}
        if not any(_differ(v, v.replace(**changed)) for v in _variants(optimizer)):
            raise ValueError(f"{name} has no effect")
    compilations = drivers.driver("jax").toy(drivers.blank(optimizer)).compilations
    if compilations != 1:
        raise ValueError(f"compiled {compilations} times for one set of static hyperparameters")


def pack_equals_single_runs(optimizer: Optimizer) -> None:
    """jax: vmap over three settings gives what three single runs give."""
    settings = [{n: v * (1 - 0.02 * k) for n, v in optimizer.floats().items()} for k in range(3)]
    packed = drivers.driver("jax").toy(drivers.blank(optimizer)).packed_paths(settings)
    for k, setting in enumerate(settings):
        alone = drivers.path(optimizer.replace(**setting), "jax")
        gap = _deviation(packed[k], {name: x[: STEPS // 2] for name, x in alone.items()}).max()
        if not gap <= PACK_TOLERANCE:
            raise ValueError(f"run {k} of a pack of three differs by {gap:.1e} from the same run alone")


def twins_agree(optimizer: Optimizer) -> None:
    """jax and torch, given the same parameters, gradients and noise, take the same steps in float64."""
    gap = twin_deviation(optimizer).max()
    if not gap <= TWIN_TOLERANCE:
        raise ValueError(f"jax and torch differ by {gap:.1e} within {STEPS} steps; allowed is {TWIN_TOLERANCE}")


def twin_deviation(optimizer: Optimizer) -> np.ndarray:
    """Largest absolute difference of any parameter between jax and torch after each step, [STEPS]."""
    return _deviation(drivers.path(optimizer, "jax"), drivers.path(optimizer, "torch"))


IN_EACH: tuple[Callable[[Optimizer, Backend], None], ...] = (
    *admission.ON_THE_TOY,
    zero_rate_changes_nothing,
    weight_decay_acts_where_it_should,
    state_survives_a_checkpoint,
)
IN_EACH_AS_DECLARED = (
    admission.trains_and_resumes,
    state_size_is_declared,
    overfits_one_batch,
    runs_are_their_seed,
)
IN_JAX: tuple[Callable[[Optimizer], None], ...] = (hyperparameters_are_traced, pack_equals_single_runs)

# What may be the method and not a mistake (a trust ratio, a rate that finds itself); of the registry all holds.
PRACTICE = (weight_decay_acts_where_it_should, overfits_one_batch)
INSTALLED = (
    zero_rate_changes_nothing,
)  # of a package's rule, which is as it is: some add an eps to their rate
MEASURED = (state_size_is_declared,)  # of a rule that declares none: how much it keeps depends on its steps


def is_note(label: str, entry: type[Optimizer]) -> bool:
    """Whether failing the check of this label says that an optimizer differs from common practice, no more."""
    if entry.__module__.startswith("optimizers."):
        return False
    may_fail = PRACTICE
    if issubclass(entry, UserRule):
        may_fail = (*PRACTICE, *MEASURED, *(INSTALLED if entry.generic else ()))
    return any(label.endswith(_label(check)) for check in may_fail)


def checks(entry: type[Optimizer]) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, check) for every check that applies to the frameworks an optimizer is written in."""
    optimizer, backends = cases.in_square_blocks(entry()), files.backends(entry)
    for backend in backends:
        for check in IN_EACH:
            yield _label(check, backend), functools.partial(check, optimizer, backend)
        for check in IN_EACH_AS_DECLARED:
            yield _label(check, backend), functools.partial(check, entry(), backend)
    if "jax" in backends:
        for check in IN_JAX:
            yield _label(check, "jax"), functools.partial(check, optimizer)
    if len(backends) == 2:
        yield _label(twins_agree), functools.partial(twins_agree, optimizer)


def _label(check: Callable[..., None], backend: str = "") -> str:
    words = check.__name__.replace("_", " ")
    return f"{backend}: {words}" if backend else words


def _train(optimizer: Optimizer, backend: Backend, seed: int, steps: int) -> Outcome:
    trial = cases.one_batch_trial(optimizer, backend, seed, steps)
    return runner.trainer_of(backend).train([trial], [optimizer], cases.one_batch())[0]


def _variants(optimizer: Optimizer) -> Iterator[Optimizer]:
    yield optimizer
    for variant in optimizer.info.variants if "variant" in optimizer.statics() else ():
        if variant != optimizer.statics()["variant"]:
            yield optimizer.replace(variant=variant)


def _differ(one: Optimizer, other: Optimizer) -> bool:
    return bool(_deviation(drivers.path(one, "jax"), drivers.path(other, "jax")).max() > 0)


def _deviation(one: Arrays, other: Arrays) -> np.ndarray:
    """Largest absolute difference over all parameters after each step, [steps]; NaN where either is."""
    gaps = [np.abs(points - other[name]).reshape(len(points), -1).max(axis=1) for name, points in one.items()]
    return np.max(gaps, axis=0)
