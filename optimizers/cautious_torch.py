"""Cautious AdamW in torch; the rule and its facts are in cautious.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch, adam_direction


class CautiousTorch(DecoupledTorch):
    """Groups carry beta1, beta2, eps, and `least` and `added` as in cautious.py (arXiv 2411.16085)."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        u = adam_direction(self.state[p], grad, group)
        agree = (u * grad > 0).to(u.dtype)
        return u * agree / (agree.mean().clamp_(min=group["least"]) + group["added"])
