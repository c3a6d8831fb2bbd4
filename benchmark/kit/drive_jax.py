"""Drive an optimizer's jax build over a problem of cases.py, in float64 and with traced settings."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.kit import cases
from benchmark.kit.cases import Arrays, Problem
from benchmark.train import checkpoint, programs_jax
from benchmark.train.checkpoint import Progress
from optimizers.base import Optimizer, Param, Run

Tree = Any


class Toy:
    """The compiled programs of one optimizer's statics; its float hyperparameters arrive as arguments."""

    def __init__(self, optimizer: Optimizer, problem: Problem | None = None) -> None:
        self.optimizer = optimizer
        self.problem = problem or cases.problem()
        # one program of half a run: a whole one is two calls, and a checkpoint fits between
        self.stride = self.problem.steps // (1 if self.problem.steps % 2 else 2)
        self.start_program = jax.jit(self._start)
        self.stride_program = jax.jit(self._traced_stride)
        self.compilations = 0

    def path(self, floats: Mapping[str, float], rate: float = 1.0) -> Arrays:
        """name -> [steps, *shape]: the parameters after each step. rate: a factor on the schedule."""
        with jax.enable_x64(True):
            setting = self.setting(floats, rate)
            carry, parts = self.start(setting), []
            for step in range(0, self.problem.steps, self.stride):
                carry, part = self.advance(setting, carry, step)
                parts.append(part)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def setting(self, floats: Mapping[str, Any], rate: float = 1.0) -> dict[str, Any]:
        """Traced arguments; `rate` is a factor on the schedule."""
        problem = self.problem
        return {"floats": dict(floats), "rate": rate, "steps": problem.steps, "clip_norm": problem.clip_norm}

    def start(self, setting: Tree) -> Tree:
        """(values, state) before the first step."""
        values = _arrays(self.problem.start)
        return values, self.start_program(setting, values)

    def advance(self, setting: Tree, carry: Tree, step: int) -> tuple[Tree, Arrays]:
        """One stride on from `step`, and the values after each of its steps."""
        carry, path = self.stride_program(setting, carry, self._grads(step))
        return carry, {name: np.asarray(x) for name, x in path.items()}

    def packed_paths(self, settings: Sequence[Mapping[str, float]]) -> list[Arrays]:
        """`path` for several settings at once: vmap over the first stride of the run."""
        with jax.enable_x64(True):
            values, grads = _arrays(self.problem.start), self._grads(0)

            def one(floats: Tree) -> Tree:
                setting = self.setting(floats)
                return self._stride(setting, (values, self._start(setting, values)), grads)[1]

            stacked = {name: jnp.asarray([floats[name] for floats in settings]) for name in settings[0]}
            packed = jax.jit(jax.vmap(one))(stacked)
        return [{name: np.asarray(x[k]) for name, x in packed.items()} for k in range(len(settings))]

    def _traced_stride(self, setting: Tree, carry: Tree, grads: Tree) -> tuple[Tree, Tree]:
        self.compilations += 1  # jax runs this line when it compiles, and never again
        return self._stride(setting, carry, grads)

    def _build(self, setting: Tree) -> optax.GradientTransformationExtraArgs:
        def multiplier(step: Any) -> Any:
            return setting["rate"] * self.problem.multiplier(step, setting["steps"])

        problem = self.problem
        run = Run(
            problem.params, setting["steps"], multiplier, self._noise, setting["clip_norm"], problem.ratios
        )
        return optax.with_extra_args_support(self.optimizer.replace(**setting["floats"]).build_jax(run))

    def _start(self, setting: Tree, values: Tree) -> Tree:
        return self._build(setting).init(values)

    def _stride(self, setting: Tree, carry: Tree, grads: Tree) -> tuple[Tree, Tree]:
        rule = self._build(setting)

        def step(carry: Tree, grad: Tree) -> tuple[Tree, Tree]:
            values, state = carry
            loss_fn = self.problem.loss_fn
            value = loss_fn(values) if loss_fn else None
            updates, state = rule.update(grad, state, values, loss_fn=loss_fn, value=value)
            values = optax.apply_updates(values, updates)
            return (values, state), values

        return jax.lax.scan(step, carry, grads)

    def _grads(self, step: int) -> dict[str, jax.Array]:
        return _arrays({name: g[step : step + self.stride] for name, g in self.problem.grads.items()})

    def _noise(self, name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(_table(name, self.problem.steps, tuple(shape)))[step]


def path(optimizer: Optimizer, problem: Problem) -> Arrays:
    """name -> [steps, *shape]: the parameters after each step."""
    return Toy(optimizer, problem).path(optimizer.floats())


@functools.lru_cache(maxsize=2)
def toy(blank: Optimizer) -> Toy:
    """The toy of an optimizer's statics; all checks of one optimizer share its programs."""
    return Toy(blank)


def first_step(optimizer: Optimizer, start: Arrays) -> Arrays:
    """name -> [*shape]: the parameters after one step from others than the toy's."""
    program = toy(optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0)))
    with jax.enable_x64(True):
        setting, values = program.setting(optimizer.floats()), _arrays(start)
        state = program.start_program(setting, values)
        _, moved = program.advance(setting, (values, state), 0)
    return {name: points[0] for name, points in moved.items()}


def traced_twice(optimizer: Optimizer) -> tuple[str, str]:
    """The program of some steps as it is traced today, twice: text in which every constant stands."""
    program = Toy(optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0)))
    setting = program.setting(optimizer.floats())
    values = _arrays(program.problem.start)
    texts = []
    for _ in range(2):

        def once(setting: Tree, values: Tree, grads: Tree) -> Tree:
            return program._stride(setting, (values, program._start(setting, values)), grads)

        jaxpr = jax.make_jaxpr(once)(setting, values, program._grads(0))
        text = f"{jaxpr.jaxpr} {[np.asarray(c).tolist() for c in jaxpr.consts]}"
        texts.append(re.sub(r"0x[0-9a-f]+", "", text))  # addresses of functions
    return texts[0], texts[1]


def second_half(optimizer: Optimizer, checkpoint_path: Path | None) -> Arrays:
    """The second half of a run, whose state went through a checkpoint if there is a path for it."""
    program = toy(optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0)))
    with jax.enable_x64(True):
        setting = program.setting(optimizer.floats())
        fresh = program.start(setting)
        carry, _ = program.advance(setting, fresh, 0)
        if checkpoint_path:
            leaves = [np.asarray(x) for x in jax.tree.leaves(carry)]
            checkpoint.save(checkpoint_path, Progress(step=program.stride), leaves)
            found = checkpoint.load(checkpoint_path, len(leaves))
            if found is None:
                raise ValueError("the state cannot be read back from a checkpoint")
            carry = jax.tree.unflatten(jax.tree.structure(fresh), [jnp.asarray(x) for x in found[1]])
        return program.advance(setting, carry, program.stride)[1]


def state_floats(optimizer: Optimizer, params: Mapping[str, Param]) -> int:
    """Floats in the state of these parameters, from shapes alone; single numbers do not count."""
    run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: jnp.zeros(shape))
    values = {name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in params.items()}
    state = jax.eval_shape(optimizer.build_jax(run).init, values)
    return sum(x.size for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating) and x.ndim)


def _arrays(named: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in named.items()}


_table = functools.lru_cache(maxsize=256)(cases.noise)


def trainer_noise(seed: int) -> Callable[[str, Any, tuple[int, ...]], np.ndarray]:
    """(name, step, shape) -> the noise that trainer_jax gives an optimizer, for a torch run to be given too."""
    key = jax.random.key_data(jax.random.key(seed))
    return lambda name, step, shape: np.asarray(programs_jax.normal(key, name, step, shape))
