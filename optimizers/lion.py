"""Lion: the sign of an interpolated momentum. The shortest optimizer here: copy it to write another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import (
    ADAM_ESSENTIAL,
    beta,
    decay,
    micro_beta2,
    micro_decay,
    micro_momentum,
    micro_rate,
    rate,
)


@dataclass(frozen=True)
class Lion(Optimizer):
    """u = sign(beta1 m + (1 - beta1) g), then m <- beta2 m + (1 - beta2) g (arXiv 2302.06675, Program 1)."""

    peak_lr: float = 0.008
    weight_decay: float = 0.7
    beta1: float = 0.9
    beta2: float = 0.95

    info: ClassVar[Info] = Info(
        title="Lion",
        paper="Symbolic Discovery of Optimization Algorithms",
        url="https://arxiv.org/abs/2302.06675",
        family="scalar",
        summary=(
            "Every coordinate moves by the same amount, in the direction of a momentum that counts the newest"
            " gradient twice. Found by program search. Needs a smaller rate and a larger decay than AdamW."
        ),
        essential=ADAM_ESSENTIAL,
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.002),
            "weight_decay": micro_decay(0.7),
            "beta1": micro_momentum(0.9),
            "beta2": micro_beta2(0.95),
        },
        "paper": {
            "peak_lr": rate((0.0005, 0.001, 0.002, 0.004, 0.008), 0.002),
            "weight_decay": decay((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 0.7),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = optax.scale_by_lion(self.beta1, self.beta2)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.lion_torch import LionTorch

        groups = decay_groups(params, self.weight_decay, run)
        return LionTorch(groups, self.peak_lr, beta1=self.beta1, beta2=self.beta2)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return floats(params)  # m

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 11.0 * floats(params)  # interpolation 3, sign 1, average 3, decay 2, step 2
