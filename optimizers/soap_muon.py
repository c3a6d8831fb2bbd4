"""SOAP-Muon: SOAP's direction, orthogonalised as Muon's is.

Vyas et al. 2025, "Improving SOAP using iterative whitening and Muon" (https://nikhilvyas.github.io/SOAP_Muon.pdf).

Hidden matrices W (out, in), with U SOAP's direction (soap.py, the reference; zero at the first gradient):
    W <- W - lr (sqrt(max(1, out/in)) NS(U) + weight_decay W)
NS and its factor are Muon's. SOAP whitens by averages, Newton-Schulz what is left in each single step, so bases
may be refreshed less often than SOAP's. Embedding, head and norms: AdamW with the same betas and eps.

Of the authors' code (github.com/nikhilvyas/SOAP_MUON) this is the core. It also takes two more steps of a cubic
iteration, evens out the coordinates by a root or a median, and for some layers has one basis instead of two.

The published study has not tuned it: what it has of SOAP starts where SOAP's searches do, and the rate, which
is Muon's, where Muon's do.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import optax

from optimizers.base import Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared import orthogonal as muon
from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.spaces import (
    ADAM_ESSENTIAL,
    beta,
    decay,
    epsilon,
    micro_beta2,
    micro_decay,
    micro_momentum,
    micro_rate,
    rate,
)
from optimizers.soap import Soap, SoapState


class SoapMuonState(NamedTuple):
    """soap: of hidden matrices, see soap.py. m, v: Adam's, of all other parameters."""

    soap: SoapState
    m: dict[str, Any]
    v: dict[str, Any]


@dataclass(frozen=True)
class SoapMuon(Optimizer):
    """shampoo_beta, refresh_fraction, block_size: SOAP's."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    beta1: float = 0.95
    beta2: float = 0.98
    shampoo_beta: float = 0.95
    eps: float = 1e-8
    ns_eps: float = 1e-7
    ns_steps: int = static(5)
    refresh_fraction: float = static(0.002)
    block_size: int = static(0)

    info: ClassVar[Info] = Info(
        title="SOAP-Muon",
        paper="Improving SOAP using iterative whitening and Muon",
        url="https://nikhilvyas.github.io/SOAP_Muon.pdf",
        family="matrix",
        summary="Runs Adam in the eigenbasis of Shampoo's preconditioner, as SOAP does, and then pushes all"
        " singular values of the step towards 1, as Muon does. AdamW trains all but hidden matrices.",
        essential=ADAM_ESSENTIAL,
    )
    group: ClassVar[str] = "2026"
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.016),
            "weight_decay": micro_decay(0.1),
            "beta1": micro_momentum(0.95),
            "beta2": micro_beta2(0.98),
            "shampoo_beta": micro_beta2(0.95),
            "refresh_fraction": Axis((0.002, 0.01, 0.02), 0.002),
        },
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032, 0.064), 0.016),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.8, 0.9, 0.95), 0.95),
            "beta2": beta((0.9, 0.95, 0.98, 0.99), 0.98),
            "shampoo_beta": beta((0.9, 0.95, 0.98, 0.99), 0.95),
            "eps": epsilon((1e-20, 1e-15, 1e-10), 1e-15),
            "ns_eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10, 1e-5), 1e-15),
            "refresh_fraction": Axis((0.0002, 0.001, 0.002), 0.002),
            "block_size": Axis((128, 256, 512), 256),
        },
    }

    @property
    def soap(self) -> Soap:
        """SOAP whose updates are its directions, but for their sign."""
        shared = ("beta1", "beta2", "shampoo_beta", "eps", "refresh_fraction", "block_size")
        return Soap(peak_lr=1.0, weight_decay=0.0, **{name: getattr(self, name) for name in shared})

    @property
    def width_free(self) -> tuple[Role, ...]:
        return ("hidden",)

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        adam = muon.Adam(self.beta1, self.beta2, self.eps, self.weight_decay)
        hidden = {name: param for name, param in run.params.items() if param.role == "hidden"}
        soap: Any = self.soap.build_jax(dataclasses.replace(run, params=hidden, multiplier=lambda step: 1.0))

        def of_hidden(tree: Mapping[str, Any]) -> dict[str, Any]:
            return {name: tree[name] for name in hidden}

        def init(params: Any) -> SoapMuonState:
            others = muon.zeros(params, run)
            return SoapMuonState(soap.init(of_hidden(params)), others.m, others.v)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, SoapMuonState]:
            count = state.soap.count
            lr = self.peak_lr * run.multiplier(count)
            upward, soap_state = soap.update(of_hidden(updates), state.soap, of_hidden(params))
            directions = muon.orthogonalised(upward, self.ns_steps, self.ns_eps, run)
            moves = {}
            for name, direction in directions.items():
                direction = shape_factor(direction.shape) * -direction
                moves[name] = -lr * (direction + self.weight_decay * params[name])
            others, m, v = muon.adamw(
                updates, params, muon.MuonState(count, {}, state.m, state.v), adam, lr, run
            )
            return moves | others, SoapMuonState(soap_state, m, v)

        return optax.GradientTransformationExtraArgs(init, update)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.shared.orthogonal_torch import hidden_and_others
        from optimizers.soap_muon_torch import SoapMuonTorch
        from optimizers.soap_torch import AdamInBases

        groups = hidden_and_others(params, self.weight_decay, self.weight_decay, run)
        rule = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        soap = AdamInBases(
            int(self.soap.interval(run.steps, max)), False, {**rule, "shampoo_beta": self.shampoo_beta}
        )
        blocks = {name: self.soap.blocks(param) for name, param in run.params.items()}
        sides = {name: self.soap.sides(param) for name, param in run.params.items()}
        return SoapMuonTorch(
            groups, self.peak_lr, self.ns_steps, soap, blocks, sides, ns_eps=self.ns_eps, **rule
        )

    def state_floats(self, params: Mapping[str, Param]) -> int:
        hidden = {name: param for name, param in params.items() if param.role == "hidden"}
        return self.soap.state_floats(hidden) + sum(2 * p.size for p in params.values() if p.role != "hidden")

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # Muon's but for momentum 2 and Nesterov 2; SOAP's but for decay 2 and step 2
        hidden = {name: param for name, param in params.items() if param.role == "hidden"}
        twice = sum(8.0 * param.size for param in hidden.values())
        soap = self.soap.extra_flops(hidden, steps, batch_tokens)
        return soap + muon.flops(params, self.ns_steps) - twice
