"""Muon in torch; the rule and its facts are in muon.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch, adam_direction, by_shape, gradient
from optimizers.shared.newton_schulz import newton_schulz, shape_factor


class MuonTorch(DecoupledTorch):
    """Momentum and Newton-Schulz in the groups marked `hidden`, AdamW in the others.

    Groups carry momentum and ns_eps, and Adam's beta1, beta2 and eps. ns_steps: of Newton-Schulz.
    """

    def __init__(self, params: Any, lr: float, ns_steps: int, **rule: float) -> None:
        self.ns_steps = ns_steps
        self.directions: dict[str, torch.Tensor] = {}
        super().__init__(params, lr, **rule)

    def prepare(self) -> None:
        """Newton-Schulz of all hidden matrices of a shape at once."""
        averages = {}
        for name, p, group in self.named():
            if group["hidden"]:
                grad, momentum = gradient(name, p), self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.mul_(group["momentum"]).add_(grad)
                averages[name] = grad.add(momentum, alpha=group["momentum"])
        eps = self.param_groups[0]["ns_eps"]
        self.directions = {}
        for names in by_shape(averages):
            together = newton_schulz(torch.stack([averages[name] for name in names]), self.ns_steps, eps)
            together = together.mul_(shape_factor(tuple(together.shape[1:])))
            self.directions |= dict(zip(names, together, strict=True))

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        if not group["hidden"]:
            return adam_direction(self.state[p], grad, group)
        return self.directions.pop(name)  # not kept between steps
