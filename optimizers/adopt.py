"""ADOPT: Adam that divides each gradient by the average of the squares before it.

The first step only begins that average and moves nothing but the decay. The clip of the normalised gradient,
which grows with steps, is part of the rule, as in the authors' code from 2024-11 on. beta2 starts at AdamW's;
the method's own default, 0.9999, is an average over more steps than a micro run has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax
from optax.contrib import scale_by_adopt

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class Adopt(Optimizer):
    """m <- beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps), t^(1/4)), u = m, and only then v <- beta2 v +
    (1 - beta2) g², for t = 1, 2, ... after a first gradient that makes v alone (arXiv 2411.02853, Algorithm
    2)."""

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="ADOPT",
        paper="ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate",
        url="https://arxiv.org/abs/2411.02853",
        family="scalar",
        summary=(
            "AdamW in another order: the newest gradient is divided by the root of the average of the squares"
            " before it, and only then averaged. It converges whatever beta2 is."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.008),
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98, 0.999, 0.9999), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10, 1e-6), 1e-10),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = scale_by_adopt(self.beta1, self.beta2, self.eps)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.adopt_torch import AdoptTorch

        groups = decay_groups(params, self.weight_decay, run)
        return AdoptTorch(groups, self.peak_lr, beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # m and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 16.0 * floats(params)  # sqrt max / 3, clip 2, averages 3 + 4, decay 2, step 2
