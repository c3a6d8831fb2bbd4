"""NAdamW: AdamW that looks one step of momentum ahead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class NAdamW(Optimizer):
    """AdamW with m̂ = beta1 m / (1 - beta1^(t+1)) + (1 - beta1) g / (1 - beta1^t).

    Dozat (2016), Algorithm 2, with a constant momentum instead of a schedule of it.
    """

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="NAdamW",
        paper="Incorporating Nesterov Momentum into Adam",
        url="https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
        family="scalar",
        summary=(
            "AdamW with Nesterov's momentum: the newest gradient counts as if the next step's average were"
            " already known. Weight decay is decoupled."
        ),
        essential=ADAM_ESSENTIAL,
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.008),
        "paper": {
            "peak_lr": rate((0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-25),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = optax.scale_by_adam(self.beta1, self.beta2, self.eps, nesterov=True)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from torch.optim import NAdam

        # torch schedules the momentum as beta1 (1 - 0.96^(t momentum_decay) / 2): so large a value makes it
        # constant, where 0 would halve it. It keeps the product of momenta in float32, hence 1e-7 at best.
        return NAdam(
            decay_groups(params, self.weight_decay, run),
            lr=self.peak_lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            momentum_decay=1e6,
            decoupled_weight_decay=True,
        )

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # m and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 20.0 * floats(params)  # AdamW's 16, another correction 1, the look ahead 3
