"""AdamH: Adam on spheres.

Wen et al. 2026, "Fantastic Pretraining Optimizers and Where to Find Them II: Hyperball Optimization" (arXiv
2606.16899). The rule of muonh.py with Adam's direction in the place of Muon's: every hidden matrix keeps the
Frobenius norm R it has at the start,
    W <- R N(W - lr R N(u)),   N(x) = x / |x|,   u = m̂ / (sqrt(v̂) + eps)
and embedding, head and norms are AdamW's, with the same betas. What muonh.py says of the initialization, of
weight decay and of the authors' code holds here: `head_decay` is the head's, and takes the place of the decay.

The published study has not tuned it: rate and betas start at those of the authors' runs at 130M and 1x
(marin-community/marin, experiments/speedrun/adamh_qwen3_scaling), the rate at their 0.02 on both ladders, for
the reason in muonh.py. `head_decay` starts at the decay of AdamW's head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run
from optimizers.shared import hyperball
from optimizers.shared.decoupled import DECAYED_ROLES, floats
from optimizers.shared.spaces import (
    WIDTH_FACTOR,
    beta,
    decay,
    epsilon,
    micro_beta2,
    micro_decay,
    micro_momentum,
    micro_rate,
    rate,
)


class AdamHState(NamedTuple):
    """count: steps taken. adam: optax's state of all parameters. radii: R of every hidden matrix, [1, 1]."""

    count: Any
    adam: Any
    radii: dict[str, Any]


@dataclass(frozen=True)
class AdamH(Optimizer):
    """peak_lr: of the hidden matrices, relative to their norms."""

    peak_lr: float = 0.02
    head_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10

    info: ClassVar[Info] = Info(
        title="AdamH",
        paper="Fantastic Pretraining Optimizers and Where to Find Them II: Hyperball Optimization",
        url="https://arxiv.org/abs/2606.16899",
        family="scalar",
        summary="Adam whose hidden matrices keep the norm that they start with, so that the rate alone says how"
        " far a step turns them and nothing decays. Everything else is trained by AdamW.",
        essential=("peak_lr", "head_decay", "beta1", "embedding_lr_ratio", "head_lr_ratio"),
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.02 / WIDTH_FACTOR),
            "head_decay": micro_decay(0.1),
            "beta1": micro_momentum(0.9),
            "beta2": micro_beta2(0.98),
        },
        "paper": {
            "peak_lr": rate((0.005, 0.01, 0.02, 0.04), 0.02),
            "head_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.98),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule: Any = optax.scale_by_adam(self.beta1, self.beta2, self.eps)
        hidden = [name for name, param in run.params.items() if param.role == "hidden"]

        def init(params: Any) -> AdamHState:
            radii = {name: hyperball.norm(params[name]) for name in hidden}
            return AdamHState(jnp.zeros((), jnp.int32), rule.init(params), radii)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, AdamHState]:
            lr = self.peak_lr * run.multiplier(state.count)
            directions, adam = rule.update(updates, state.adam)
            moves = {}
            for name, u in directions.items():
                if name in state.radii:
                    there = hyperball.stepped(params[name], u, state.radii[name], lr)
                    moves[name] = jnp.where(lr > 0, there - params[name], 0.0)
                else:
                    decay = self.head_decay if run.params[name].role in DECAYED_ROLES else 0.0
                    moves[name] = -lr * (u + decay * params[name])
            return moves, AdamHState(state.count + 1, adam, state.radii)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.adamh_torch import AdamHTorch
        from optimizers.shared.orthogonal_torch import hidden_and_others

        groups = hidden_and_others(params, 0.0, self.head_decay, run)
        return AdamHTorch(groups, self.peak_lr, beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return 2 * floats(params) + hyperball.radii(params)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # AdamW's 16 but for decay 2 and step 2 of a hidden matrix
        unused = sum(4.0 * param.size for param in params.values() if param.role == "hidden")
        return 16.0 * floats(params) - unused + hyperball.flops(params)
