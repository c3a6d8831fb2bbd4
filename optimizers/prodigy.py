"""Prodigy: AdamW that finds its rate, the distance from where the run began to where it should end.

`peak_lr` is a factor near 1 on the rate that it finds. The recipe's schedule multiplies it, as the authors
advise. The recipe's two ratios scale steps after the rule, which sees how far the parameters have come. Adam's
bias correction is on, as in optax; the authors' code has it as an option. Their other option, to leave the
schedule out of the estimate's denominator (`safeguard_warmup`), is off as it is by default: with it the
estimate falls with the square of the factor, and at 27k-1x a factor of 0.25 learnt nothing in 520 steps.

The published study has not tuned it: it starts as AdamW does, at a factor of 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax
from optax.contrib import prodigy

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared.decoupled import decay_groups, floats
from optimizers.shared.found_rate import factor, with_decay
from optimizers.shared.spaces import ADAM_ESSENTIAL, found_rate


@dataclass(frozen=True)
class Prodigy(Optimizer):
    """d <- max(d, r / ‖s‖_1) with r <- b r + w <g, p0 - p> and s <- b s + w g, where w = d_lr d / d0 and b =
    sqrt(beta2); the step is Adam's for the gradient d g, times d_lr (arXiv 2306.06101, its Adam, as in the
    authors' package). d0: the first d, which only has to be too small."""

    peak_lr: float = 1.0
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    d0: float = 1e-6

    info: ClassVar[Info] = Info(
        title="Prodigy",
        paper="Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
        url="https://arxiv.org/abs/2306.06101",
        family="scalar",
        summary=(
            "AdamW that finds its rate itself, from how far it has come against the gradients it has seen. Its"
            " rate here is a factor near 1 on that. Needs two buffers more."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "lr-free"
    finds_rate: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = found_rate()

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = prodigy(
            factor(self.peak_lr, run),
            (self.beta1, self.beta2),
            eps=self.eps,
            estim_lr0=self.d0,
        )
        return with_decay(rule, self.peak_lr, self.weight_decay, self.beta1, self.beta2, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.prodigy_torch import ProdigyTorch

        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "d0": self.d0}
        return ProdigyTorch(decay_groups(params, self.weight_decay, run), self.peak_lr, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 4 * floats(params)  # m, v, s and the start

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # d g 1, way so far 1, product 2, averages 3 + 4 + 3, size of s 2, sqrt + / 3, decay 2, step 2
        return 23.0 * floats(params)
