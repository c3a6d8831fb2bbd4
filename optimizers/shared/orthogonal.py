"""What Muon and the rules that build on it share: Nesterov's momentum of hidden matrices, orthogonalised, and
AdamW for every other parameter. jax; the torch twin is orthogonal_torch.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optimizers.base import Param, Role, Run
from optimizers.shared.decoupled import DECAYED_ROLES
from optimizers.shared.newton_schulz import newton_schulz, newton_schulz_flops
from optimizers.shared.whole import each

MATRICES: tuple[Role, ...] = ("hidden",)
OTHERS: tuple[Role, ...] = ("embedding", "head", "norm")
Tree = Mapping[str, Any]


class MuonState(NamedTuple):
    """count: steps taken. momentum: of hidden matrices. m, v: Adam's, of all other parameters."""

    count: Any
    momentum: dict[str, Any]
    m: dict[str, Any]
    v: dict[str, Any]


class Adam(NamedTuple):
    """AdamW's hyperparameters; decay acts where that of shared/decoupled.py does."""

    beta1: Any
    beta2: Any
    eps: Any
    decay: Any


def adam_step(m: Any, v: Any, grad: Any, t: Any, beta1: Any, beta2: Any, eps: Any) -> tuple[Any, Any, Any]:
    """One bias-corrected Adam step at t = 1, 2, ...: (direction, new m, new v)."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    direction = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
    return direction, m, v


def by_role(params: Mapping[str, Param], roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Names of the parameters with one of these roles, in the model's order."""
    return tuple(name for name, p in params.items() if p.role in roles)


def zeros(params: Tree, run: Run) -> MuonState:
    """The state before the first step."""

    def of(roles: tuple[Role, ...]) -> dict[str, Any]:
        return {name: jnp.zeros_like(params[name]) for name in by_role(run.params, roles)}

    return MuonState(jnp.zeros((), jnp.int32), of(MATRICES), of(OTHERS), of(OTHERS))


def orthogonal(
    grads: Tree, old: Tree, coefficient: Any, ns_steps: int, ns_eps: Any, run: Run
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of every hidden matrix, by name: NS(G + coefficient B) and B <- coefficient B + G, `old` being B."""
    momentum = {name: coefficient * old[name] + grads[name] for name in by_role(run.params, MATRICES)}
    nesterov = {name: grads[name] + coefficient * new for name, new in momentum.items()}
    return orthogonalised(nesterov, ns_steps, ns_eps, run), momentum


def orthogonalised(matrices: Tree, ns_steps: int, ns_eps: Any, run: Run) -> dict[str, Any]:
    """NS of every matrix, by name."""

    def newton(param: Param, matrices: Any) -> Any:
        return newton_schulz(matrices, ns_steps, ns_eps)

    with jax.default_matmul_precision("highest"):
        return each(newton, matrices, run)


def adamw(
    grads: Tree, params: Tree, state: MuonState, adam: Adam, lr: Any, run: Run
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What every parameter that is no hidden matrix moves by, and the next m and v."""
    moves, m, v, t = {}, {}, {}, state.count + 1
    for name in by_role(run.params, OTHERS):
        direction, m[name], v[name] = adam_step(
            state.m[name], state.v[name], grads[name], t, adam.beta1, adam.beta2, adam.eps
        )
        decay = adam.decay if run.params[name].role in DECAYED_ROLES else 0.0
        moves[name] = -lr * (direction + decay * params[name])
    return moves, m, v


def state_floats(params: Mapping[str, Param]) -> int:
    """Floats of a MuonState, its counter apart."""
    return sum(p.size * (1 if p.role in MATRICES else 2) for p in params.values())


def flops(params: Mapping[str, Param], ns_steps: int) -> float:
    """Of Muon's update: Newton-Schulz, momentum 2, Nesterov 2, norm 3, factor 1, decay 2, step 2; Adam's 16."""
    hidden = [p for p in params.values() if p.role in MATRICES]
    small = sum(12.0 * p.size if p.role in MATRICES else 16.0 * p.size for p in params.values())
    return small + sum(newton_schulz_flops(p.shape, ns_steps) for p in hidden)
