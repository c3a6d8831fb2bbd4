"""Prodigy in torch; the rule and its facts are in prodigy.py."""

from typing import Any

import torch

from optimizers.shared.found_rate_torch import FoundRateTorch


class ProdigyTorch(FoundRateTorch):
    """arXiv 2306.06101, its Adam, as in the authors' package."""

    def looked(self, p: Any, grad: Any, group: dict[str, Any], d: Any, d_lr: Any) -> tuple[Any, Any]:
        state, beta2 = self.state[p], group["beta2"]
        if not state:
            state["start"] = p.clone()
            state |= {key: torch.zeros_like(p) for key in ("m", "v", "s")}
        scaled, weight = d * grad, d / group["d0"] * d_lr
        state["m"].lerp_(scaled, 1 - group["beta1"])
        state["v"].lerp_(scaled.square(), 1 - beta2)
        state["s"].mul_(beta2**0.5).add_(weight * grad)
        return weight * (grad * (state["start"] - p)).sum(), state["s"].abs().sum()

    def move(self, p: Any, group: dict[str, Any], d: Any, d_lr: Any) -> torch.Tensor:
        state = self.state[p]
        return d_lr * state["m"] / (state["v"].sqrt() + d * group["eps"])
