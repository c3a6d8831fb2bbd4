"""AdamW: Adam with decoupled weight decay. The baseline. Its decay is that of shared/decoupled.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class AdamW(Optimizer):
    """u = m̂ / (sqrt(v̂) + eps) with bias-corrected averages of g and g² (arXiv 1711.05101, Algorithm 2)."""

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="AdamW",
        paper="Decoupled Weight Decay Regularization",
        url="https://arxiv.org/abs/1711.05101",
        family="scalar",
        summary=(
            "Divides an average of the gradient by the root of an average of its square, coordinate by"
            " coordinate. Weight decay is kept out of both averages. The baseline of every comparison here."
        ),
        essential=ADAM_ESSENTIAL,
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.008),
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = optax.scale_by_adam(self.beta1, self.beta2, self.eps)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from torch.optim import AdamW

        groups = decay_groups(params, self.weight_decay, run)
        return AdamW(groups, lr=self.peak_lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # m and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 16.0 * floats(params)  # averages 3 + 4, corrections 2, sqrt + / 3, decay 2, step 2
