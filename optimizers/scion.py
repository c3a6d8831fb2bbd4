"""Scion: steps of fixed norm, each layer in its own norm.

Pethick et al. 2025, "Training Deep Learning Models with Norm-Constrained LMOs" (arXiv 2502.07529).

With the average M <- momentum M + (1 - momentum) G, a parameter moves by a matrix of norm 1 along M:
    hidden (out, in): sqrt(out/in) NS(M)      embedding: each token's row of M divided by its root mean square
    head (vocabulary, in): sign(M) / in       norms: M divided by its root mean square
and W <- W - lr (ratio * that + weight_decay W); ratio is 1 for hidden matrices. Written this way the paper's
W <- (1 - gamma) W - gamma rho lmo(M) has lr = gamma rho and weight_decay = 1/rho. Its language models use rho
= 50 for hidden matrices, a decay of 0.02, and rho = 3000 for the head, a `head_lr_ratio` of 60; the embedding
is tied to the head there. Decay 0 is its unconstrained form. Two things differ from the paper because the
benchmark owns them: initialization, and that embedding and norms do not decay (an infinite radius).

variant "levanter" (arXiv 2509.02046), a Muon without Nesterov: ten Newton-Schulz steps, the factor
sqrt(max(1, out/in)), and for every other parameter Signum, the sign of an average with `beta1`, at
`signum_lr_ratio` times the rate and the decay; the trainer clips those alone. `beta1` and `signum_lr_ratio`
act in this variant only, `embedding_lr_ratio` and `head_lr_ratio` only in the reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers._decoupled import DECAYED_ROLES, floats
from optimizers._matrix import newton_schulz, newton_schulz_flops, shape_factor
from optimizers._spaces import beta, decay, epsilon, rate
from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static

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
    """embedding_lr_ratio (norms too), head_lr_ratio, signum_lr_ratio: step relative to hidden matrices."""

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    momentum: float = 0.8
    embedding_lr_ratio: float = 3.0
    head_lr_ratio: float = 3.0
    signum_lr_ratio: float = 0.2
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
        essential=("peak_lr", "weight_decay", "momentum"),
        variants=("reference", "levanter"),
    )
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": rate((0.016, 0.032, 0.064, 0.128), 0.032),
            "weight_decay": decay((0.0, 0.02, 0.1, 0.2), 0.1),
            "momentum": beta((0.8, 0.9, 0.95, 0.98), 0.8),
            "embedding_lr_ratio": rate((0.1, 0.3, 1.0, 3.0), 3.0),
            "head_lr_ratio": rate((3.0, 10.0, 30.0), 3.0),
        },
        "paper": {
            "peak_lr": rate((0.008, 0.016, 0.032, 0.064, 0.128), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "momentum": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "embedding_lr_ratio": rate((0.1, 0.3, 1.0, 3.0), 1.0),
            "head_lr_ratio": rate((20.0, 60.0, 180.0), 60.0),
            "ns_eps": epsilon((1e-20, 1e-15, 1e-10, 1e-5), 1e-15),
        },
    }

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return ROLES if self.variant == "reference" else ("embedding", "head", "norm")

    @property
    def ns_steps(self) -> int:
        return 5 if self.variant == "reference" else 10

    def averaging(self, param: Param) -> Any:
        """The coefficient of a parameter's average."""
        return self.beta1 if self.variant == "levanter" and param.role != "hidden" else self.momentum

    def ratio(self, param: Param) -> tuple[Any, Any]:
        """(step, decay) relative to lr and lr * weight_decay."""
        decays = 1.0 if param.role in DECAYED_ROLES else 0.0
        if param.role == "hidden":
            return 1.0, 1.0
        if self.variant == "levanter":
            return self.signum_lr_ratio, self.signum_lr_ratio * decays
        return (self.head_lr_ratio if param.role == "head" else self.embedding_lr_ratio), decays

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
            lr = self.peak_lr * run.multiplier(state.count)
            moves, m = {}, {}
            for name, param in run.params.items():
                keep, (step, decay) = self.averaging(param), self.ratio(param)
                m[name] = keep * state.m[name] + (1 - keep) * updates[name]
                with jax.default_matmul_precision("highest"):
                    direction = self.unit_step(m[name], param, jnp.sign)
                moves[name] = -lr * (step * direction + decay * self.weight_decay * params[name])
            return moves, ScionState(state.count + 1, m)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.scion_torch import ScionTorch

        return ScionTorch(self, params, run)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return floats(params)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # average 3, ratio 2, decay 2, step 2
        matrices = [p.shape for p in params.values() if p.role == "hidden"]
        return 9.0 * floats(params) + sum(newton_schulz_flops(shape, self.ns_steps) for shape in matrices)
