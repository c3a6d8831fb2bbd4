"""What the torch twins share: the step of decoupled.py as an optimizer to subclass, and Adam's direction."""

from collections.abc import Mapping
from typing import Any

import torch


class DecoupledTorch(torch.optim.Optimizer):
    """p <- p - lr (u + weight_decay p); a subclass says what u is.

    Parameters come as (name, tensor) pairs in groups that carry `weight_decay`; `hyperparameters` are every
    group's defaults. State is kept per parameter in `self.state`, so that `state_dict()` holds all of it.
    """

    def __init__(self, params: Any, lr: float, **hyperparameters: float) -> None:
        super().__init__(params, {"lr": lr, **hyperparameters})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.prepare()
        for group in self.param_groups:
            pairs = list(zip(group["param_names"], group["params"], strict=True))
            moves = [self.direction(name, p, gradient(name, p), group) for name, p in pairs]
            # one call for all parameters: most are so small that a call takes longer than its work.
            # torch has no public name for these two functions, which its own optimizers use
            if group["weight_decay"]:
                torch._foreach_mul_(group["params"], 1 - group["lr"] * group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_sub_(group["params"], moves, alpha=group["lr"])  # pyright: ignore[reportPrivateImportUsage]
        return loss

    def named(self) -> list[tuple[str, torch.Tensor, dict[str, Any]]]:
        """Every parameter with its name and its group."""
        return [
            (name, p, group)
            for group in self.param_groups
            for name, p in zip(group["param_names"], group["params"], strict=True)
        ]

    def prepare(self) -> None:
        """Work that needs all parameters at once, before any of them moves."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        """The update u of one parameter, from its gradient, its state and its group."""
        raise NotImplementedError


def by_shape(tensors: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Names of tensors of one shape together: one batched operation costs less than one each."""
    found: dict[torch.Size, list[str]] = {}
    for name, tensor in tensors.items():
        found.setdefault(tensor.shape, []).append(name)
    return list(found.values())


def gradient(name: str, p: torch.Tensor) -> torch.Tensor:
    """The parameter's gradient; without one it would silently stay untrained."""
    if p.grad is None:
        raise ValueError(f"parameter {name!r} has no gradient; call backward() before step()")
    return p.grad


def adam_direction(state: dict[str, Any], grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
    """m̂ / (sqrt(v̂) + eps) with the group's beta1, beta2 and eps; advances m, v and step, at first 0."""
    if "step" not in state:
        state |= {"step": 0, "m": torch.zeros_like(grad), "v": torch.zeros_like(grad)}
    state["step"] += 1
    m = state["m"].lerp_(grad, 1 - group["beta1"])
    v = state["v"].lerp_(grad.square(), 1 - group["beta2"])
    root = (v / (1 - group["beta2"] ** state["step"])).sqrt_()
    return (m / (1 - group["beta1"] ** state["step"])).div_(root.add_(group["eps"]))
