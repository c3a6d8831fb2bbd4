"""The costs of an optimizer that declares none, measured once: state, update, further losses and gradients of
the batch."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizers.base import Optimizer, Param, Run, describe

STEPS = 20  # over which evaluations are counted: some rules make one at every tenth step
GRAPH_GRADIENTS = 2  # a derivative of a gradient that is there: 12 FLOPs per token and matrix, not 6


@dataclass(frozen=True)
class MeasuredCost:
    """state_floats: floats of state. flops: of an update alone. losses, gradients: how often one step evaluates
    the loss, or the loss with its gradient, beyond the one gradient that it is given."""

    state_floats: int
    flops: float
    losses: float = 0.0
    gradients: float = 0.0


@functools.lru_cache(maxsize=64)
def measured(rule: Optimizer, params: tuple[Param, ...], in_jax: bool) -> MeasuredCost:
    """From shapes alone in jax, from one step in torch. A measurement that fails costs the figure, not the run:
    what a rule does in training is for the trainer to judge."""
    named = {param.name: param for param in params}
    return _measured_jax(rule, named) if in_jax else _measured_torch(rule, named)


def _measured_jax(rule: Optimizer, params: Mapping[str, Param]) -> MeasuredCost:
    import jax
    import jax.numpy as jnp

    evaluated = {"losses": 0, "gradients": 0}

    @jax.custom_jvp
    def loss_fn(values: Any) -> jax.Array:
        evaluated["losses"] += 1
        return sum(jnp.sum(value) for value in values.values())  # pyright: ignore[reportReturnType]

    @loss_fn.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        evaluated["gradients"] += 1
        total = sum(jnp.sum(value) for value in primals[0].values())
        return total, sum(jnp.sum(tangent) for tangent in tangents[0].values())

    def normal(name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.key(0), shape)

    transformation = rule.build_jax(Run(params, 1000, lambda step: 1.0, normal))
    values = {name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in params.items()}
    state = jax.eval_shape(transformation.init, values)
    floats = sum(x.size for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating) and x.ndim)

    def update(grads: Any, state: Any, values: Any, value: Any) -> Any:
        return transformation.update(grads, state, values, loss_fn=loss_fn, value=value)

    lowered = jax.jit(update).lower(values, state, values, jax.ShapeDtypeStruct((), jnp.float32))
    cost = lowered.cost_analysis() or {}
    return MeasuredCost(floats, float(cost.get("flops", 0.0)), evaluated["losses"], evaluated["gradients"])


def _measured_torch(rule: Optimizer, params: Mapping[str, Param]) -> MeasuredCost:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from optimizers.user.convention_torch import eager, state_tensors

    with eager(), torch.random.fork_rng(devices=[]):  # what is compiled cannot be counted from outside
        try:
            with FlopCounterMode(display=False) as counter:
                optimizer, _ = _stepped_torch(rule, params, 1)
            flops = float(counter.get_total_flops())
        except Exception:  # a step that cannot be watched is a step all the same
            (optimizer, _), flops = _stepped_torch(rule, params, 1), 0.0
        floats = sum(x.numel() for x in state_tensors(optimizer) if x.dim())
        toy = describe({"embed": (4, 2), "layers.0.q": (2, 2), "norm": (2,), "head": (4, 2)}, 1)
        _, gradients = _stepped_torch(rule, toy, STEPS)
    return MeasuredCost(floats, flops, 0.0, gradients / STEPS)


def _stepped_torch(rule: Optimizer, params: Mapping[str, Param], steps: int) -> tuple[Any, float]:
    """An optimizer after some steps on a stand-in for a loss, and the gradients that it asked for: one for each
    call of its closure, and what GRAPH_GRADIENTS says for each derivative of the gradient that it was given."""
    import torch

    from optimizers.user.convention_torch import step

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()  # a view may not be changed in place

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            nonlocal asked
            asked += GRAPH_GRADIENTS
            return grads[0]

    asked = 0.0
    source = torch.Generator().manual_seed(0)  # of full rank: what is decomposed must have a decomposition
    values = {n: torch.nn.Parameter(torch.randn(p.shape, generator=source)) for n, p in params.items()}
    run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: torch.ones(shape))
    optimizer = rule.build_torch(values, run)

    @torch.enable_grad()
    def gradient() -> torch.Tensor:
        loss = sum((0.5 * v.square().sum() + 0.1 * v.pow(4).sum() for v in values.values()), torch.zeros(()))
        grads = torch.autograd.grad(loss, list(values.values()), create_graph=optimizer.needs_graph)
        for k, (value, grad) in enumerate(zip(values.values(), grads, strict=True)):
            value.grad = Watched.apply(grad) if optimizer.needs_graph and k == 0 else grad
        return loss.detach()

    def closure() -> torch.Tensor:
        nonlocal asked
        asked += 1
        return gradient()

    for _ in range(steps):
        loss = gradient()
        step(optimizer, closure, loss)
    return optimizer, asked
