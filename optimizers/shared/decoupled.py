"""Decoupled weight decay, p <- p - lr_t (u + weight_decay p) with the scheduled rate lr_t (arXiv 1711.05101).

It acts on hidden matrices and the head; norms and the embedding do not decay.
"""

from collections.abc import Mapping
from typing import Any

import optax

from optimizers.base import Param, Role, Run

DECAYED_ROLES: tuple[Role, ...] = ("hidden", "head")


def floats(params: Mapping[str, Param]) -> int:
    """How many floats these parameters hold."""
    return sum(param.size for param in params.values())


def decayed_step(
    rule: optax.GradientTransformation, peak_lr: Any, weight_decay: Any, run: Run
) -> optax.GradientTransformationExtraArgs:
    """jax: turn a rule that outputs u into -lr_t (u + weight_decay p)."""
    mask = {name: param.role in DECAYED_ROLES for name, param in run.params.items()}
    return optax.with_extra_args_support(
        optax.chain(
            rule,
            optax.add_decayed_weights(weight_decay, mask),
            optax.scale_by_learning_rate(lambda count: peak_lr * run.multiplier(count)),
        )
    )


def decay_groups(params: Mapping[str, Any], weight_decay: float, run: Run) -> list[dict[str, Any]]:
    """torch: parameter groups with and without decay; every parameter is in exactly one."""
    decays = {name: run.params[name].role in DECAYED_ROLES for name in params}
    groups = [
        {"params": [(n, p) for n, p in params.items() if decays[n]], "weight_decay": weight_decay},
        {"params": [(n, p) for n, p in params.items() if not decays[n]], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]  # torch refuses a named group without members
