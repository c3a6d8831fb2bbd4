"""A training step's matrix products, alone: what a step would take if everything else were free."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmark.scales import Scale
from benchmark.train import model_jax, parameters


@dataclass(frozen=True)
class Product:
    """One dot_general: the shapes of its operands and which axes it contracts and batches."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    axes: Any

    @property
    def flops(self) -> float:
        (contracted, _), (batched, _) = self.axes
        shared = math.prod(self.left[i] for i in (*contracted, *batched))
        return 2.0 * math.prod(self.left) * math.prod(self.right) / shared


def of_step(scale: Scale) -> list[Product]:
    """Every matrix product of one forward and backward pass, read from the traced loss."""
    shapes = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in parameters.shapes(scale).items()}
    batch = jax.ShapeDtypeStruct((scale.batch_size, scale.seq_len + 1), jnp.int32)
    gradient = jax.grad(lambda values, tokens: model_jax.loss(values, tokens, scale))
    return list(_walk(jax.make_jaxpr(gradient)(shapes, batch).jaxpr))


def _walk(jaxpr: Any) -> Iterator[Product]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            left, right = (operand.aval.shape for operand in equation.invars)
            yield Product(left, right, equation.params["dimension_numbers"])
        for inner in equation.params.values():
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from _walk(inner)


def block(scale: Scale, steps: int) -> Callable[[], object]:
    """`steps` times every product of a step, on random operands, in one compiled loop as in training."""
    wanted = of_step(scale)
    rng = np.random.default_rng(0)
    operands = [
        tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in (p.left, p.right))
        for p in wanted
    ]

    @jax.jit
    def loop(operands: list[tuple[jax.Array, jax.Array]], count: int) -> list[jax.Array]:
        def once(i: jax.Array, _: list[jax.Array]) -> list[jax.Array]:
            # tied to i, or the compiler would take products of the same operands out of the loop
            tied, _ = jax.lax.optimization_barrier((operands, i))
            return [jax.lax.dot_general(x, y, p.axes) for (x, y), p in zip(tied, wanted, strict=True)]

        zeros = [jnp.zeros(s.shape) for s in jax.eval_shape(lambda: once(jnp.int32(0), []))]
        return jax.lax.fori_loop(0, count, once, zeros)

    return lambda: jax.block_until_ready(loop(operands, steps))


def square(size: int, count: int) -> Callable[[], object]:
    """`count` float32 products of square matrices, the usual measure of what a machine can do."""
    rng = np.random.default_rng(0)
    left, right = (jnp.asarray(rng.standard_normal((size, size)), jnp.float32) for _ in range(2))
    right = right / math.sqrt(size)  # repeated products neither grow nor vanish
    chain = jax.jit(lambda x, y: jax.lax.fori_loop(0, count, lambda _, z: z @ y, x))
    return lambda: jax.block_until_ready(chain(left, right))
