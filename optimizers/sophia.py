"""Sophia-H: momentum over a running estimate of the Hessian's diagonal, clipped coordinate by coordinate.

`reference` is Algorithm 3 of the paper: a due estimate is folded in before the step, and the momentum is not
bias-corrected. `levanter`, the published study's rule, corrects the momentum, folds an estimate in after the
step, so that h is one refresh old, and counts the step before it asks whether one is due: the first comes after
a full interval, and until then h = 0 and every step is a sign step. Both refresh after every `refresh_fraction`
of the run, which at 5,000 steps is the paper's ten steps for a fraction of 0.002.

A search starts as the common rule says (shared/spaces.py), but for the warmup: the published study's 40 % of
the run. `gamma` is essential in place of the weight decay, which the published study's best sets to 0.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run, Value, static
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import (
    beta,
    decay,
    epsilon,
    micro_beta2,
    micro_decay,
    micro_momentum,
    micro_rate,
    rate,
)
from optimizers.shared.stacks import normals


@dataclass(frozen=True)
class Sophia(Optimizer):
    """u = clip(m / max(gamma h, eps), 1), h an average of z ⊙ (H z), z normal (arXiv 2305.14342)."""

    peak_lr: float = 0.016
    weight_decay: float = 0.0
    beta1: float = 0.95
    beta2: float = 0.9
    eps: float = 1e-12
    gamma: float = 0.0125
    refresh_fraction: float = static(0.02)
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Sophia-H",
        paper="Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training",
        url="https://arxiv.org/abs/2305.14342",
        family="scalar",
        summary=(
            "Divides momentum by an estimate of the Hessian's diagonal and clips the result, so that flat and"
            " concave coordinates make a sign step. Every few steps a Hessian-vector product refreshes the"
            " estimate."
        ),
        version=2,
        essential=("peak_lr", "gamma", "beta1", "embedding_lr_ratio", "head_lr_ratio"),
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.004),
            "weight_decay": dataclasses.replace(micro_decay(0.1), start=0.0),
            "beta1": micro_momentum(0.95),
            "beta2": micro_beta2(0.9),
            "gamma": rate((0.003125, 0.00625, 0.0125, 0.025, 0.05), 0.0125),
        },
        "paper": {
            "peak_lr": rate((0.002, 0.004, 0.008, 0.016, 0.032), 0.004),
            "weight_decay": decay((0.0, 0.1, 0.2, 0.3), 0.1),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98, 0.99, 0.995), 0.99),
            "eps": epsilon((1e-17, 1e-12, 1e-7), 1e-12),
            "gamma": rate((0.00625, 0.0125, 0.025, 0.05), 0.0125),
            "refresh_fraction": Axis((0.002,), 0.002),
        },
    }
    # the published study warms up over most of a 1x run; with shorter warmups early sign steps are too large
    recipe_start: ClassVar[Mapping[str, Value]] = {"warmup_fraction": 0.4}

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = scale_by_sophia(self, self._interval(run.steps, jnp.maximum), run)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.sophia_torch import SophiaTorch

        groups = decay_groups(params, self.weight_decay, run)
        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "gamma": self.gamma}
        interval, stale = int(self._interval(run.steps, max)), self.variant == "levanter"
        return SophiaTorch(groups, self.peak_lr, interval, stale, run, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params)  # m and h

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """A Hessian-vector product of the whole batch costs three gradients: 18 FLOPs per token and matrix
        coordinate. Attention scores, which need the sequence length, are not counted."""
        matrices = sum(p.size for p in params.values() if p.role in ("hidden", "head"))
        interval = self._interval(steps, max)
        refreshes = (-(-steps // interval) if self.variant == "reference" else steps // interval) / steps
        # m 3, gamma h 1, max 1, / 1, clip 2, decay 2, step 2; at a refresh z ⊙ Hz 1 and the average 3
        return (12.0 + 4.0 * refreshes) * floats(params) + refreshes * 18.0 * matrices * batch_tokens

    def _interval(self, steps: Any, maximum: Callable[[Any, Any], Any]) -> Any:
        """Steps between two refreshes; whole-number arithmetic, the same for a traced `steps`."""
        return maximum(1, steps // round(1 / self.refresh_fraction))


class SophiaState(NamedTuple):
    step: jax.Array
    m: dict[str, jax.Array]
    h: dict[str, jax.Array]


def scale_by_sophia(opt: Sophia, interval: jax.Array, run: Run) -> optax.GradientTransformationExtraArgs:
    """The clipped direction; `update` needs the keyword `loss_fn`."""

    def init(params: Any) -> SophiaState:
        m, h = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return SophiaState(jnp.zeros([], jnp.int32), m, h)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        def estimate() -> Any:
            z = {n: x.astype(params[n].dtype) for n, x in normals(run, state.step).items()}
            return average(opt.beta2, state.h, hessian_diagonal(extra["loss_fn"], params, z))

        m = average(opt.beta1, state.m, updates)
        counted = state.step + (1 if opt.variant == "levanter" else 0)
        h = jax.lax.cond(counted % interval == 0, estimate, lambda: state.h)
        if opt.variant == "reference":
            numerator, curvature = m, h
        else:
            numerator, curvature = jax.tree.map(lambda x: x / (1 - opt.beta1 ** (state.step + 1)), m), state.h
        u = jax.tree.map(
            lambda x, y: jnp.clip(x / jnp.maximum(opt.gamma * y, opt.eps), -1.0, 1.0), numerator, curvature
        )
        return u, SophiaState(state.step + 1, m, h)

    return optax.GradientTransformationExtraArgs(init, update)


def hessian_diagonal(loss_fn: Callable[[Any], jax.Array], params: Any, z: Any) -> Any:
    """Hutchinson's estimate z ⊙ (H z) of the diagonal of the loss's Hessian at `params`."""
    product = jax.jvp(jax.grad(loss_fn), (params,), (z,))[1]
    return jax.tree.map(jnp.multiply, z, product)


def average(coefficient: Any, old: Any, new: Any) -> Any:
    return jax.tree.map(lambda a, b: coefficient * a + (1 - coefficient) * b, old, new)
