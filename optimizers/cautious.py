"""Cautious AdamW: drop the coordinates whose update points against the newest gradient.

`reference` divides by max(mean(mask), 1e-3), the authors' published code; `levanter`, the published study's
rule, by mean(mask) + eps. They differ where almost no coordinate of a tensor is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run, static
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class Cautious(Optimizer):
    """u <- u mask / mean(mask) with mask = [u g > 0], u AdamW's (arXiv 2411.16085).

    The mean is over one tensor; weight decay is not masked.
    """

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Cautious AdamW",
        paper="Cautious Optimizers: Improving Training with One Line of Code",
        url="https://arxiv.org/abs/2411.16085",
        family="scalar",
        summary=(
            "AdamW that leaves out every coordinate whose update and newest gradient disagree in sign. What is"
            " left of a tensor is scaled up by the share that was left out."
        ),
        essential=ADAM_ESSENTIAL,
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.008),
        "paper": {
            "peak_lr": rate((0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98), 0.98),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        adam = optax.scale_by_adam(self.beta1, self.beta2, self.eps)
        return decayed_step(cautious(adam, *self._floor()), self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.cautious_torch import CautiousTorch

        least, added = self._floor()
        adam = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        groups = decay_groups(params, self.weight_decay, run)
        return CautiousTorch(groups, self.peak_lr, **adam, least=least, added=added)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # m and v

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return 21.0 * floats(params)  # AdamW's 16, mask 2, its mean 1, applied 2

    def _floor(self) -> tuple[float, float]:
        """What keeps the mask's mean from 0: its least value, and what is added to it."""
        return (1e-3, 0.0) if self.variant == "reference" else (0.0, self.eps)


def cautious(rule: optax.GradientTransformation, least: Any, added: Any) -> optax.GradientTransformation:
    """Mask the updates of any rule; the mask's mean is at least `least` and has `added` added to it."""

    def mask(update: jax.Array, grad: jax.Array) -> jax.Array:
        agree = (update * grad > 0).astype(update.dtype)
        return update * agree / (jnp.maximum(agree.mean(), least) + added)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        proposed, state = rule.update(updates, state, params)
        return jax.tree.map(mask, proposed, updates), state

    return optax.GradientTransformation(rule.init, update)
