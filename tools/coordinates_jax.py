"""The sizes of what steps change, measured in jax: for `python -m tools.coordinates`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.scales import Scale
from benchmark.train import model_jax, parameters
from benchmark.train.programs_jax import normal
from optimizers.base import ROLE_RATIOS, Optimizer, Run

Tree = Any


def changes(
    optimizer: Optimizer,
    scale: Scale,
    settings: Mapping[str, Mapping[str, float]],
    inits: Mapping[str, Mapping[str, float]],
    tokens_SBT: np.ndarray,
    seeds: int,
) -> dict[str, dict[str, np.ndarray]]:
    """Parametrization -> activation -> root mean square of its change since the start, [steps], mean of seeds.

    settings: by parametrization the hyperparameters and the recipe's ratios; inits: its `Trial.init_ratios`.
    tokens_SBT: batches with their targets, one a step; activations are those of the first.
    """
    kinds, drawn = list(settings), range(seeds)
    values = [parameters.initial(scale, seed, inits[kind]) for kind in kinds for seed in drawn]
    given = [{k: np.float32(v) for k, v in settings[kind].items()} for kind in kinds for _ in drawn]
    stack = functools.partial(jax.tree.map, lambda *x: np.stack(x))
    found = _program(optimizer, scale)(stack(*values), stack(*given), tokens_SBT)
    by_kind = {n: np.asarray(x).reshape(len(kinds), seeds, -1).mean(axis=1) for n, x in found.items()}
    return {kind: {n: x[i] for n, x in by_kind.items()} for i, kind in enumerate(kinds)}


def activations(params: model_jax.Params, tokens_BT: jax.Array, scale: Scale) -> dict[str, jax.Array]:
    """What is measured, each [B, T, coordinates]: the embedding, each layer's output, and the logits."""
    x_BTD = params["embed"][tokens_BT]
    rotation = model_jax.rope(tokens_BT.shape[1], scale.width // scale.heads, x_BTD.dtype)
    found = {"embedding": x_BTD}
    for i in range(scale.layers):
        prefix = f"layers.{i}."
        weights = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        x_BTD = model_jax.layer(weights, x_BTD, rotation, scale.heads)
        found[f"layer {i + 1}"] = x_BTD
    return {**found, "logits": model_jax.logits(params, tokens_BT, scale)}


@functools.cache
def _program(optimizer: Optimizer, scale: Scale) -> Callable[..., dict[str, jax.Array]]:
    """(initial values, settings, batches) -> rms of changes, [runs, steps]; the first two stacked over runs."""
    params = parameters.roles(scale)
    noise = functools.partial(normal, jax.random.key_data(jax.random.key(0)))
    names = {f.name for f in dataclasses.fields(optimizer)}

    def run(values: Tree, setting: Tree, tokens_SBT: jax.Array) -> dict[str, jax.Array]:
        own = {k: v for k, v in setting.items() if k in names}
        rule = optimizer.replace(**own).build_jax(Run(params, len(tokens_SBT), lambda step: 1.0, noise))
        rule = optax.with_extra_args_support(rule)
        ratios = {n: setting[r] if (r := ROLE_RATIOS.get(p.role)) else 1.0 for n, p in params.items()}
        first = activations(values, tokens_SBT[0, :, :-1], scale)

        def step(carry: Tree, tokens_BT1: jax.Array) -> Tree:
            values, state = carry
            loss_fn = functools.partial(model_jax.loss, tokens_BT1=tokens_BT1, scale=scale)
            loss, grads = jax.value_and_grad(loss_fn)(values)
            moves: Tree
            moves, state = rule.update(grads, state, values, loss_fn=loss_fn, value=loss)
            values = _moved(values, {n: ratios[n] * move for n, move in moves.items()})
            now = activations(values, tokens_SBT[0, :, :-1], scale)
            return (values, state), {n: jnp.sqrt(jnp.mean((now[n] - first[n]) ** 2)) for n in now}

        return jax.lax.scan(step, (values, rule.init(values)), tokens_SBT)[1]

    return jax.jit(jax.vmap(run, (0, 0, None)))


def _moved(values: Tree, moves: Tree) -> Tree:
    return optax.apply_updates(values, moves)
