"""Signum: the sign of an average of the gradient. Lion with one average instead of two.

The published study has not tuned it: its rate and decay start at Lion's, whose steps are as large, its average
at the 0.9 of Bernstein et al.
"""

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
    micro_decay,
    micro_momentum,
    micro_rate,
    rate,
)


@dataclass(frozen=True)
class Signum(Optimizer):
    """m <- beta1 m + (1 - beta1) g, then u = sign(m) (arXiv 1802.04434, Algorithm 1, with decoupled decay)."""

    peak_lr: float = 0.008
    weight_decay: float = 0.7
    beta1: float = 0.9

    info: ClassVar[Info] = Info(
        title="Signum",
        paper="signSGD: Compressed Optimisation for Non-Convex Problems",
        url="https://arxiv.org/abs/1802.04434",
        family="scalar",
        summary=(
            "Every coordinate moves by the same amount, against the sign of an average of its gradient. One"
            " buffer, one average."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.002),
            "weight_decay": micro_decay(0.7),
            "beta1": micro_momentum(0.9),
        },
        "paper": {
            "peak_lr": rate((0.0005, 0.001, 0.002, 0.004, 0.008), 0.002),
            "weight_decay": decay((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 0.7),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = optax.chain(optax.ema(self.beta1, debias=False), optax.scale_by_sign())
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.signum_torch import SignumTorch

        return SignumTorch(decay_groups(params, self.weight_decay, run), self.peak_lr, beta1=self.beta1)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return floats(params)  # m

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 8.0 * floats(params)  # average 3, sign 1, decay 2, step 2
