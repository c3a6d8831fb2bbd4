"""The loss that a jax step differentiates: of a deep model or a shallow one, of a batch or of its parts."""

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from benchmark.data import batches
from benchmark.scales import Scale
from benchmark.train import deep_jax, model_jax, parameters
from benchmark.train.parts_jax import mean_of_parts

Tree = Any


class Exchange(Protocol):
    """How devices that each hold a piece of every array share a step; `like` has the shapes of the result."""

    def gathered(self, pieces: Tree, like: Tree) -> Tree:
        """The arrays whole."""
        ...

    def scattered(self, wholes: Tree, like: Tree) -> Tree:
        """The device's pieces of the sum over devices, in at least float32."""
        ...


def loss(
    values: Tree,
    batch: jax.Array,
    scale: Scale,
    dtype: jnp.dtype,
    attention: model_jax.Attention = "plain",
    exchange: Exchange | None = None,
) -> jax.Array:
    """Mean loss of a batch, part by part where it is large; gradients add up in float32.

    exchange: of a deep model, where the values are a device's pieces and the batch is the device's part: the
    gradients are then its pieces of their sum over the devices.
    """
    rows = batches.rows_at_once(len(batch), scale.seq_len)
    if scale.deep:
        stacked = functools.partial(deep_jax.stacked, scale=scale, dtype=dtype)

        def prepare(values: Tree) -> Tree:
            return exchange.gathered(stacked(values), like=whole()) if exchange else stacked(values)

        def reduce(grads: Tree) -> Tree:
            return exchange.scattered(grads, like=jax.eval_shape(stacked, values)) if exchange else grads

        def whole() -> Tree:
            shapes = parameters.shapes(scale).items()
            return jax.eval_shape(stacked, {n: jax.ShapeDtypeStruct(s, values[n].dtype) for n, s in shapes})

        def stack_loss(stack: Tree, part: jax.Array) -> jax.Array:
            return deep_jax.loss(stack, part, scale, dtype, attention)

        parts = batch.reshape(-1, rows, batch.shape[1])
        return mean_of_parts(stack_loss, values, parts, prepare, deep_jax.unstacked, reduce)

    def part_loss(values: Tree, part: jax.Array) -> jax.Array:
        return model_jax.loss(cast(values, dtype), part, scale)

    if rows == len(batch):
        return part_loss(values, batch)
    return mean_of_parts(part_loss, values, batch.reshape(-1, rows, batch.shape[1]))


def cast(values: Tree, dtype: jnp.dtype) -> Tree:
    """The values for a shallow model's products in `dtype`."""
    return values if dtype == jnp.float32 else jax.tree.map(lambda x: x.astype(dtype), values)
