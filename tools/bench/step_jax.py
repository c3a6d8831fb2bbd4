"""The same jax step without our loop: one jitted call per step, its batch cut on the host."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.data import batches
from benchmark.scales import Scale
from benchmark.spec import Trial
from benchmark.train import model_jax, parameters
from benchmark.train.schedule import multiplier
from optimizers.base import Optimizer, Run

Tree = Any


def block(trial: Trial, optimizer: Optimizer, scale: Scale, tokens: np.ndarray) -> Callable[[], object]:
    """A run from its start: initial values, then `trial.steps` calls of one program."""
    start, step = _programs(trial, optimizer, scale)
    rows = batches.order(len(tokens), scale.seq_len, scale.batch_size, trial.steps, trial.seed)
    offsets = np.arange(scale.seq_len + 1)

    def run() -> None:
        values = jax.tree.map(jnp.array, parameters.initial(scale, trial.seed))
        state = start(values)
        for row in rows:
            batch = tokens[row[:, None] * scale.seq_len + offsets].astype(np.int32)
            values, state, _ = step(values, state, batch)
        jax.block_until_ready(values)

    return run


def planned_memory(trial: Trial, optimizer: Optimizer, scale: Scale) -> float:
    """Peak bytes of one step as the compiler plans it: arguments, results and temporaries; nothing is run."""
    start, step = _programs(trial, optimizer, scale)
    values = {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in parameters.shapes(scale).items()}
    batch = jax.ShapeDtypeStruct((scale.batch_size, scale.seq_len + 1), jnp.int32)
    plan = step.lower(values, jax.eval_shape(start, values), batch).compile().memory_analysis()
    donated = plan.alias_size_in_bytes
    return float(plan.argument_size_in_bytes + plan.output_size_in_bytes - donated + plan.temp_size_in_bytes)


def _programs(trial: Trial, optimizer: Optimizer, scale: Scale) -> tuple[Any, Any]:
    recipe = trial.hyperparameters
    names = ("warmup_fraction", "decay_fraction", "final_lr_ratio")
    schedule = functools.partial(
        multiplier, jnp, steps=trial.steps, decay_kind=0, **{n: recipe[n] for n in names}
    )
    key = jax.random.key(trial.seed)

    def noise(name: str, step: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, step), shape)

    run = Run(parameters.roles(scale), trial.steps, schedule, noise, float(recipe["clip_norm"]))
    clip = optax.clip_by_global_norm(float(recipe["clip_norm"]))
    rule = optax.with_extra_args_support(optimizer.build_jax(run))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(values: Tree, state: Tree, batch: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        loss_fn = functools.partial(model_jax.loss, tokens_BT1=batch, scale=scale)
        loss, grads = jax.value_and_grad(loss_fn)(values)
        grads, _ = clip.update(grads, clip.init(values))
        updates, state = rule.update(grads, state, values, loss_fn=loss_fn)
        return optax.apply_updates(values, updates), state, loss

    return jax.jit(rule.init), step
