"""Rules that find their rate d while they run, Adam's step with a factor on it that only grows.

Their weight decay is decoupled.py's at the rate that they have found,
    p <- p - d lr_t c_t (u + weight_decay p),   c_t = sqrt(1 - beta2^t) / (1 - beta1^t),
d as it was before the step; lr_t is a factor near 1 that follows the recipe's schedule.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optimizers.base import Run
from optimizers.shared.decoupled import DECAYED_ROLES

LEAST = 1e-20  # in the place of a factor of 0, at which an estimate of d is 0 / 0; it moves nothing


def factor(peak_lr: Any, run: Run) -> Callable[[Any], Any]:
    """jax: lr_t at a step from 0, for a rule of optax."""
    return lambda count: jnp.maximum(peak_lr * run.multiplier(count), LEAST)


def with_decay(
    rule: optax.GradientTransformation, peak_lr: Any, weight_decay: Any, beta1: Any, beta2: Any, run: Run
) -> optax.GradientTransformationExtraArgs:
    """jax: a rule of optax without decay, whose state has `estim_lr` (d) and `count`, with it."""

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        result: Any = rule.update(updates, state, params)
        moves, new = result
        t = state.count + 1
        rate = state.estim_lr * peak_lr * run.multiplier(state.count)
        shrink = weight_decay * rate * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
        shrink = shrink.astype(state.estim_lr.dtype)
        decayed = {n: u - shrink * params[n] for n, u in moves.items() if run.params[n].role in DECAYED_ROLES}
        return {**moves, **decayed}, new

    def init(params: Any) -> Any:
        return rule.init(jax.tree.map(jnp.copy, params))  # a state may hold where the run began

    return optax.GradientTransformationExtraArgs(init, update)
