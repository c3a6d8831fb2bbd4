"""An update rule alone, on random gradients of one layer: what it costs at sizes too large to train here."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark import parameters, scales
from benchmark.spec import Trial
from optimizers.base import Optimizer, Param, Run

Tree = Any


def layer(scale_name: str) -> dict[str, Param]:
    """The parameters of one layer: all layers are alike, and embedding and head are no larger problem."""
    one = dataclasses.replace(scales.get(scale_name), layers=1)
    return {name: param for name, param in parameters.roles(one).items() if name.startswith("layers.")}


def block(trial: Trial, optimizer: Optimizer) -> Callable[[], object]:
    """`trial.steps` updates in one compiled loop, from the rule's first state."""
    params = layer(trial.scale)
    rng = np.random.default_rng(0)
    grads = {name: jnp.asarray(rng.standard_normal(p.shape), jnp.float32) for name, p in params.items()}

    def noise(name: str, step: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(jax.random.key(0), step), shape)

    run = Run(params, trial.steps, lambda step: 1.0, noise)
    rule = optax.with_extra_args_support(optimizer.build_jax(run))

    @jax.jit
    def loop(values: Tree, grads: Tree, count: int) -> Tree:
        def once(i: jax.Array, carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
            values, state = carry
            updates, state = rule.update(grads, state, values, loss_fn=_quadratic)
            return optax.apply_updates(values, updates), state

        return jax.lax.fori_loop(0, count, once, (values, rule.init(values)))[0]

    return functools.partial(_wait, loop, grads, trial.steps)


def _quadratic(values: Tree) -> jax.Array:
    """A loss that costs next to nothing, for rules that differentiate it once more."""
    return 0.5 * optax.tree.norm(values, squared=True)


def _wait(loop: Callable, grads: Tree, steps: int) -> object:
    return jax.block_until_ready(loop(grads, grads, steps))
