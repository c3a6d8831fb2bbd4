"""Prodigy in torch; the rule and its facts are in prodigy.py."""

from typing import Any

import torch

from optimizers.shared.found_rate_torch import FoundRateTorch


class ProdigyTorch(FoundRateTorch):
    """arXiv 2306.06101, Algorithm 4, with a decay of the averages and `safeguard_warmup`."""

    def looked(self, p: Any, grad: Any, group: dict[str, Any], d: Any, d_lr: Any) -> tuple[Any, Any]:
        state, beta2 = self.state[p], group["beta2"]
        if not state:
            state["start"] = p.clone()
            state |= {key: torch.zeros_like(p) for key in ("m", "v", "s")}
        scaled, relative = d * grad, d / group["d0"]
        state["m"].lerp_(scaled, 1 - group["beta1"])
        state["v"].lerp_(scaled.square(), 1 - beta2)
        state["s"].mul_(beta2**0.5).add_(relative * scaled)
        return relative * d_lr * (grad * (state["start"] - p)).sum(), state["s"].abs().sum()

    def move(self, p: Any, group: dict[str, Any], d: Any, d_lr: Any) -> torch.Tensor:
        state = self.state[p]
        return d_lr * state["m"] / (state["v"].sqrt() + d * group["eps"])
