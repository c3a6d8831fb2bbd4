"""D-Adapt Adam in torch; the rule and its facts are in dadapt.py."""

from typing import Any

import torch

from optimizers.shared.found_rate_torch import FoundRateTorch


class DAdaptAdamTorch(FoundRateTorch):
    """arXiv 2301.07733, its Adam, as in the authors' package."""

    def looked(self, p: Any, grad: Any, group: dict[str, Any], d: Any, d_lr: Any) -> tuple[Any, Any]:
        state, beta2, beta3 = self.state[p], group["beta2"], group["beta2"] ** 0.5
        if not state:
            state |= {key: torch.zeros_like(p) for key in ("m", "v", "s")}
        product = (grad * state["s"] / (state["v"].sqrt() + group["eps"])).sum()
        state["m"].lerp_(d_lr * grad, 1 - group["beta1"])
        state["v"].lerp_(grad.square(), 1 - beta2)
        state["s"].lerp_(d_lr * grad, 1 - beta3)
        return (1 - beta3) * d_lr * product, (1 - beta3) * state["s"].abs().sum()

    def move(self, p: Any, group: dict[str, Any], d: Any, d_lr: Any) -> torch.Tensor:
        state = self.state[p]
        return state["m"] / (state["v"].sqrt() + group["eps"])
