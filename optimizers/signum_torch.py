"""Signum in torch; the rule and its facts are in signum.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch


class SignumTorch(DecoupledTorch):
    """Groups carry beta1 (arXiv 1802.04434, Algorithm 1)."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        m = self.state[p].setdefault("m", torch.zeros_like(p))
        return m.lerp_(grad, 1 - group["beta1"]).sign()
