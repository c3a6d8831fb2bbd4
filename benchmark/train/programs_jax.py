"""The compiled programs of a pack: its optimizer's state, steps of training, and losses of sequences.

One compiled loop takes any number of steps up to CHUNK, its trip count traced. No optimizer is named here.
"""

import functools
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark.scales import Scale
from benchmark.train import (
    deep_jax,
    devices_jax,
    loss_jax,
    model_jax,
    parameters,
    processes_jax,
)
from benchmark.train.devices_jax import Devices
from benchmark.train.schedule import CHUNK, multiplier
from optimizers.base import ROLE_RATIOS, Optimizer, Param, Run

Tree = Any


class Programs:
    """The compiled programs of one (optimizer statics, scale, precision, pack size).

    Compiled ahead of time from the first arguments, so that compilation is timed apart and any later call
    with other shapes or types is an error instead of a silent recompilation. `compilations` counts them.
    """

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._compiled: dict[tuple, Any] = {}
        self.compile_seconds = 0.0
        self.compilations = 0

    def prepare(self, name: str, *args: Tree) -> Any:
        """The program for arguments of these shapes, compiled if it is new."""
        key = (name, *(np.shape(leaf) for leaf in jax.tree.leaves(args[1:])))
        if key not in self._compiled:
            start = time.perf_counter()
            self._compiled[key] = self._functions[name].lower(*args).compile()
            self.compile_seconds += time.perf_counter() - start
            self.compilations += 1
            processes_jax.meet()
        return self._compiled[key]

    def call(self, name: str, *args: Tree) -> Any:
        return self.prepare(name, *args)(*args)


@functools.cache
def programs(
    blank: Optimizer,
    scale: Scale,
    precision: str,
    size: int,
    attention: model_jax.Attention = "plain",
    devices: Devices | None = None,
) -> Programs:
    """Programs for an optimizer whose float hyperparameters are blank: they arrive traced, in `settings`."""
    params = parameters.roles(scale)
    dtype = jnp.dtype(precision)
    over = devices_jax.laid_over(devices, params, blank.shards_state, scale.deep)

    def build(setting: Tree) -> tuple[Optimizer, optax.GradientTransformationExtraArgs]:
        optimizer = blank.replace(**setting["hyperparameters"])
        run = Run(
            params=params,
            steps=setting["steps"],
            multiplier=lambda step: multiplier(jnp, step, setting["steps"], **setting["schedule"]),
            normal=functools.partial(normal, setting["key"]),
            normals=functools.partial(normals, setting["key"]) if scale.deep else None,
            clip_norm=setting["clip_norm"],
            ratios=_ratios(params, setting["ratios"]),
            spread=over.spread,
        )
        return optimizer, optax.with_extra_args_support(optimizer.build_jax(run))

    def init(values: Tree, setting: Tree) -> Tree:
        return over.state(build(setting)[1].init(values))

    def advance(carry: Tree, setting: Tree, tokens: jax.Array, order: jax.Array, count: jax.Array) -> Tree:
        offsets = jnp.arange(scale.seq_len + 1)
        return run(carry, setting, lambda i: tokens[order[i][:, None] * scale.seq_len + offsets], count)

    def advance_chunk(carry: Tree, setting: Tree, chunk: jax.Array, begin: jax.Array, count: jax.Array) -> Tree:
        return run(carry, setting, lambda i: chunk[begin + i], count)

    def run(carry: Tree, setting: Tree, batch_of: Callable[[jax.Array], jax.Array], count: jax.Array) -> Tree:
        optimizer, rule = build(setting)

        def step(i: jax.Array, state: Tree) -> Tree:
            values, rule_state, losses = state
            batch = batch_of(i).astype(jnp.int32)
            loss_of = functools.partial(loss_jax.loss, scale=scale, dtype=dtype)
            loss_fn = over.loss(loss_of, batch)
            trained = functools.partial(loss_of, attention=attention)  # cuDNN's has no second derivative
            loss, grads = over.value_and_grad(trained, batch)(values)
            grads = _clip(grads, params, optimizer.clip_roles, setting["clip_norm"], over.norm)
            updates, rule_state = rule.update(grads, rule_state, values, loss_fn=loss_fn, value=loss)
            ratios = {} if optimizer.own_ratios else _ratios(params, setting["ratios"])
            updates = over.updates(_scaled(updates, ratios))
            values = over.values(optax.apply_updates(values, updates))
            return values, over.state(rule_state), losses.at[i].set(loss)

        losses = jnp.zeros(CHUNK, jnp.float32)
        values, rule_state, losses = jax.lax.fori_loop(0, count, step, (*carry, losses))
        return (values, rule_state), over.whole(losses)  # whoever reads them may have a part of the devices

    def average(averages: Tree, values: Tree, rule_state: Tree, setting: Tree, shares: Tree) -> Tree:
        sample = build(setting)[0].eval_params(rule_state, values)

        def toward(share: jax.Array) -> Callable[[jax.Array, jax.Array], jax.Array]:
            return lambda kept, new: kept + share * (new - kept)

        return {name: jax.tree.map(toward(share), averages[name], sample) for name, share in shares.items()}

    def evaluate(values: Tree, rule_state: Tree, setting: Tree, sequences: jax.Array) -> jax.Array:
        return measure(build(setting)[0].eval_params(rule_state, values), sequences)

    def measure(values: Tree, sequences: jax.Array) -> jax.Array:
        def losses(values: Tree, rows: jax.Array) -> jax.Array:
            def one(sequence: jax.Array) -> jax.Array:
                if scale.deep:
                    return deep_jax.token_losses(values, sequence[None], scale, dtype, attention).mean()
                return model_jax.token_losses(values, sequence[None], scale).mean()

            # about 2048 tokens at a time: small enough for the cache here and for the logits at any scale
            return jax.lax.map(one, rows, batch_size=max(1, 2048 // scale.seq_len))

        values = over.whole(values)
        values = deep_jax.stacked(values, scale, dtype) if scale.deep else loss_jax.cast(values, dtype)
        return over.rows(losses)(values, sequences)

    functions: dict[str, Callable] = {
        "init": init,
        "advance": advance,
        "advance_chunk": advance_chunk,
        "average": average,
        "evaluate": evaluate,
        "measure": measure,
    }
    if size > 1:
        functions = _packed(functions)
    donated = {"advance": 0, "advance_chunk": 0, "average": 0}
    return Programs({k: jax.jit(f, donate_argnums=donated.get(k, ())) for k, f in functions.items()})


def _packed(functions: Mapping[str, Callable]) -> dict[str, Callable]:
    """The functions over a pack: integer leaves stay unbatched, so that a rule's `cond` stays a branch."""

    def floating(tree: Tree) -> Tree:
        return jax.tree.map(lambda x: 0 if jnp.issubdtype(x.dtype, jnp.floating) else None, tree)

    def setting_axes(setting: Tree) -> Tree:
        return {**floating(setting), "key": 0}

    def init(values: Tree, setting: Tree) -> Tree:
        axes = (0, setting_axes(setting))
        one = jax.eval_shape(jax.vmap(functions["init"], in_axes=axes), values, setting)
        return jax.vmap(functions["init"], in_axes=axes, out_axes=floating(one))(values, setting)

    def advance(carry: Tree, setting: Tree, tokens: jax.Array, order: jax.Array, count: jax.Array) -> Tree:
        axes = floating(carry)
        in_axes = (axes, setting_axes(setting), None, 0, None)
        return jax.vmap(functions["advance"], in_axes=in_axes, out_axes=(axes, 0))(
            carry, setting, tokens, order, count
        )

    def advance_chunk(carry: Tree, setting: Tree, chunk: jax.Array, begin: jax.Array, count: jax.Array) -> Tree:
        axes = floating(carry)
        in_axes = (axes, setting_axes(setting), 0, None, None)
        return jax.vmap(functions["advance_chunk"], in_axes=in_axes, out_axes=(axes, 0))(
            carry, setting, chunk, begin, count
        )

    def evaluate(values: Tree, rule_state: Tree, setting: Tree, sequences: jax.Array) -> jax.Array:
        in_axes = (0, floating(rule_state), setting_axes(setting), None)
        return jax.vmap(functions["evaluate"], in_axes=in_axes)(values, rule_state, setting, sequences)

    def average(averages: Tree, values: Tree, rule_state: Tree, setting: Tree, shares: Tree) -> Tree:
        in_axes = (0, 0, floating(rule_state), setting_axes(setting), None)
        return jax.vmap(functions["average"], in_axes=in_axes)(averages, values, rule_state, setting, shares)

    return {
        "init": init,
        "advance": advance,
        "advance_chunk": advance_chunk,
        "average": average,
        "evaluate": evaluate,
        "measure": jax.vmap(functions["measure"], in_axes=(0, None)),
    }


def normal(key: jax.Array, name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
    """The only randomness an optimizer has: a pure function of (seed, name, step)."""
    return _normal(key, zlib.crc32(name.encode()), step, shape)


def normals(key: jax.Array, names: Sequence[str], step: Any, shape: tuple[int, ...]) -> jax.Array:
    """`normal` of several names, [names, *shape], in a loop. XLA takes hours to see how the generators of the
    hundreds of arrays of a deep model could be merged."""
    codes = jnp.asarray([zlib.crc32(name.encode()) for name in names], jnp.uint32)
    return jax.lax.map(lambda code: _normal(key, code, step, shape), codes)


def _normal(key: jax.Array, code: Any, step: Any, shape: tuple[int, ...]) -> jax.Array:
    named = jax.random.fold_in(jax.random.wrap_key_data(key), code)
    return jax.random.normal(jax.random.fold_in(named, step), shape)


def _clip(
    grads: Tree,
    params: Mapping[str, Param],
    roles: Sequence[str],
    clip_norm: jax.Array,
    norm_of: Callable[[Tree], jax.Array] = optax.tree.norm,
) -> Tree:
    """Scale the gradients of these roles so that their joint L2 norm is at most clip_norm (0: leave them)."""
    clipped = {name: g for name, g in grads.items() if params[name].role in roles}
    if not clipped:
        return grads
    norm = norm_of(clipped)
    factor = jnp.where((clip_norm > 0) & (norm > clip_norm), clip_norm / norm, 1.0)
    return {**grads, **{name: g * factor for name, g in clipped.items()}}


def _ratios(params: Mapping[str, Param], ratios: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Parameter -> factor on its whole step; hidden matrices have none."""
    return {name: ratios[ratio] for name, p in params.items() if (ratio := ROLE_RATIOS.get(p.role))}


def _scaled(updates: Tree, ratios: Mapping[str, jax.Array]) -> Tree:
    """The updates times their ratios; after the rule, because a rule may fix the norm of its step whatever the
    gradient."""
    return {name: ratios[name] * u if name in ratios else u for name, u in updates.items()}
