"""D-Adapt Adam: AdamW that finds its rate, a lower bound on the distance to the solution.

`peak_lr` is a factor near 1 on the rate that it finds. The recipe's schedule multiplies it, as the authors
advise. The recipe's two ratios scale steps after the rule, which knows nothing of them. Adam's bias correction
is on, as in optax; the authors' code has it as an option.

The published study has not tuned it: it starts as AdamW does, at a factor of 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax
from optax.contrib import dadapt_adamw

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, floats
from optimizers.shared.found_rate import factor, with_decay
from optimizers.shared.spaces import ADAM_ESSENTIAL, found_rate


@dataclass(frozen=True)
class DAdaptAdam(Optimizer):
    """d <- max(d, r / ((1 - b) ‖s‖_1)) with averages s of d_lr g and r of d_lr <g, s / (sqrt(v) + eps)>, both
    of coefficient b = sqrt(beta2); the step is Adam's with each gradient averaged times its own d_lr (arXiv
    2301.07733, its Adam, as in the authors' package). d0: the first d, which only has to be too small."""

    peak_lr: float = 1.0
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    d0: float = 1e-6

    info: ClassVar[Info] = Info(
        title="D-Adapt Adam",
        paper="Learning-Rate-Free Learning by D-Adaptation",
        url="https://arxiv.org/abs/2301.07733",
        family="scalar",
        summary=(
            "AdamW that finds its rate itself, from a lower bound on the distance to the solution that grows as"
            " it runs. Its rate here is a factor near 1 on that. Needs one buffer more."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "lr-free"
    finds_rate: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = found_rate()

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = dadapt_adamw(
            factor(self.peak_lr, run),
            (self.beta1, self.beta2),
            eps=self.eps,
            estim_lr0=self.d0,
        )
        return with_decay(rule, self.peak_lr, self.weight_decay, self.beta1, self.beta2, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.dadapt_torch import DAdaptAdamTorch

        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "d0": self.d0}
        return DAdaptAdamTorch(decay_groups(params, self.weight_decay, run), self.peak_lr, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 3 * floats(params)  # m, v and s

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # s / (sqrt + ) 3, product 2, averages 4 + 4 + 4, size of s 2, sqrt + / 3, decay 2, step 1
        return 25.0 * floats(params)
