"""The loss that a jax step differentiates: of a deep model or a shallow one, of a batch or of its parts."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmark.data import batches
from benchmark.scales import Scale
from benchmark.train import deep_jax, model_jax
from benchmark.train.parts_jax import mean_of_parts

Tree = Any


def loss(
    values: Tree, batch: jax.Array, scale: Scale, dtype: jnp.dtype, attention: model_jax.Attention = "plain"
) -> jax.Array:
    """Mean loss of a batch, part by part where it is large; gradients add up in float32."""
    rows = batches.rows_at_once(len(batch), scale.seq_len)
    if scale.deep:

        def prepare(values: Tree) -> Tree:
            return deep_jax.stacked(values, scale, dtype)

        def stack_loss(stack: Tree, part: jax.Array) -> jax.Array:
            return deep_jax.loss(stack, part, scale, dtype, attention)

        parts = batch.reshape(-1, rows, batch.shape[1])
        return mean_of_parts(stack_loss, values, parts, prepare, deep_jax.unstacked)

    def part_loss(values: Tree, part: jax.Array) -> jax.Array:
        return model_jax.loss(cast(values, dtype), part, scale)

    if rows == len(batch):
        return part_loss(values, batch)
    return mean_of_parts(part_loss, values, batch.reshape(-1, rows, batch.shape[1]))


def cast(values: Tree, dtype: jnp.dtype) -> Tree:
    """The values for a shallow model's products in `dtype`."""
    return values if dtype == jnp.float32 else jax.tree.map(lambda x: x.astype(dtype), values)
