"""ADOPT in torch; the rule and its facts are in adopt.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch


class AdoptTorch(DecoupledTorch):
    """Groups carry beta1, beta2 and eps (arXiv 2411.02853, Algorithm 2)."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state = self.state[p]
        if not state:
            state |= {"step": 0, "m": torch.zeros_like(p), "v": grad.square()}
            return torch.zeros_like(p)
        state["step"] += 1
        limit = state["step"] ** 0.25
        normalised = (grad / state["v"].sqrt().clamp_(min=group["eps"])).clamp_(-limit, limit)
        state["v"].lerp_(grad.square(), 1 - group["beta2"])
        return state["m"].lerp_(normalised, 1 - group["beta1"])
