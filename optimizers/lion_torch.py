"""Lion in torch; the rule and its facts are in lion.py."""

from typing import Any

import torch


class LionTorch(torch.optim.Optimizer):
    """arXiv 2302.06675, Program 1; decoupled weight decay per group."""

    def __init__(self, params: Any, lr: float, beta1: float, beta2: float) -> None:
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if not self.state[p]:
                    self.state[p]["m"] = torch.zeros_like(p)
                m = self.state[p]["m"]
                u = m.lerp(p.grad, 1 - group["beta1"]).sign_()
                m.lerp_(p.grad, 1 - group["beta2"])
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(u, alpha=group["lr"])
        return None
