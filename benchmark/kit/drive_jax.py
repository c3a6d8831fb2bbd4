"""Drive an optimizer's jax build over the toy of cases.py, in float64 and with traced settings."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.kit import cases
from benchmark.kit.cases import Arrays
from benchmark.train import checkpoint, trainer_jax
from benchmark.train.checkpoint import Progress
from optimizers.base import Optimizer, Param, Run

HALF = cases.STEPS // 2  # one program of half a run: a whole one is two calls, and a checkpoint fits between

Tree = Any


class Toy:
    """The compiled programs of one optimizer's statics; its float hyperparameters arrive as arguments."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.params = cases.toy_params()
        self.grads = cases.gradients(self.params)
        self.start_program = jax.jit(self._start)
        self.half_program = jax.jit(self._traced_half)
        self.compilations = 0

    def path(self, floats: Mapping[str, float], rate: float = 1.0) -> Arrays:
        """name -> [STEPS, *shape]: the parameters after each step. rate: a factor on the schedule."""
        with jax.enable_x64(True):
            setting = _setting(floats, rate)
            carry, first = self.advance(setting, self.start(setting), 0)
            _, second = self.advance(setting, carry, HALF)
        return {name: np.concatenate([first[name], second[name]]) for name in first}

    def start(self, setting: Tree) -> Tree:
        """(values, state) before the first step."""
        values = _arrays(cases.starting_values(self.params))
        return values, self.start_program(setting, values)

    def advance(self, setting: Tree, carry: Tree, step: int) -> tuple[Tree, Arrays]:
        """Half a run on from `step`, and the values after each of its steps."""
        grads = _arrays({name: g[step : step + HALF] for name, g in self.grads.items()})
        carry, path = self.half_program(setting, carry, grads)
        return carry, {name: np.asarray(x) for name, x in path.items()}

    def packed_paths(self, settings: Sequence[Mapping[str, float]]) -> list[Arrays]:
        """`path` for several settings at once: vmap over the first half of the run."""
        with jax.enable_x64(True):
            values = _arrays(cases.starting_values(self.params))
            grads = _arrays({name: g[:HALF] for name, g in self.grads.items()})

            def one(floats: Tree) -> Tree:
                setting = _setting(floats)
                return self._half(setting, (values, self._start(setting, values)), grads)[1]

            stacked = {name: jnp.asarray([floats[name] for floats in settings]) for name in settings[0]}
            packed = jax.jit(jax.vmap(one))(stacked)
        return [{name: np.asarray(x[k]) for name, x in packed.items()} for k in range(len(settings))]

    def _traced_half(self, setting: Tree, carry: Tree, grads: Tree) -> tuple[Tree, Tree]:
        self.compilations += 1  # jax runs this line when it compiles, and never again
        return self._half(setting, carry, grads)

    def _build(self, setting: Tree) -> optax.GradientTransformationExtraArgs:
        def multiplier(step: Any) -> Any:
            return setting["rate"] * (1.0 - 0.5 * step / setting["steps"])

        run = Run(self.params, setting["steps"], multiplier, _noise)
        return optax.with_extra_args_support(self.optimizer.replace(**setting["floats"]).build_jax(run))

    def _start(self, setting: Tree, values: Tree) -> Tree:
        return self._build(setting).init(values)

    def _half(self, setting: Tree, carry: Tree, grads: Tree) -> tuple[Tree, Tree]:
        rule = self._build(setting)

        def step(carry: Tree, grad: Tree) -> tuple[Tree, Tree]:
            values, state = carry
            updates, state = rule.update(grad, state, values, loss_fn=cases.loss, value=cases.loss(values))
            values = optax.apply_updates(values, updates)
            return (values, state), values

        return jax.lax.scan(step, carry, grads)


@functools.lru_cache(maxsize=2)
def toy(blank: Optimizer) -> Toy:
    """The toy of an optimizer's statics; all checks of one optimizer share its programs."""
    return Toy(blank)


def second_half(optimizer: Optimizer, checkpoint_path: Path | None) -> Arrays:
    """The second half of a run, whose state went through a checkpoint if there is a path for it."""
    program = toy(optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0)))
    with jax.enable_x64(True):
        setting = _setting(optimizer.floats())
        fresh = program.start(setting)
        carry, _ = program.advance(setting, fresh, 0)
        if checkpoint_path:
            leaves = [np.asarray(x) for x in jax.tree.leaves(carry)]
            checkpoint.save(checkpoint_path, Progress(step=HALF), leaves)
            found = checkpoint.load(checkpoint_path, len(leaves))
            if found is None:
                raise ValueError("the state cannot be read back from a checkpoint")
            carry = jax.tree.unflatten(jax.tree.structure(fresh), [jnp.asarray(x) for x in found[1]])
        return program.advance(setting, carry, HALF)[1]


def state_floats(optimizer: Optimizer, params: Mapping[str, Param]) -> int:
    """Floats in the state of these parameters, from shapes alone; integers are counters."""
    run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: jnp.zeros(shape))
    values = {name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in params.items()}
    state = jax.eval_shape(optimizer.build_jax(run).init, values)
    return sum(x.size for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating))


def _setting(floats: Mapping[str, Any], rate: float = 1.0) -> dict[str, Any]:
    """Traced arguments; `rate` is a factor on the schedule."""
    return {"floats": dict(floats), "rate": rate, "steps": cases.STEPS}


def _arrays(named: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in named.items()}


@functools.lru_cache(maxsize=256)
def _table(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([cases.standard_normal(f"noise {name} {step}", shape) for step in range(cases.STEPS)])


def _noise(name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(_table(name, tuple(shape)))[step]


def trainer_noise(seed: int) -> Callable[[str, Any, tuple[int, ...]], np.ndarray]:
    """(name, step, shape) -> the noise that trainer_jax gives an optimizer, for a torch run to be given too."""
    key = jax.random.key_data(jax.random.key(seed))
    return lambda name, step, shape: np.asarray(trainer_jax.normal(key, name, step, shape))
