"""Adam-mini: AdamW with one second moment per block instead of one per coordinate.

`reference` follows the authors' code 1.1.1: queries and keys have a block per head, every other matrix one per
row (an output neuron, or a token of embedding and head), a norm is one block. `levanter`, the published study's
rule, gives norms full Adam and clips the gradients of norms only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optimizers.base import ROLES, Axis, Info, Optimizer, Param, Role, Run, static
from optimizers.shared.decoupled import decay_groups, decayed_step, floats
from optimizers.shared.spaces import ADAM_ESSENTIAL, beta, decay, epsilon, micro_adam, rate


@dataclass(frozen=True)
class AdamMini(Optimizer):
    """v averages the mean of g² over a block; else AdamW (arXiv 2406.16793)."""

    peak_lr: float = 0.032
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-10
    variant: str = static("reference")

    info: ClassVar[Info] = Info(
        title="Adam-mini",
        paper="Adam-mini: Use Fewer Learning Rates To Gain More",
        url="https://arxiv.org/abs/2406.16793",
        family="scalar",
        summary=(
            "AdamW with one step size per attention head or output row, where the Hessian has its blocks."
            " Made to halve the optimizer's memory, not to be faster."
        ),
        essential=ADAM_ESSENTIAL,
        variants=("reference", "levanter"),
    )
    shards_state: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Mapping[str, Axis]]] = {
        "micro": micro_adam(0.008),
        "paper": {
            "peak_lr": rate((0.004, 0.008, 0.016, 0.032), 0.008),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.98),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }

    def build_jax(self, run: Run) -> optax.GradientTransformationExtraArgs:
        rule = scale_by_block_adam(self._blocks(run.params), self.beta1, self.beta2, self.eps)
        return decayed_step(rule, self.peak_lr, self.weight_decay, run)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.adam_mini_torch import AdamMiniTorch

        groups = decay_groups(params, self.weight_decay, run)
        adam = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return AdamMiniTorch(groups, self.peak_lr, self._blocks(run.params), **adam)

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        return ROLES if self.variant == "reference" else ("norm",)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return floats(params) + sum(self._blocks(params).values())  # m, and v per block

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        # per float: average 3, square 1, mean 1, correction 1, / 1, decay 2, step 2; per block: v 3, root 3
        return 11.0 * floats(params) + 6.0 * sum(self._blocks(params).values())

    def _blocks(self, params: Mapping[str, Param]) -> dict[str, int]:
        """Blocks per parameter: equal runs of its coordinates in row-major order."""

        def count(param: Param) -> int:
            if param.role == "norm":
                return 1 if self.variant == "reference" else param.size
            return param.heads if param.part in ("q", "k") else param.shape[0]

        return {name: count(param) for name, param in params.items()}


class BlockAdamState(NamedTuple):
    step: jax.Array
    m: dict[str, jax.Array]
    v: dict[str, jax.Array]  # (blocks, 1)


def scale_by_block_adam(
    blocks: Mapping[str, int], beta1: Any, beta2: Any, eps: Any
) -> optax.GradientTransformation:
    """Adam's direction with v per block."""

    def init(params: Any) -> BlockAdamState:
        m = jax.tree.map(jnp.zeros_like, params)
        v = {name: jnp.zeros((blocks[name], 1), p.dtype) for name, p in params.items()}
        return BlockAdamState(jnp.zeros([], jnp.int32), m, v)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, BlockAdamState]:
        step = state.step + 1
        m, v, u = {}, {}, {}
        for name, g in updates.items():
            block_mean = jnp.square(g).reshape(blocks[name], -1).mean(axis=1, keepdims=True)
            m[name] = beta1 * state.m[name] + (1 - beta1) * g
            v[name] = beta2 * state.v[name] + (1 - beta2) * block_mean
            m_hat = (m[name] / (1 - beta1**step)).reshape(blocks[name], -1)
            v_hat = v[name] / (1 - beta2**step)
            u[name] = (m_hat / (jnp.sqrt(v_hat) + eps)).reshape(g.shape)
        return u, BlockAdamState(step, m, v)

    return optax.GradientTransformation(init, update)
