"""The costs of an optimizer that declares none, measured once: state, update, further looks at the batch."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimizers.base import Param, Run

if TYPE_CHECKING:
    from optimizers.user.rule import UserRule


@dataclass(frozen=True)
class MeasuredCost:
    """state_floats: floats of state. flops: of an update alone. losses, gradients: how often one step evaluates
    the loss, or the loss with its gradient, beyond the one gradient that it is given."""

    state_floats: int
    flops: float
    losses: float = 0.0
    gradients: float = 0.0


@functools.lru_cache(maxsize=64)
def measured(rule: "UserRule", params: tuple[Param, ...]) -> MeasuredCost:
    """From shapes alone in jax, from one step in torch. A measurement that fails costs the figure, not the run:
    what a rule does in training is for the trainer to judge."""
    named = {param.name: param for param in params}
    return _measured_jax(rule, named) if rule.function else _measured_torch(rule, named)


def _measured_jax(rule: "UserRule", params: Mapping[str, Param]) -> MeasuredCost:
    import jax
    import jax.numpy as jnp

    looks = {"losses": 0, "gradients": 0}

    @jax.custom_jvp
    def loss_fn(values: Any) -> jax.Array:
        looks["losses"] += 1
        return sum(jnp.sum(value) for value in values.values())  # pyright: ignore[reportReturnType]

    @loss_fn.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        looks["gradients"] += 1
        total = sum(jnp.sum(value) for value in primals[0].values())
        return total, sum(jnp.sum(tangent) for tangent in tangents[0].values())

    def normal(name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.key(0), shape)

    transformation = rule.build_jax(Run(params, 1000, lambda step: 1.0, normal))
    values = {name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in params.items()}
    state = jax.eval_shape(transformation.init, values)
    floats = sum(x.size for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating))

    def update(grads: Any, state: Any, values: Any, value: Any) -> Any:
        return transformation.update(grads, state, values, loss_fn=loss_fn, value=value)

    lowered = jax.jit(update).lower(values, state, values, jax.ShapeDtypeStruct((), jnp.float32))
    cost = lowered.cost_analysis() or {}
    return MeasuredCost(floats, float(cost.get("flops", 0.0)), looks["losses"], looks["gradients"])


def _measured_torch(rule: "UserRule", params: Mapping[str, Param]) -> MeasuredCost:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from optimizers.user.convention_torch import state_tensors

    looks = {"losses": 0, "gradients": 0}

    def ready() -> tuple[Any, Any]:
        values = {name: torch.nn.Parameter(torch.ones(param.shape)) for name, param in params.items()}
        run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: torch.ones(shape))

        def loss_fn(values: Mapping[str, Any]) -> torch.Tensor:
            looks["losses"] += 1
            return sum((value.square().sum() for value in values.values()), torch.zeros(()))

        run.loss_fn = loss_fn
        optimizer = rule.build_torch(values, run)
        for value in values.values():
            value.grad = torch.ones_like(value)

        def closure() -> torch.Tensor:
            looks["gradients"] += 1
            for value in values.values():
                value.grad = torch.ones_like(value)
            return torch.ones(())

        return optimizer, closure if rule.takes_closure else None

    optimizer, closure = ready()
    optimizer.step(closure) if closure else optimizer.step()
    floats = sum(x.numel() for x in state_tensors(optimizer) if x.dim())
    counts, flops = dict(looks), 0.0
    try:
        optimizer, closure = ready()
        with FlopCounterMode(display=False) as counter:
            optimizer.step(closure) if closure else optimizer.step()
        flops = float(counter.get_total_flops())
    except Exception:  # a compiled step cannot be counted from outside, and would not compile any more
        torch.compiler.reset()
    return MeasuredCost(floats, flops, counts["losses"], counts["gradients"])
