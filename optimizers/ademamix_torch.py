"""AdEMAMix in torch; the rule and its facts are in ademamix.py."""

import math
from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch


class AdEMAMixTorch(DecoupledTorch):
    """Groups carry beta1, beta2, alpha, memory and eps (arXiv 2409.03137, Algorithm 1). steps: of the run."""

    def __init__(self, params: Any, lr: float, steps: int, **rule: float) -> None:
        self.steps = steps
        super().__init__(params, lr, **rule)

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state, beta1, beta2 = self.state[p], group["beta1"], group["beta2"]
        if not state:
            state |= {"step": 0, **{key: torch.zeros_like(p) for key in ("m", "slow", "v")}}
        state["step"] += 1
        part = state["step"] / self.steps
        slowest = 1 - 1 / (1 / (1 - beta1) + group["memory"] * self.steps)
        beta3 = math.exp(1 / ((1 - part) / math.log(beta1) + part / math.log(slowest)))
        m = state["m"].lerp_(grad, 1 - beta1)
        slow = state["slow"].lerp_(grad, 1 - beta3)
        v = state["v"].lerp_(grad.square(), 1 - beta2)
        root = (v / (1 - beta2 ** state["step"])).sqrt_()
        mixed = (m / (1 - beta1 ** state["step"])).add_(slow, alpha=group["alpha"] * part)
        return mixed.div_(root.add_(group["eps"]))
