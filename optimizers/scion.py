"""Scion: steps of fixed norm, each layer in its own norm.

Pethick et al. 2025, "Training Deep Learning Models with Norm-Constrained LMOs" (arXiv 2502.07529).

With the average M <- momentum M + (1 - momentum) G, a parameter moves by a matrix of norm 1 along M:
    hidden (out, in): sqrt(out/in) NS(M)      embedding: each token's row of M divided by its root mean square
    head (vocabulary, in): sign(M) / in       norms: M divided by its root mean square
and W <- W - lr (radius * that + weight_decay W); radius is `head_radius` for the head and 1 for all others.
Written this way the paper's W <- (1 - gamma) W - gamma rho lmo(M) has lr = gamma rho and weight_decay = 1/rho,
with rho that of the hidden matrices, and `head_radius` is the head's rho over it: another radius at the same
gamma, where the recipe's `head_lr_ratio` is another gamma at the same radius. Its language models use rho = 50
for hidden matrices, a decay of 0.02, and rho = 3000 for the head, a `head_radius` of 60; the embedding is tied
to the head there. Decay 0 is its unconstrained form. Two things differ from the paper because the benchmark
owns them: initialization, and that embedding and norms do not decay (an infinite radius).

On the micro ladder `head_radius` is 2.5 and is not searched: 60 at the paper's width of 768 moves a coordinate
of the head by 0.078 of the rate, which is what 2.5 does at a width of 32.

variant "levanter" (arXiv 2509.02046), a Muon without Nesterov: ten Newton-Schulz steps, the factor
sqrt(max(1, out/in)), and for every other parameter Signum, the sign of an average with `beta1`; the trainer
clips those alone. The published study's `scion_to_signum_lr` is the value of both of the recipe's ratios.
`beta1` acts in this variant only, `head_radius` only in the reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups, floats
from optimizers.shared.newton_schulz import newton_schulz, newton_schulz_flops, shape_factor
from optimizers.shared.spaces import beta, decay, epsilon, micro_decay, micro_momentum, micro_rate, rate
from optimizers.shared.whole import each

LMO_EPS = 1e-8  # a token that has not occurred yet has no direction


class ScionState(NamedTuple):
    """count: steps taken. m: the average gradient of every parameter."""

    count: Any
    m: dict[str, Any]


def unit_rms(x: Any) -> Any:
    """x divided by its root mean square along the last axis."""
    return x / ((x * x).mean(-1, keepdims=True) ** 0.5 + LMO_EPS)


@dataclass(frozen=True)
class Scion(Optimizer):
    """head_radius: size of the head's step relative to hidden matrices, each in its own norm."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    momentum: float = 0.95
    head_radius: float = 2.5
    beta1: float = 0.95
    ns_eps: float = 1e-7
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Scion",
        paper="Training Deep Learning Models with Norm-Constrained LMOs",
        url="https://arxiv.org/abs/2502.07529",
        family="matrix",
        summary="Every layer steps by a fixed amount in a norm that suits it: spectral for hidden matrices,"
        " sign for the head, row lengths for the embedding. Keeps one average of the gradient and no more.",
        essential=("peak_lr", "weight_decay", "momentum", "embedding_lr_ratio", "head_lr_ratio"),
        version=2,
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.016),
            "weight_decay": micro_decay(0.1),
            "momentum": micro_momentum(0.95),
        },
        "paper": {
            "peak_lr": rate((0.008, 0.016, 0.032, 0.064, 0.128), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "momentum": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "head_radius": rate((20.0, 60.0, 180.0), 60.0),
            "ns_eps": epsilon((1e-20, 1e-15, 1e-10, 1e-5), 1e-15),
        },
    }

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return ROLES if self.variant == "reference" else ("embedding", "head", "norm")

    @property
    def width_free(self) -> tuple[Role, ...]:
        return ("hidden", "head") if self.variant == "reference" else ("hidden",)

    @property
    def ns_steps(self) -> int:
        return 5 if self.variant == "reference" else 10

    def averaging(self, param: Param) -> Any:
        """The coefficient of a parameter's average."""
        return self.beta1 if self.variant == "levanter" and param.role != "hidden" else self.momentum

    def radius(self, param: Param) -> Any:
        """The size of a parameter's step relative to hidden matrices."""
        return self.head_radius if param.role == "head" and self.variant == "reference" else 1.0

    def unit_step(self, m: Any, param: Param, sign: Any) -> Any:
        """The matrix of norm 1 closest to m; jax and torch alike, given the framework's `sign`."""
        if param.role == "hidden":
            out, width = param.shape
            factor = (out / width) ** 0.5 if self.variant == "reference" else shape_factor(param.shape)
            return factor * newton_schulz(m, self.ns_steps, self.ns_eps)
        if self.variant == "levanter":
            return sign(m)
        return sign(m) / param.shape[1] if param.role == "head" else unit_rms(m)

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        def init(params: Any) -> ScionState:
            return ScionState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, ScionState]:
            def step(param: Param, m: Any) -> Any:
                return self.unit_step(m, param, jnp.sign)

            lr = self.peak_lr * run.multiplier(state.count)
            moves, m = {}, {}
            for name, param in run.params.items():
                keep = self.averaging(param)
                m[name] = keep * state.m[name] + (1 - keep) * updates[name]
            with jax.default_matmul_precision("highest"):
                hidden = each(step, {n: m[n] for n, p in run.params.items() if p.role == "hidden"}, run)
            for name, param in run.params.items():
                decay = self.weight_decay if param.role in DECAYED_ROLES else 0.0
                direction = hidden[name] if name in hidden else step(param, m[name])
                moves[name] = -lr * (self.radius(param) * direction + decay * params[name])
            return moves, ScionState(state.count + 1, m)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.scion_torch import ScionTorch

        return ScionTorch(decay_groups(params, self.weight_decay, run), self.peak_lr, self, run.params)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return floats(params)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # average 3, radius 2, decay 2, step 2
        matrices = [p.shape for p in params.values() if p.role == "hidden"]
        return 9.0 * floats(params) + sum(newton_schulz_flops(shape, self.ns_steps) for shape in matrices)
