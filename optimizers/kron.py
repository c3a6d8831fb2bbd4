"""Kron: preconditioned SGD with Kronecker factors fitted on a Lie group (PSGD).

Li 2015 (arXiv 1512.04202), Pooladzandi and Li 2024 (arXiv 2402.11858), in the form of
https://github.com/evanatyourservice/kron_torch.

With M the bias-corrected average of G (`beta1`), and QL, QR upper triangular, at first I:
    U = QL^T QL M QR^T QR, scaled down to a root mean square of at most 1.1
A fit, with V standard normal, N = M + 3.5e-4 mean|M| V, A = QL N QR^T and B = QL^-T V QR^-1:
    QL <- QL - preconditioner_lr triu(A A^T - B B^T) QL / |A A^T + B B^T|;  QR with A^T A, B^T B
where |.| is a lower bound of the spectral norm. The step at index t fits first if 1 / p steps have passed
since the last fit, with p = exp(-5.12 (t / steps - flat_start_fraction)) within [min_update_probability, 1].
Every 100 fits QL and QR are first scaled to the same largest entry. The vocabulary axis of embedding and
head, and norms, have a diagonal Q. Axes longer than `block_size` are cut into equal blocks; 0 cuts none.

The published study (arXiv 2509.02046) sets `normalize_grads` = 1: every gradient is divided by its norm, and
nothing is clipped. Two things of its code are not reproduced: it takes that norm, and the bound of 1.1, over
all layers of a kind together, because it keeps them in one array; and it pads blocks with zeros, which acts
only at widths that `block_size` does not divide. The reference decides at random when to fit and when to
scale; here, as in the published study's code, both follow from counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.blocks import block_shape, gram
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, micro_decay, micro_momentum, micro_rate, rate
from optimizers.shared.stacks import Stacks, normals, one_by_one
from optimizers.shared.whole import spread

ANNEAL = 5.12  # the reference's 0.001 per step, at the 5120 steps of the published study's 130M at 1x
DAMPING = 2.0**-11.5  # square root of float32's rounding unit
MAX_RMS = 1.1
BALANCE_EVERY = 100  # fits
TINY = 1e-30  # a normal float32, so that it is not flushed to zero
NORM_EPS = 1e-16

Factors = dict[str, Any]  # side -> (blocks, d, d) triangular or (blocks, d) diagonal


class KronState(NamedTuple):
    """count: steps taken. waited: steps since the last fit. fits: fits so far. m: average gradient and
    factors: QL ("left") and QR ("right"), by stack (see shared/stacks.py)."""

    count: Any
    waited: Any
    fits: Any
    m: dict[str, Any]
    factors: dict[str, Factors]


def start(shape: tuple[int, ...], dtype: Any) -> Any:
    """I in every block; ones where it is diagonal."""
    return (
        jnp.ones(shape, dtype) if len(shape) == 2 else jnp.broadcast_to(jnp.eye(shape[-1], dtype=dtype), shape)
    )


def forward(factors: Factors, x: Any) -> Any:
    """QL x QR^T."""
    for side, q in factors.items():
        if q.ndim == 2:
            x = x * (q[:, :, None] if side == "left" else q[:, None, :])
        else:
            x = q @ x if side == "left" else x @ q.mT
    return x


def precondition(factors: Factors, x: Any) -> Any:
    """QL^T QL x QR^T QR."""
    transposed = {side: q if q.ndim == 2 else q.mT for side, q in factors.items()}
    return forward(transposed, forward(factors, x))


def inverse(factors: Factors, x: Any) -> Any:
    """QL^-T x QR^-1."""
    for side, q in factors.items():
        left = side == "left"
        if q.ndim == 2:
            x = x / (q[:, :, None] if left else q[:, None, :])
        else:
            x = one_by_one(partial(jax.lax.linalg.triangular_solve, left_side=left, transpose_a=left), q, x)
    return x


def norm_bound(a: Any) -> Any:
    """Lower bound of the spectral norm of symmetric (blocks, d, d): two products with its largest column."""
    scale = jnp.abs(a).max((-2, -1), keepdims=True) + TINY
    a = a / scale
    largest = (a * a).sum(-2).argmax(-1)
    column = a @ jnp.take_along_axis(a, largest[:, None, None], axis=-1)
    column = column / (jnp.linalg.norm(column, axis=(-2, -1), keepdims=True) + TINY)
    return scale * jnp.linalg.norm(a @ column, axis=(-2, -1), keepdims=True)


def fit(factors: Factors, average: Any, noise: Any, rate: Any) -> Factors:
    """One step of the factors towards whitening `average`; everything in blocks."""
    damped = average + DAMPING * jnp.abs(average).mean((-2, -1), keepdims=True) * noise
    a, b, fitted = forward(factors, damped), inverse(factors, noise), {}
    for side, q in factors.items():
        if q.ndim == 2:
            axis = -1 if side == "left" else -2
            ours, theirs = (a * a).sum(axis), (b * b).sum(axis)
            bound = (ours + theirs).max(-1, keepdims=True)
            fitted[side] = q - rate * (ours - theirs) / (bound + TINY) * q
        else:
            ours, theirs = gram(a, side), gram(b, side)
            fitted[side] = q - rate * jnp.triu(ours - theirs) / (norm_bound(ours + theirs) + TINY) @ q
    return fitted


def balance(factors: Factors) -> Factors:
    """The same product with factors whose largest entries are equal."""
    sizes = {side: jnp.abs(q).max(tuple(range(1, q.ndim)), keepdims=True) for side, q in factors.items()}
    log_mean = sum(jnp.log(size).reshape(-1) for size in sizes.values()) / len(sizes)
    return {
        side: q * (jnp.exp(log_mean).reshape(sizes[side].shape) / sizes[side]) for side, q in factors.items()
    }


@dataclass(frozen=True)
class Kron(Optimizer):
    """What decides when to fit is static: of a traced condition a pack of runs computes both sides, and so
    a fit in every step."""

    peak_lr: float = 0.008
    weight_decay: float = 0.7
    beta1: float = 0.95
    preconditioner_lr: float = 0.2
    min_update_probability: float = static(0.05)
    flat_start_fraction: float = static(0.4)
    normalize_grads: int = static(1)
    block_size: int = static(0)

    info: ClassVar[Info] = Info(
        title="Kron",
        paper="Curvature-Informed SGD via General Purpose Lie-Group Preconditioners",
        url="https://arxiv.org/abs/2402.11858",
        family="matrix",
        summary="Fits two triangular factors per matrix, step by step, so that the preconditioned gradient is"
        " white; no inverse or eigendecomposition is needed. Wants a small rate and a large decay.",
        essential=ADAM_ESSENTIAL,
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": {
            "peak_lr": micro_rate(0.002),
            "weight_decay": micro_decay(0.7),
            "beta1": micro_momentum(0.95),
            "preconditioner_lr": rate((0.05, 0.1, 0.2, 0.4, 0.8), 0.2),
            "min_update_probability": Axis((0.05, 0.1), 0.05),
            "flat_start_fraction": Axis((0.1, 0.2, 0.4), 0.4),
            "normalize_grads": Axis((0, 1), 1),
        },
        "paper": {
            "peak_lr": rate((0.0005, 0.001, 0.002, 0.004, 0.008), 0.002),
            "weight_decay": decay((0.0, 0.5, 0.7, 0.9), 0.5),
            "beta1": beta((0.9, 0.95, 0.98), 0.95),
            "preconditioner_lr": rate((0.1, 0.2), 0.2),
            "min_update_probability": Axis((0.05, 0.1), 0.05),
            "flat_start_fraction": Axis((0.1, 0.2, 0.4), 0.4),
            "normalize_grads": Axis((0, 1), 1),
            "block_size": Axis((128, 256, 512), 256),
        },
    }

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return () if self.normalize_grads else ROLES

    def blocks(self, param: Param) -> tuple[int, int, int]:
        """(number, rows, columns) of the blocks of a parameter; a norm is one row."""
        return block_shape(param, self.block_size)

    def factor_shapes(self, param: Param) -> dict[str, tuple[int, ...]]:
        """Side -> shape of its factor: (blocks, d, d) triangular or (blocks, d) diagonal."""
        number, rows, columns = self.blocks(param)
        if param.role == "norm":
            return {"right": (number, columns)}
        left = (number, rows, rows) if param.role == "hidden" else (number, rows)
        return {"left": left, "right": (number, columns, columns)}

    def due(self, step: Any, steps: Any, waited: Any, xp: ModuleType) -> Any:
        """Whether the step at index `step` of `steps` fits; `waited` counts it and those since the last fit.

        xp: numpy or jax.numpy. The margin makes 20 steps enough for a probability of 0.05 despite rounding.
        """
        annealed = xp.exp(-ANNEAL * (step / steps - self.flat_start_fraction))
        return waited * xp.maximum(annealed, self.min_update_probability) >= 1 - 1e-6

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        stacks = Stacks.of(run.params, self.blocks, lambda param: tuple(self.factor_shapes(param).items()))

        def init(params: Any) -> KronState:
            count, waited, fits = (jnp.zeros((), jnp.int32) for _ in range(3))
            factors = {
                stack: {
                    side: start((stacks.count(stack), *shape[1:]), params[stack].dtype)
                    for side, shape in self.factor_shapes(run.params[stack]).items()
                }
                for stack in stacks.members
            }
            return KronState(count, waited, fits, stacks.zeros(params), factors)

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, KronState]:
            grads, count, waited = updates, state.count, state.waited + 1
            if self.normalize_grads:
                grads = {name: g / (jnp.linalg.norm(g) + NORM_EPS) for name, g in grads.items()}
            due = self.due(count, run.steps, waited, jnp)

            def draw() -> dict[str, Any]:
                noise = stacks.stack(normals(run, count))
                return {s: noise[s].astype(m.dtype) for s, m in state.m.items()}

            noise = jax.lax.cond(due, draw, lambda: stacks.zeros(params))
            with jax.default_matmul_precision("highest"):
                stacked, new_state = spread(self._step, run)((stacks.stack(grads), noise), state, due)
            directions = stacks.unstack(stacked)
            for name, u in directions.items():
                directions[name] = u / jnp.maximum(1.0, jnp.sqrt((u * u).mean()) / MAX_RMS)
            return directions, new_state

        rule = optax.GradientTransformation(init, update)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def _step(
        self, given: tuple[dict[str, Any], dict[str, Any]], state: KronState, due: Any
    ) -> tuple[dict[str, Any], KronState]:
        """Preconditioned averages and the next state, by stack. given: gradients, and noise for a fit."""
        grads, noise = given
        m = {s: self.beta1 * state.m[s] + (1 - self.beta1) * g for s, g in grads.items()}
        average = {s: x / (1 - self.beta1 ** (state.count + 1)) for s, x in m.items()}

        def refit(factors: dict[str, Factors]) -> dict[str, Factors]:
            uneven = (state.fits > 0) & (state.fits % BALANCE_EVERY == 0)
            factors = jax.lax.cond(uneven, lambda f: {s: balance(q) for s, q in f.items()}, dict, factors)
            return {s: fit(q, average[s], noise[s], self.preconditioner_lr) for s, q in factors.items()}

        waited = state.waited + 1
        factors = jax.lax.cond(due, refit, dict, state.factors)
        directions = {s: precondition(factors[s], x) for s, x in average.items()}
        fits = state.fits + due.astype(jnp.int32)
        return directions, KronState(state.count + 1, jnp.where(due, 0, waited), fits, m, factors)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.kron_torch import KronTorch

        blocks = {name: self.blocks(param) for name, param in run.params.items()}
        shapes = {name: self.factor_shapes(param) for name, param in run.params.items()}

        def due(step: int, waited: int) -> bool:
            return bool(self.due(step, run.steps, waited, np))

        return KronTorch(
            decay_groups(params, self.weight_decay, run),
            self.peak_lr,
            blocks,
            shapes,
            due,
            run.normal,
            balance_every=BALANCE_EVERY,
            norm_eps=NORM_EPS if self.normalize_grads else None,
            beta1=self.beta1,
            preconditioner_lr=self.preconditioner_lr,
            damping=DAMPING,
            max_rms=MAX_RMS,
            tiny=TINY,
        )

    def state_floats(self, params: Mapping[str, Param]) -> int:
        factors = (shape for p in params.values() for shape in self.factor_shapes(p).values())
        return floats(params) + sum(math.prod(shape) for shape in factors)

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """Per triangular factor of side d: two products every step; a fit adds one, a solve, two Gram matrices
        and the product with the triangle. Diagonal factors are not counted."""
        fits, waited = 0, 0
        for step in range(steps):
            waited += 1
            if self.due(step, steps, waited, np):
                fits, waited = fits + 1, 0
        total = 11.0 * floats(params)  # average 3, correction 1, bound 3, decay 2, step 2
        for param in params.values():
            for shape in self.factor_shapes(param).values():
                if len(shape) == 3:
                    number, side, _ = shape
                    total += 4.0 * param.size * side
                    total += (7.0 * param.size * side + 2.0 * number * side**3) * fits / steps
        return total
