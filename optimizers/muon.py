"""Muon: momentum, orthogonalised.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/); at scale: Liu et al. 2025 (arXiv 2502.16982).

Hidden matrices W (out, in), with mu = `momentum`:
    B <- mu B + G;   U = G + mu B;   W <- W - lr (sqrt(max(1, out/in)) NS(U) + weight_decay W)
NS is five Newton-Schulz steps towards U's nearest orthogonal matrix. The shape factor does not scale the
decay. Embedding, head and norms: AdamW with its own beta1, beta2 and eps; their rates are the recipe's ratios.

variant "levanter" (arXiv 2509.02046): the trainer clips the AdamW parameters alone, by their joint norm; the
reference leaves clipping to the recipe. Same rule otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups
from optimizers.shared.newton_schulz import newton_schulz, newton_schulz_flops, shape_factor
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
from optimizers.shared.whole import each


class MuonState(NamedTuple):
    """count: steps taken. momentum: of hidden matrices. m, v: Adam's, of all other parameters."""

    count: Any
    momentum: dict[str, Any]
    m: dict[str, Any]
    v: dict[str, Any]


def adam_step(m: Any, v: Any, grad: Any, t: Any, beta1: Any, beta2: Any, eps: Any) -> tuple[Any, Any, Any]:
    """One bias-corrected Adam step at t = 1, 2, ...: (direction, new m, new v)."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    direction = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
    return direction, m, v


def by_role(params: Mapping[str, Param], *roles: Role) -> tuple[str, ...]:
    """Names of the parameters with one of these roles, in the model's order."""
    return tuple(name for name, p in params.items() if p.role in roles)


@dataclass(frozen=True)
class Muon(Optimizer):
    """peak_lr: of the hidden matrices. ns_eps: added to the norm that Newton-Schulz divides by."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    momentum: float = 0.95
    beta1: float = 0.8
    beta2: float = 0.98
    eps: float = 1e-10
    ns_eps: float = 1e-7
    ns_steps: int = static(5)
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Muon",
        paper="Muon: an optimizer for hidden layers in neural networks (Jordan et al. 2024)",
        url="https://kellerjordan.github.io/posts/muon/",
        family="matrix",
        summary="Momentum whose singular values are all pushed towards 1 by a Newton-Schulz iteration, for"
        " hidden matrices. Everything else is trained by AdamW.",
        version=2,
        essential=("peak_lr", "weight_decay", "momentum", "embedding_lr_ratio", "head_lr_ratio"),
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.016),
            "weight_decay": micro_decay(0.1),
            "momentum": micro_momentum(0.95),
            "beta1": micro_momentum(0.8),
            "beta2": micro_beta2(0.98),
        },
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032, 0.064, 0.128), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "momentum": beta((0.8, 0.9, 0.95, 0.98), 0.98),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-15),
            "ns_eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10, 1e-5), 1e-15),
        },
    }

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return ROLES if self.variant == "reference" else ("embedding", "head", "norm")

    @property
    def width_free(self) -> tuple[Role, ...]:
        return ("hidden",)

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        matrices, others = by_role(run.params, "hidden"), by_role(run.params, "embedding", "head", "norm")

        def init(params: Any) -> MuonState:
            def zeros(names: tuple[str, ...]) -> dict[str, Any]:
                return {name: jnp.zeros_like(params[name]) for name in names}

            return MuonState(jnp.zeros((), jnp.int32), zeros(matrices), zeros(others), zeros(others))

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, MuonState]:
            grads, lr, t = updates, self.peak_lr * run.multiplier(state.count), state.count + 1
            moves, momentum, m, v = {}, {}, {}, {}
            for name in matrices:
                momentum[name] = self.momentum * state.momentum[name] + grads[name]
            nesterov = {name: grads[name] + self.momentum * momentum[name] for name in matrices}
            with jax.default_matmul_precision("highest"):
                directions = each(self._orthogonal, nesterov, run)
            for name, direction in directions.items():
                direction = shape_factor(params[name].shape) * direction
                moves[name] = -lr * (direction + self.weight_decay * params[name])
            for name in others:
                direction, m[name], v[name] = adam_step(
                    state.m[name], state.v[name], grads[name], t, self.beta1, self.beta2, self.eps
                )
                decay = self.weight_decay if run.params[name].role in DECAYED_ROLES else 0.0
                moves[name] = -lr * (direction + decay * params[name])
            return moves, MuonState(t, momentum, m, v)

        return optax.GradientTransformationExtraArgs(init, update)

    def _orthogonal(self, param: Param, matrices: Any) -> Any:
        return newton_schulz(matrices, self.ns_steps, self.ns_eps)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.muon_torch import MuonTorch

        groups = []
        for hidden in (True, False):
            members = {name: p for name, p in params.items() if (run.params[name].role == "hidden") == hidden}
            decayed = decay_groups(members, self.weight_decay, run)
            groups += [group | {"hidden": hidden} for group in decayed]
        floats = self.floats()
        rule = {name: floats[name] for name in ("momentum", "ns_eps", "beta1", "beta2", "eps")}
        return MuonTorch(groups, self.peak_lr, self.ns_steps, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return sum(p.size * (1 if p.role == "hidden" else 2) for p in params.values())

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # momentum 2, Nesterov 2, norm 3, factor 1, decay 2, step 2; AdamW's 16
        hidden = [p for p in params.values() if p.role == "hidden"]
        small = sum(12.0 * p.size if p.role == "hidden" else 16.0 * p.size for p in params.values())
        return small + sum(newton_schulz_flops(p.shape, self.ns_steps) for p in hidden)
