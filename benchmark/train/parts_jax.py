"""The loss of a large batch, part by part. For trainer_jax.py; its twin is parts_torch.py.

A sum over parts keeps every part's activations for its backward pass, or computes them all again. Here each
part's gradient is taken along with its loss and added up, so that one part is alive at a time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Tree = Any


def mean_of_parts(
    loss: Callable[[Tree, jax.Array], jax.Array],
    values: Tree,
    parts: jax.Array,
    prepare: Callable[[Tree], Tree] = lambda values: values,
    restore: Callable[[Tree, Tree], Tree] = lambda grads, values: grads,
    reduce: Callable[[Tree], Tree] = lambda grads: grads,
) -> jax.Array:
    """Mean over the leading axis of `parts` of `loss(prepare(values), part)`, a scalar that can be
    differentiated as often as `loss`.

    prepare: what is done to the values once for all parts; it may lay them out anew and cast them, no more.
    restore: (gradients by prepare(values), values) -> gradients by the values, laid out like them.
    reduce: what is done to each part's gradients before they are added up: where several devices share a batch,
        one may keep a piece of their sum. `restore` is given such pieces.
    Gradients are added up in at least float32, and are not rounded to what `prepare` cast to.
    """

    @jax.custom_jvp
    def mean(values: Tree, parts: jax.Array) -> jax.Array:
        prepared = prepare(values)
        return jax.lax.map(lambda part: loss(prepared, part), parts).mean()

    @mean.defjvp
    def _(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
        values, parts = primals
        prepared = prepare(values)

        def add(so_far: Any, part: jax.Array) -> tuple[Any, jax.Array]:
            one, grads = jax.value_and_grad(loss)(prepared, part)
            return jax.tree.map(lambda a, b: a + b, so_far, reduce(grads)), one

        pieces = jax.eval_shape(reduce, prepared)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)), pieces)
        sums, losses = jax.lax.scan(add, zeros, parts)
        grads = restore(sums, values)
        along = jax.tree.map(lambda g, t: jnp.sum(g * t) / len(parts), grads, tangents[0])
        return losses.mean(), jax.tree.reduce(jnp.add, along)

    return mean(values, parts)
