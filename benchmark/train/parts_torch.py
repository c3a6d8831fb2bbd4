"""The loss of a large batch, part by part, for optimizers that differentiate it twice. For trainer_torch.py.

Differentiating a sum twice keeps every part's graph at once, recomputed or not: the second pass needs the whole
first one. Here the gradient and its derivative are themselves sums over parts, so one graph is alive at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

Losses = Sequence[Callable[[Mapping[str, torch.Tensor]], torch.Tensor]]


def sum_of_parts(losses: Losses, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the parts' losses at `values`, a scalar that can be differentiated twice."""
    return _Sum.apply(losses, tuple(values), *values.values())  # pyright: ignore[reportReturnType]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses: Losses, names: tuple[str, ...], *values: torch.Tensor) -> torch.Tensor:
        ctx.parts = losses, names
        ctx.save_for_backward(*values)
        return torch.stack([loss(dict(zip(names, values, strict=True))) for loss in losses]).sum()

    @staticmethod
    def backward(ctx: Any, *factors: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grads: Any = _Gradient.apply(*ctx.parts, *ctx.saved_tensors)
        return None, None, *(factors[0] * grad for grad in grads)


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses: Losses, names: tuple[str, ...], *values: torch.Tensor) -> Any:
        ctx.parts = losses, names
        ctx.save_for_backward(*values)
        return _add_up(losses, names, values, None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *z: torch.Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        losses, names = ctx.parts
        return None, None, *_add_up(losses, names, ctx.saved_tensors, z)


def _add_up(
    losses: Losses, names: Sequence[str], values: Sequence[torch.Tensor], z: Sequence[torch.Tensor] | None
) -> tuple[torch.Tensor, ...]:
    """The gradients of the parts' losses added up, or with `z` their Hessians' products with it."""
    total = [torch.zeros_like(value) for value in values]
    for loss in losses:
        at = [value.detach().requires_grad_() for value in values]
        with torch.enable_grad():
            part = loss(dict(zip(names, at, strict=True)))
            grads = torch.autograd.grad(part, at, create_graph=z is not None)
        if z is not None:
            grads = torch.autograd.grad(grads, at, z, materialize_grads=True)
        for so_far, grad in zip(total, grads, strict=True):
            so_far.add_(grad)
    return tuple(total)
