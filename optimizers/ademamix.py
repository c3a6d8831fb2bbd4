"""AdEMAMix: AdamW with a second, slower average of the gradient added to the first.

The authors show their code with a slow average of coefficient 0.9999 and alpha 8, for 256,000 steps. What is
counted in steps is a fraction of the run here: `memory` is by how much of the run the slow average's mean age
exceeds the fast one's,
    beta3 = 1 - 1 / (1 / (1 - beta1) + memory steps),
so that theirs is a memory of 0.04. As in their experiments alpha and beta3 rise over the whole run, alpha from
0 in a line, beta3 from beta1 so that its half-life grows in a line (arXiv 2409.03137, Algorithm 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import optax
from optax.contrib import scale_by_ademamix

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class AdEMAMix(Optimizer):
    """u = (m̂ + alpha n) / (sqrt(v̂) + eps), with AdamW's m̂ and v̂, and n a slow average of g that is not
    corrected for its start (arXiv 2409.03137, Algorithm 1)."""

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    alpha: float = 8.0
    memory: float = 0.04
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="AdEMAMix",
        paper="The AdEMAMix Optimizer: Better, Faster, Older",
        url="https://arxiv.org/abs/2409.03137",
        family="scalar",
        summary=(
            "AdamW whose step is the sum of two averages of the gradient, a fast one and one that remembers"
            " thousands of steps. Needs one buffer more."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            **micro_adam(0.008),
            "alpha": rate((1.0, 2.0, 4.0, 8.0, 16.0), 8.0),
            "memory": rate((0.01, 0.02, 0.04, 0.08, 0.16), 0.04),
        },
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "alpha": rate((4.0, 8.0, 16.0), 8.0),
            "memory": rate((0.02, 0.04, 0.08), 0.04),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        slowest = 1 - 1 / (1 / (1 - self.beta1) + self.memory * run.steps)

        def beta3(count: Any) -> Any:
            part = (count + 1.0) / run.steps
            return jnp.exp(1 / ((1 - part) / jnp.log(self.beta1) + part / jnp.log(slowest)))

        rule = scale_by_ademamix(
            self.beta1, self.beta2, beta3, lambda count: self.alpha * (count + 1.0) / run.steps, self.eps
        )
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.ademamix_torch import AdEMAMixTorch

        rule = {"beta1": self.beta1, "beta2": self.beta2, "alpha": self.alpha, "memory": self.memory}
        groups = decay_groups(params, self.weight_decay, run)
        return AdEMAMixTorch(groups, self.peak_lr, int(run.steps), **rule, eps=self.eps)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 3 * floats(params)  # m, n and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 21.0 * floats(params)  # AdamW's 16, another average 3, the sum 2
