"""Adam-mini in torch; the rule, the blocks and the facts are in adam_mini.py."""

from collections.abc import Mapping
from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch


class AdamMiniTorch(DecoupledTorch):
    """Groups carry beta1, beta2 and eps; `blocks` is the number of blocks by name (arXiv 2406.16793)."""

    def __init__(self, params: Any, lr: float, blocks: Mapping[str, int], **adam: float) -> None:
        self.blocks = blocks
        super().__init__(params, lr, **adam)

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state, blocks = self.state[p], self.blocks[name]
        if not state:
            state |= {"step": 0, "m": torch.zeros_like(p), "v": p.new_zeros(blocks, 1)}
        state["step"] += 1
        m = state["m"].lerp_(grad, 1 - group["beta1"])
        block_mean = grad.square().view(blocks, -1).mean(dim=1, keepdim=True)
        v = state["v"].lerp_(block_mean, 1 - group["beta2"])
        m_hat = (m / (1 - group["beta1"] ** state["step"])).view(blocks, -1)
        v_hat = v / (1 - group["beta2"] ** state["step"])
        return (m_hat / (v_hat.sqrt_() + group["eps"])).view_as(p)
