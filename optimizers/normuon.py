"""NorMuon: Muon whose update has rows of even size.

Li et al. 2025, "NorMuon: Making Muon more efficient and scalable" (arXiv 2510.05491).

Hidden matrices W (out, in), with mu = `momentum`:
    B <- mu B + G;   O = NS(G + mu B);   v <- row_beta v + (1 - row_beta) mean of each row of O^2
    O' = O / sqrt(v), row by row;   W <- W - lr (sqrt(max(1, out/in)) O' |O| / |O'| + weight_decay W)
NS and everything that is not a hidden matrix are Muon's (muon.py); |O| is the Frobenius norm, so the update is
as large as Muon's and only its rows are evened out, which also makes a bias correction of v needless. So it is
in the authors' code (github.com/zichongli5/NorMuon); the paper's Algorithm 1 gives every update the root mean
square 0.2 instead of |O|.

The published study has not tuned it: `row_beta` starts at the 0.95 of the authors' code, and all that it shares
with Muon where Muon's searches start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared import orthogonal as muon
from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.rows import even_rows
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


class NorMuonState(NamedTuple):
    """muon: see shared/orthogonal.py. rows: mean squares of the rows of every hidden matrix, [out, 1]."""

    muon: muon.MuonState
    rows: dict[str, Any]


@dataclass(frozen=True)
class NorMuon(Optimizer):
    """peak_lr, momentum: of the hidden matrices. row_beta: averages the squares of their rows."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    momentum: float = 0.95
    row_beta: float = 0.95
    beta1: float = 0.8
    beta2: float = 0.98
    eps: float = 1e-10
    ns_eps: float = 1e-7
    ns_steps: int = static(5)

    info: ClassVar[Info] = Info(
        title="NorMuon",
        paper="NorMuon: Making Muon more efficient and scalable",
        url="https://arxiv.org/abs/2510.05491",
        family="matrix",
        summary="Muon that divides each row of its orthogonalised update by an average of the row's size, so"
        " that no neuron learns faster than another. Everything but hidden matrices is trained by AdamW.",
        essential=("peak_lr", "weight_decay", "momentum", "embedding_lr_ratio", "head_lr_ratio"),
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.016),
            "weight_decay": micro_decay(0.1),
            "momentum": micro_momentum(0.95),
            "row_beta": micro_beta2(0.95),
            "beta1": micro_momentum(0.8),
            "beta2": micro_beta2(0.98),
        },
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032, 0.064, 0.128), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "momentum": beta((0.8, 0.9, 0.95, 0.98), 0.98),
            "row_beta": beta((0.9, 0.95, 0.98), 0.95),
            "beta1": beta((0.8, 0.9, 0.95, 0.98), 0.95),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-15),
            "ns_eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10, 1e-5), 1e-15),
        },
    }

    @property
    def width_free(self) -> tuple[Role, ...]:
        return ("hidden",)

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        adam = muon.Adam(self.beta1, self.beta2, self.eps, self.weight_decay)

        def init(params: Any) -> NorMuonState:
            state = muon.zeros(params, run)
            return NorMuonState(state, {name: jnp.zeros_like(b[:, :1]) for name, b in state.momentum.items()})

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, NorMuonState]:
            lr = self.peak_lr * run.multiplier(state.muon.count)
            directions, momentum = muon.orthogonal(
                updates, state.muon.momentum, self.momentum, self.ns_steps, self.ns_eps, run
            )
            moves, rows = {}, {}
            for name, direction in directions.items():
                even, rows[name] = even_rows(direction, state.rows[name], self.row_beta)
                direction = shape_factor(even.shape) * even
                moves[name] = -lr * (direction + self.weight_decay * params[name])
            others, m, v = muon.adamw(updates, params, state.muon, adam, lr, run)
            return moves | others, NorMuonState(muon.MuonState(state.muon.count + 1, momentum, m, v), rows)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.normuon_torch import NorMuonTorch
        from optimizers.shared.orthogonal_torch import hidden_and_others

        groups = hidden_and_others(params, self.weight_decay, self.weight_decay, run)
        floats = self.floats()
        rule = {name: floats[name] for name in ("momentum", "row_beta", "ns_eps", "beta1", "beta2", "eps")}
        return NorMuonTorch(groups, self.peak_lr, self.ns_steps, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return muon.state_floats(params) + sum(p.shape[0] for p in params.values() if p.role == "hidden")

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # a coordinate: mean square 2, division 1, both norms 4, rescaling 1; a row: average 3, root and eps 2
        hidden = [p for p in params.values() if p.role == "hidden"]
        return muon.flops(params, self.ns_steps) + sum(8.0 * p.size + 5.0 * p.shape[0] for p in hidden)
