"""Schedule-Free AdamW: an average of the iterates in the place of a falling rate.

Three points: z moves as AdamW without momentum does, x is the average of all z, weighted by the square of the
largest rate so far, and the gradient is taken between them:
    y = (1 - beta1) z + beta1 x;   z <- z - lr (g(y) / (sqrt(v̂) + eps) + weight_decay y);   x <- x + c (z - x).
The parameters that are trained are y, what is evaluated is x. The rate rises by the recipe's warmup and then
stays where it is: the recipe's decay is not tuned. The recipe's two ratios scale the step of z, and x with it.

The published study has not tuned it: it starts as AdamW does, but for the rate, which is twice AdamW's. Its
authors' default is 2.5 times Adam's, and they advise one to ten times the rate that a schedule would have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import optax
from optax.contrib import schedule_free

from optimizers.base import Axis, Info, Optimizer, Param, Run, Value
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups, floats
from optimizers.shared.schedules import SCHEDULES
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class ScheduleFree(Optimizer):
    """arXiv 2405.15682, Algorithm 1, with the weights of the authors' code. beta1: how far y is from z to x."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="Schedule-Free AdamW",
        paper="The Road Less Scheduled",
        url="https://arxiv.org/abs/2405.15682",
        family="scalar",
        summary=(
            "AdamW that needs no falling rate and no length of the run: gradients are taken near the average of"
            " all iterates, and that average is the result."
        ),
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "2026"
    own_ratios: ClassVar[bool] = True
    shards_state: ClassVar[bool] = True
    recipe_fixed: ClassVar[Mapping[str, Value]] = SCHEDULES["constant"].fixed
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.016),
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        mask = {name: param.role in DECAYED_ROLES for name, param in run.params.items()}

        def rate(count: Any) -> Any:
            return self.peak_lr * run.multiplier(count)

        def scaled(updates: Any, params: Any = None) -> Any:
            return {name: run.ratios.get(name, 1.0) * u for name, u in updates.items()}

        step_of_z = optax.chain(
            optax.scale_by_rms(self.beta2, self.eps, eps_in_sqrt=False, bias_correction=True),
            optax.add_decayed_weights(self.weight_decay, mask),
            optax.scale_by_learning_rate(rate),
            optax.stateless(scaled),
        )
        return schedule_free(step_of_z, lambda count: rate(count - 1), self.beta1)  # it counts from 1

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.schedule_free_torch import ScheduleFreeTorch

        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return ScheduleFreeTorch(decay_groups(params, self.weight_decay, run), self.peak_lr, run.ratios, **rule)

    def eval_params(self, state: Any, params: Any) -> Any:
        """x, from y and z."""
        return {name: (y - (1 - self.beta1) * state.z[name]) / self.beta1 for name, y in params.items()}

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # z and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # average 4, correction 1, sqrt + / 3, decay 2, z 2; y towards z 3, by the step 2
        return 17.0 * floats(params)
