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
from typing import Any, ClassVar

import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.orthogonal import Adam, MuonState, adamw, flops, orthogonal, state_floats, zeros
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
        adam = Adam(self.beta1, self.beta2, self.eps, self.weight_decay)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, MuonState]:
            lr = self.peak_lr * run.multiplier(state.count)
            directions, momentum = orthogonal(
                updates, state.momentum, self.momentum, self.ns_steps, self.ns_eps, run
            )
            moves = {}
            for name, direction in directions.items():
                direction = shape_factor(params[name].shape) * direction
                moves[name] = -lr * (direction + self.weight_decay * params[name])
            others, m, v = adamw(updates, params, state, adam, lr, run)
            return moves | others, MuonState(state.count + 1, momentum, m, v)

        return optax.GradientTransformationExtraArgs(lambda params: zeros(params, run), update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.muon_torch import MuonTorch
        from optimizers.shared.orthogonal_torch import hidden_and_others

        groups = hidden_and_others(params, self.weight_decay, self.weight_decay, run)
        floats = self.floats()
        rule = {name: floats[name] for name in ("momentum", "ns_eps", "beta1", "beta2", "eps")}
        return MuonTorch(groups, self.peak_lr, self.ns_steps, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return state_floats(params)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        return flops(params, self.ns_steps)
