"""Schedule-Free AdamW in torch; the rule and its facts are in schedule_free.py."""

from collections.abc import Mapping
from typing import Any

import torch

from optimizers.shared.decoupled_torch import gradient


class ScheduleFreeTorch(torch.optim.Optimizer):
    """Groups of (name, tensor) pairs carry weight_decay, beta1, beta2 and eps, and the sum of the weights so
    far (arXiv 2405.15682, Algorithm 1). ratios: name -> factor on the step of z, 1 where there is none."""

    def __init__(self, params: Any, lr: float, ratios: Mapping[str, float], **rule: float) -> None:
        self.ratios = ratios
        super().__init__(params, {"lr": lr, "step": 0, "largest": 0.0, "weights": 0.0, **rule})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"z": p.detach().clone(), "v": torch.zeros_like(p)}

    @property
    def z(self) -> dict[str, torch.Tensor]:
        """The points that move as AdamW's do, by name."""
        return {
            name: self.state[p]["z"]
            for group in self.param_groups
            for name, p in zip(group["param_names"], group["params"], strict=True)
        }

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["step"] += 1
            group["largest"] = max(group["largest"], group["lr"])
            weight = group["largest"] ** 2
            group["weights"] += weight
            share = weight / group["weights"] if weight else 0.0
            for name, y in zip(group["param_names"], group["params"], strict=True):
                self._move(y, gradient(name, y), group, group["lr"] * self.ratios.get(name, 1.0), share)
        return loss

    def _move(
        self, y: torch.Tensor, grad: torch.Tensor, group: dict[str, Any], lr: float, share: float
    ) -> None:
        """One step of z by `lr`, of x by its share of z, and of y between them."""
        z, v = self.state[y]["z"], self.state[y]["v"]
        v.lerp_(grad.square(), 1 - group["beta2"])
        u = grad / (v / (1 - group["beta2"] ** group["step"])).sqrt_().add_(group["eps"])
        u.add_(y, alpha=group["weight_decay"])
        y.lerp_(z, share)
        y.sub_(u, alpha=lr * (1 - group["beta1"] * (1 - share)))
        z.sub_(u, alpha=lr)
