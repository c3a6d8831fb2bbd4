"""An update rule alone, in jax, on random gradients: what it costs at sizes too large to train here."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.data.corpora import cache_folder
from benchmark.spec import Trial
from benchmark.train import trainer_jax
from optimizers.base import Optimizer, Param, Run

Tree = Any


def ours(trial: Trial, optimizer: Optimizer, params: Mapping[str, Param], count: int) -> Callable[[], object]:
    """A block of `count` updates in one compiled loop, from the rule's first state."""
    trainer_jax.set_up(cache_folder() / "compiled")
    rng = np.random.default_rng(0)
    values, grads = (
        {name: jnp.asarray(rng.standard_normal(p.shape), jnp.float32) for name, p in params.items()}
        for _ in range(2)
    )

    def noise(name: str, step: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(jax.random.key(0), step), shape)

    @jax.jit
    def loop(values: Tree, grads: Tree, count: int, steps: int) -> Tree:
        run = Run(params, steps, lambda step: 1.0, noise)
        rule = optax.with_extra_args_support(optimizer.build_jax(run))

        def once(i: jax.Array, carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            values, state = carry
            updates, state = rule.update(grads, state, values, loss_fn=_quadratic)
            return optax.apply_updates(values, updates), state

        return jax.lax.fori_loop(0, count, once, (values, rule.init(values)))[0]

    return functools.partial(_wait, loop, values, grads, count, trial.steps)


def _quadratic(values: Tree) -> jax.Array:
    """A loss that costs next to nothing, for rules that differentiate it once more."""
    return 0.5 * optax.tree.norm(values, squared=True)


def _wait(loop: Callable, *arguments: Any) -> object:
    return jax.block_until_ready(loop(*arguments))
