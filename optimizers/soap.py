"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam" (arXiv 2409.11321, Algorithm 3).

For a matrix with gradient G, averages L of G G^T and R of G^T G with eigenbases QL and QR:
    G' = QL^T G QR;  M <- beta1 M + (1 - beta1) G;  V <- beta2 V + (1 - beta2) G'^2
    U = QL [ (QL^T M QR) / (sqrt(V) + eps) ] QR^T sqrt(1 - beta2^k) / (1 - beta1^k)
The first gradient only sets L, R and, by eigh, the bases: nothing moves, and k counts from the next. Every
`refresh_fraction` of the run, after the step, a basis takes one power iteration and a QR, its columns (and V)
sorted by descending estimated eigenvalue. Axes longer than `block_size` are cut into equal blocks, each a
matrix of its own; 0 cuts none. The vocabulary axis of embedding and head has no basis; norms get plain Adam.

variant "levanter" (arXiv 2509.02046): the first step counts in k and towards the next refresh, and decays; a
refresh uses L and R from before the current gradient; norms have a basis too. Its zero-padding of blocks is
not reproduced: it acts only where `block_size` does not divide a width, and never at the published study's best
settings (widths 512 to 1024) except for 768 in blocks of 512, which are two of 384 here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers.base import Axis, Info, Optimizer, Param, Run, static
from optimizers.shared.blocks import block_shape, gram, rotate, rotate_back
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups, floats
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
from optimizers.shared.stacks import Stacks, one_by_one
from optimizers.shared.whole import spread

Matrices = dict[str, dict[str, Any]]  # stack -> side ("left", "right") -> (blocks, d, d)


class SoapState(NamedTuple):
    """count: gradients seen. m in the original basis, v in the eigenbasis: (blocks, rows, columns) by stack
    (see shared/stacks.py). grams: L and R. bases: QL and QR."""

    count: Any
    m: dict[str, Any]
    v: dict[str, Any]
    grams: Matrices
    bases: Matrices


def refresh(grams: Mapping[str, Any], bases: Mapping[str, Any], v: Any) -> tuple[dict[str, Any], Any]:
    """One power iteration and QR per side, columns in descending order of estimated eigenvalue; v follows."""
    fresh = {}
    for side, basis in bases.items():
        product = grams[side] @ basis
        order = jnp.argsort(-(basis * product).sum(axis=-2), axis=-1)
        fresh[side] = one_by_one(orthogonal, jnp.take_along_axis(product, order[:, None, :], axis=-1))
        rows = side == "left"
        v = jnp.take_along_axis(v, order[:, :, None] if rows else order[:, None, :], axis=-2 if rows else -1)
    return fresh, v


def orthogonal(matrix: Any) -> Any:
    """Q of its QR decomposition."""
    return jnp.linalg.qr(matrix)[0]


def eigenbasis(gram: Any) -> Any:
    """Eigenvectors as columns, largest eigenvalue first."""
    return jnp.linalg.eigh(gram)[1][..., ::-1]


@dataclass(frozen=True)
class Soap(Optimizer):
    """shampoo_beta: averages L and R. refresh_fraction: steps between refreshes, as a fraction of the run."""

    peak_lr: float = 0.064
    weight_decay: float = 0.1
    beta1: float = 0.95
    beta2: float = 0.98
    shampoo_beta: float = 0.95
    eps: float = 1e-8
    # static: under vmap a traced interval would make every step compute a refresh
    refresh_fraction: float = static(0.002)
    block_size: int = static(0)
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="SOAP",
        paper="SOAP: Improving and Stabilizing Shampoo using Adam",
        url="https://arxiv.org/abs/2409.11321",
        family="matrix",
        summary="Runs Adam in the eigenbasis of Shampoo's preconditioner, where gradients are nearly"
        " uncorrelated. The basis is refreshed now and then by a QR decomposition.",
        essential=ADAM_ESSENTIAL,
        variants=("reference", "levanter"),
    )
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
            "peak_lr": rate((0.004, 0.008, 0.016), 0.008),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.8, 0.9, 0.95), 0.95),
            "beta2": beta((0.9, 0.95, 0.98, 0.99), 0.98),
            "shampoo_beta": beta((0.9, 0.95, 0.98, 0.99), 0.95),
            "eps": epsilon((1e-20, 1e-15, 1e-10), 1e-15),
            "refresh_fraction": Axis((0.0002, 0.001, 0.002), 0.002),
            "block_size": Axis((128, 256, 512), 256),
        },
    }

    def blocks(self, param: Param) -> tuple[int, int, int]:
        """(number, rows, columns) of the blocks of a parameter; a norm is one row."""
        return block_shape(param, self.block_size)

    def sides(self, param: Param) -> tuple[str, ...]:
        """The sides that have a basis: both of a hidden matrix, only the width of embedding and head."""
        if param.role == "hidden":
            return ("left", "right")
        return () if param.role == "norm" and self.variant == "reference" else ("right",)

    def interval(self, steps: Any, maximum: Callable[[Any, Any], Any]) -> Any:
        """Steps between two refreshes; whole-number arithmetic, the same for a traced `steps`."""
        return maximum(1, steps // round(1 / self.refresh_fraction))

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        interval = self.interval(run.steps, jnp.maximum)
        stacks = Stacks.of(run.params, self.blocks, self.sides)

        def init(params: Any) -> SoapState:
            def square() -> Matrices:
                return {stack: self._empty(stacks, stack, params[stack].dtype) for stack in stacks.members}

            count = jnp.zeros((), jnp.int32)
            return SoapState(count, stacks.zeros(params), stacks.zeros(params), square(), square())

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, SoapState]:
            with jax.default_matmul_precision("highest"):
                stacked, new_state = spread(self._step, run)(stacks.stack(updates), state, interval)
            directions = stacks.unstack(stacked)
            lr = self.peak_lr * run.multiplier(state.count)
            if self.variant == "reference":
                lr = jnp.where(state.count == 0, 0.0, lr)
            moves = {}
            for name, p in params.items():
                decay = self.weight_decay if run.params[name].role in DECAYED_ROLES else 0.0
                moves[name] = -lr * (directions[name] + decay * p)
            return moves, new_state

        return optax.GradientTransformationExtraArgs(init, update)

    def _empty(self, stacks: Stacks, stack: str, dtype: Any) -> dict[str, Any]:
        """Zeros in the shape of a stack's L and R."""
        _, rows, columns = stacks.blocks[stack]
        lengths = {side: rows if side == "left" else columns for side in self.sides(stacks.params[stack])}
        return {side: jnp.zeros((stacks.count(stack), d, d), dtype) for side, d in lengths.items()}

    def _step(self, grads: dict[str, Any], state: SoapState, interval: Any) -> tuple[dict[str, Any], SoapState]:
        """Directions and next state, by stack."""
        first = state.count == 0
        k = state.count + (1 if self.variant == "levanter" else 0)
        correction = jnp.sqrt(1 - self.beta2 ** jnp.maximum(k, 1)) / (1 - self.beta1 ** jnp.maximum(k, 1))
        directions, m, v = {}, {}, {}
        for name, g in grads.items():
            bases = state.bases[name]
            m[name] = jnp.where(first, 0.0, self.beta1 * state.m[name] + (1 - self.beta1) * g)
            squared = rotate(g, bases) ** 2
            v[name] = jnp.where(first, 0.0, self.beta2 * state.v[name] + (1 - self.beta2) * squared)
            scaled = rotate(m[name], bases) / (jnp.sqrt(v[name]) + self.eps)
            directions[name] = correction * rotate_back(scaled, bases)
        grams = {
            name: {
                side: self.shampoo_beta * old + (1 - self.shampoo_beta) * gram(grads[name], side)
                for side, old in state.grams[name].items()
            }
            for name in grads
        }
        used = state.grams if self.variant == "levanter" else grams

        def turn(bases: Matrices, v: dict[str, Any]) -> tuple[Matrices, dict[str, Any]]:
            turned = {name: refresh(used[name], bases[name], v[name]) for name in bases}
            return {name: pair[0] for name, pair in turned.items()}, {name: p[1] for name, p in turned.items()}

        def keep(bases: Matrices, v: dict[str, Any]) -> tuple[Matrices, dict[str, Any]]:
            return bases, v

        bases = jax.lax.cond(
            first, lambda: jax.tree.map(partial(one_by_one, eigenbasis), grams), lambda: state.bases
        )
        due = ~first & (k % interval == 0)
        bases, v = jax.lax.cond(due, turn, keep, bases, v)
        return directions, SoapState(state.count + 1, m, v, grams, bases)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.soap_torch import SoapTorch

        blocks = {name: self.blocks(param) for name, param in run.params.items()}
        sides = {name: self.sides(param) for name, param in run.params.items()}
        rule = {"beta1": self.beta1, "beta2": self.beta2, "shampoo_beta": self.shampoo_beta, "eps": self.eps}
        interval, study = int(self.interval(run.steps, max)), self.variant == "levanter"
        groups = decay_groups(params, self.weight_decay, run)
        return SoapTorch(groups, self.peak_lr, blocks, sides, interval, study, **rule)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        total = 0
        for param in params.values():
            number, rows, columns = self.blocks(param)
            lengths = {"left": rows, "right": columns}
            total += 2 * param.size + sum(2 * number * lengths[side] ** 2 for side in self.sides(param))
        return total

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """Per side of length d: a Gram matrix and three rotations; at a refresh a product of d x d and a QR."""
        interval = self.interval(steps, max)
        total = 15.0 * floats(params)  # averages 3 + 4, sqrt + / 3, correction 1, decay 2, step 2
        for param in params.values():
            number, rows, columns = self.blocks(param)
            for side in self.sides(param):
                length = rows if side == "left" else columns
                total += 8.0 * param.size * length + 3.0 * number * length**2
                total += number * (2 + 8 / 3) * length**3 / interval
        return total
