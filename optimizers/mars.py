"""Mars: AdamW on a gradient corrected by its change since the previous step (the paper's approximate form).

`reference` scales each corrected matrix down to norm 1 and leaves 1-D parameters to plain AdamW, here with the
same rate and betas. `levanter`, the published study's rule, corrects every parameter, scales all of them down
together to the norm `clip_norm`, and does not clip the gradient before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class Mars(Optimizer):
    """AdamW on c = g + gamma beta1 / (1 - beta1) (g - g_previous), clipped (arXiv 2411.10438).

    The first step has no previous gradient and takes 0 for it, as the authors' code does.
    """

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    gamma: float = 0.025
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Mars",
        paper="MARS: Unleashing the Power of Variance Reduction for Training Large Models",
        url="https://arxiv.org/abs/2411.10438",
        family="scalar",
        summary=(
            "AdamW on a gradient to which a multiple of its change since the last step is added, a cheap form"
            " of variance reduction. Needs one buffer more."
        ),
        essential=ADAM_ESSENTIAL,
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {**micro_adam(0.016), "gamma": rate((0.00625, 0.0125, 0.025, 0.05, 0.1), 0.025)},
        "paper": {
            "peak_lr": rate((0.008, 0.016, 0.032), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98, 0.99), 0.95),
            "eps": epsilon((1e-30, 1e-25, 1e-20, 1e-15, 1e-10), 1e-25),
            "gamma": rate((0.0125, 0.025, 0.05, 0.1), 0.025),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        names = self._corrected(run.params)
        clip = clip_each(names) if self.variant == "reference" else clip_together(run.clip_norm)
        rule = optax.chain(
            correct(names, self.gamma * self.beta1 / (1 - self.beta1)),
            clip,
            optax.scale_by_adam(self.beta1, self.beta2, self.eps),
        )
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.mars_torch import MarsTorch

        names = self._corrected(run.params)
        together = None if self.variant == "reference" else float(run.clip_norm)
        groups = decay_groups(params, self.weight_decay, run)
        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "gamma": self.gamma}
        return MarsTorch(groups, self.peak_lr, names, together, **rule)

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return ROLES if self.variant == "reference" else ()

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params) + sum(params[n].size for n in self._corrected(params))  # m, v, g_previous

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        corrected = sum(params[n].size for n in self._corrected(params))
        return 16.0 * floats(params) + 6.0 * corrected  # AdamW's 16; correction 3, norm 2, scale 1

    def _corrected(self, params: Mapping[str, Param]) -> tuple[str, ...]:
        return tuple(n for n, p in params.items() if self.variant != "reference" or len(p.shape) > 1)


def correct(names: tuple[str, ...], factor: Any) -> optax.GradientTransformation:
    """c = g + factor (g - g_previous) for the named parameters; the state is their raw gradient."""

    def init(params: Any) -> Any:
        return {name: jnp.zeros_like(params[name]) for name in names}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        change = {name: factor * (updates[name] - state[name]) for name in names}
        corrected = {n: g + change[n] if n in names else g for n, g in updates.items()}
        return corrected, {name: updates[name] for name in names}

    return optax.GradientTransformation(init, update)


def clip_each(names: tuple[str, ...]) -> optax.GradientTransformation:
    """c / max(1, ‖c‖) for each named parameter by itself."""

    def clip(grads: Any, params: Any = None) -> Any:
        norm = {name: jnp.linalg.norm(grads[name]) for name in names}
        return {n: c / jnp.maximum(1.0, norm[n]) if n in names else c for n, c in grads.items()}

    return optax.stateless(clip)


def clip_together(max_norm: Any) -> optax.GradientTransformation:
    """Scale all down to a joint norm of `max_norm`; 0 turns it off."""

    def clip(grads: Any, params: Any = None) -> Any:
        norm = optax.tree.norm(grads)
        scale = jnp.where((max_norm > 0) & (norm > max_norm), max_norm / norm, 1.0)
        return jax.tree.map(lambda c: c * scale.astype(c.dtype), grads)

    return optax.stateless(clip)
