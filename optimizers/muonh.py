"""MuonH: Muon on spheres.

Wen et al. 2026, "Fantastic Pretraining Optimizers and Where to Find Them II: Hyperball Optimization" (arXiv
2606.16899).

Every hidden matrix keeps the Frobenius norm R it has at the start, and steps by Muon's direction u (muon.py):
    W <- R N(W - lr R N(u)),   N(x) = x / |x|
so `peak_lr` is a length relative to the matrix and Muon's shape factor cancels. How large the matrices are is
decided by the initialization alone, to which the method is sensitive. Embedding, head and norms: AdamW, whose
rates are the recipe's ratios times `peak_lr`.

Weight decay has no meaning on a sphere: the rate does what rate and decay did together (the authors' code says
sqrt(rate decay) of the method without spheres). What is left of it is `head_decay`, that of the head, which
takes its place among the five that every search tunes.

Two departures from the authors' code: that also keeps the head on its sphere, by Adam's direction, and for Muon
takes R from the matrix before each step instead of the start, which is the same but for rounding.

The published study has not tuned it: the rate, momentum and betas start at those of the authors' runs at 130M
and 1x (marin-community/marin, experiments/speedrun/muonh_qwen3_scaling), `head_decay` at Muon's decay.
One departure from the rule of shared/spaces.py: the rate starts at the authors' 0.02 on the micro ladder too,
without the factor for its width. It is an angle, of which they report that over widths from 128 to 2048 the
best drifts by a factor of 1.4 at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared import hyperball
from optimizers.shared import orthogonal as muon
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


class MuonHState(NamedTuple):
    """muon: see shared/orthogonal.py. radii: R of every hidden matrix, [1, 1]."""

    muon: muon.MuonState
    radii: dict[str, Any]


@dataclass(frozen=True)
class MuonH(Optimizer):
    """peak_lr: of the hidden matrices, relative to their norms."""

    peak_lr: float = 0.02
    head_decay: float = 0.1
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    ns_eps: float = 1e-7
    ns_steps: int = static(5)

    info: ClassVar[Info] = Info(
        title="MuonH",
        paper="Fantastic Pretraining Optimizers and Where to Find Them II: Hyperball Optimization",
        url="https://arxiv.org/abs/2606.16899",
        family="matrix",
        summary="Muon whose hidden matrices keep the norm that they start with, so that the rate alone says how"
        " far a step turns them and nothing decays. Everything else is trained by AdamW.",
        essential=("peak_lr", "head_decay", "momentum", "embedding_lr_ratio", "head_lr_ratio"),
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.02 / WIDTH_FACTOR),
            "head_decay": micro_decay(0.1),
            "momentum": micro_momentum(0.95),
            "beta1": micro_momentum(0.9),
            "beta2": micro_beta2(0.98),
        },
        "paper": {
            "peak_lr": rate((0.005, 0.01, 0.02, 0.04), 0.02),
            "head_decay": decay((0.0, 0.1, 0.2), 0.1),
            "momentum": beta((0.9, 0.95, 0.98), 0.95),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.98),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-15),
            "ns_eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10, 1e-5), 1e-5),
        },
    }

    @property
    def width_free(self) -> tuple[Role, ...]:
        return ("hidden",)

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        adam = muon.Adam(self.beta1, self.beta2, self.eps, self.head_decay)

        def init(params: Any) -> MuonHState:
            state = muon.zeros(params, run)
            return MuonHState(state, {name: hyperball.norm(params[name]) for name in state.momentum})

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, MuonHState]:
            lr = self.peak_lr * run.multiplier(state.muon.count)
            directions, momentum = muon.orthogonal(
                updates, state.muon.momentum, self.momentum, self.ns_steps, self.ns_eps, run
            )
            moves = {}
            for name, u in directions.items():
                there = hyperball.stepped(params[name], u, state.radii[name], lr)
                moves[name] = jnp.where(lr > 0, there - params[name], 0.0)
            others, m, v = muon.adamw(updates, params, state.muon, adam, lr, run)
            next_state = muon.MuonState(state.muon.count + 1, momentum, m, v)
            return moves | others, MuonHState(next_state, state.radii)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.muonh_torch import MuonHTorch
        from optimizers.shared.orthogonal_torch import hidden_and_others

        groups = hidden_and_others(params, 0.0, self.head_decay, run)
        floats = self.floats()
        rule = {name: floats[name] for name in ("momentum", "ns_eps", "beta1", "beta2", "eps")}
        return MuonHTorch(groups, self.peak_lr, self.ns_steps, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return muon.state_floats(params) + hyperball.radii(params)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # Muon's but for factor 1, decay 2 and step 2 of a hidden matrix
        unused = sum(5.0 * param.size for param in params.values() if param.role == "hidden")
        return muon.flops(params, self.ns_steps) - unused + hyperball.flops(params)
