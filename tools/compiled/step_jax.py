"""The trainer's own program of a chunk of steps, compiled from shapes alone, and the FLOPs of its gradient."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding

from benchmark.scales import Scale
from benchmark.train import devices_jax, loss_jax, parameters, programs_jax, trainer_jax
from benchmark.train.devices_jax import Devices
from benchmark.train.model_jax import Attention
from optimizers.base import ROLE_RATIOS, Optimizer
from tools.compiled import h100_jax

SCHEDULE = ("warmup_fraction", "decay_fraction", "final_lr_ratio", "decay_kind")
GIB = 2**30
Tree = Any


def compiled(
    optimizer: Optimizer, scale: Scale, batch: int, precision: str, attention: Attention, count: int = 1
) -> Any:
    """The program that trains a chunk of steps on one H100, or on `count` of a node; nothing is run."""
    chips = h100_jax.devices(count)
    blank = optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
    several = Devices(Mesh(np.array(chips), (devices_jax.AXIS,))) if count > 1 else None
    over = devices_jax.laid_over(several, parameters.roles(scale), blank.shards_state, scale.deep)
    whole = NamedSharding(several.mesh, devices_jax.WHOLE) if several else SingleDeviceSharding(chips[0])

    def there(tree: Tree, cut: bool = False) -> Tree:
        def one(x: Any) -> jax.ShapeDtypeStruct:
            place = over.sharding(x.shape) if cut and isinstance(over, devices_jax.Over) else whole
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

        return jax.tree.map(one, tree)

    alone = programs_jax.programs(blank, scale, precision, 1, attention)._functions
    functions = programs_jax.programs(blank, scale, precision, 1, attention, several)._functions
    values, setting = shapes(scale), _setting(optimizer)
    state = there(jax.eval_shape(alone["init"], values, setting), cut=blank.shards_state)
    stream = jax.ShapeDtypeStruct((10**6,), jnp.uint32)
    order = jax.ShapeDtypeStruct((trainer_jax.CHUNK, batch), jnp.int32)
    values = there(values, cut=blank.shards_state and scale.deep)
    arguments = ((values, state), *there((setting, stream, order, np.int32(1))))
    return functions["advance"].trace(*arguments).lower(lowering_platforms=("cuda",)).compile()


def shapes(scale: Scale) -> dict[str, jax.ShapeDtypeStruct]:
    """The parameters without their values."""
    return {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in parameters.shapes(scale).items()}


def _setting(optimizer: Optimizer) -> Tree:
    one = np.float32(1)
    return {
        "hyperparameters": {name: np.float32(value) for name, value in optimizer.floats().items()},
        "schedule": dict.fromkeys(SCHEDULE, one),
        "ratios": dict.fromkeys(sorted(set(ROLE_RATIOS.values())), one),
        "clip_norm": one,
        "steps": np.int32(1000),
        "key": np.asarray(jax.random.key_data(jax.random.key(0))),
    }


def memory(program: Any) -> dict[str, float]:
    """GiB: arguments (mostly parameters and optimizer state), temporaries, and both with undonated results."""
    plan = program.memory_analysis()
    arguments, temporaries = plan.argument_size_in_bytes, plan.temp_size_in_bytes
    peak = arguments + temporaries + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return {"arguments": arguments / GIB, "temporaries": temporaries / GIB, "peak": peak / GIB}


def gradient_flops(scale: Scale, batch: int, precision: str, attention: Attention) -> float:
    """FLOPs of the matrix products of one batch's loss and gradient, recomputed ones too. Attention counts
    whole score matrices, as `parameters.flops_per_token` does, although cuDNN skips what the mask hides."""
    tokens = jax.ShapeDtypeStruct((batch, scale.seq_len + 1), jnp.int32)
    dtype = jnp.dtype(precision)

    def loss(values: Mapping[str, jax.Array], tokens: jax.Array) -> jax.Array:
        return loss_jax.loss(values, tokens, scale, dtype, attention)

    return flops(jax.value_and_grad(loss), shapes(scale), tokens)


def flops(function: Callable, *arguments: Tree) -> float:
    """FLOPs of a function's matrix products, by its trace; a scan's body counts each time, a while's once."""
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _flops(jaxpr: core.Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            total += _product(equation)
        elif name.startswith("dot_product_attention_"):
            total += _attention(equation)
        else:
            inner = [_flops(program) for program in core.jaxprs_in_params(equation.params)]
            times = equation.params["length"] if name == "scan" else 1
            total += times * (max(inner, default=0.0) if name == "cond" else sum(inner))
    return total


def _product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)


def _attention(equation: Any) -> float:
    """Scores and their mix in the forward pass; in the backward pass the scores anew and four derivatives."""
    B, T, H, K = equation.invars[0].aval.shape
    products = 2 if "_fwd" in equation.primitive.name else 5
    return 2.0 * products * B * H * T * T * K
