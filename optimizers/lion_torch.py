"""Lion in torch; the rule and its facts are in lion.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch


class LionTorch(DecoupledTorch):
    """Groups carry beta1 and beta2 (arXiv 2302.06675, Program 1)."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        m = self.state[p].setdefault("m", torch.zeros_like(p))
        u = m.lerp(grad, 1 - group["beta1"]).sign_()
        m.lerp_(grad, 1 - group["beta2"])
        return u
