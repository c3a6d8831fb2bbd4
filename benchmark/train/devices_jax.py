"""One trial on several devices, for trainer_jax.py: its batch is cut, and the optimizer's state where the
optimizer allows it, with the parameters of a deep model. No optimizer is named here, and none names a device.

- Loss and gradients: every device computes those of its own sequences by the code that one device would run,
  and they are averaged once a step. So a part of a batch has as many sequences on each device as on one.
- Where parameters are cut, their copies for products are put together once a step, and of each part's gradients
  a device keeps its piece: neither the parameters in float32 nor the sum of gradients is whole anywhere.
- Parameters that differ only in their layer are exchanged as one array: more layers are no more exchanges.
- A whole-matrix rule asks by `Run.spread` that each device computes whole matrices of a stack.

How a state is cut depends on the devices, its arrays do not: as wholes they are the same on any number of
devices, and so is a checkpoint.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from optimizers.base import Param

AXIS = "data"
WHOLE, CUT = PartitionSpec(), PartitionSpec(AXIS)

Tree = Any
Loss = Callable[..., jax.Array]
"""(parameters, sequences [B, T + 1]) -> their mean loss; of a deep model with the keyword `exchange`, see
loss_jax.py."""


@dataclass(frozen=True)
class Devices:
    """The devices of one trial, more than one of them."""

    mesh: Mesh

    @property
    def count(self) -> int:
        return self.mesh.devices.size

    def on_all(self, tree: Tree) -> Tree:
        """The arrays of a tree, whole on every device."""
        return jax.tree.map(lambda array: self._put(array, WHOLE), tree)

    def batches(self, chunk: np.ndarray) -> jax.Array:
        """Batches, [steps, B, T + 1], whole on every device; of several processes each has its part of them."""
        return self._put(chunk, WHOLE if jax.process_count() == 1 else PartitionSpec(None, AXIS))

    def _put(self, array: Any, spec: PartitionSpec) -> jax.Array:
        sharding = NamedSharding(self.mesh, spec)
        if sharding.is_fully_addressable:
            return jax.device_put(array, sharding)
        whole = np.asarray(array)  # each process has all of it, and puts it on its own devices
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def devices(count: int, batch: int, pack: int = 1) -> Devices | None:
    """The devices of a trial that is given `count` of them and has so many sequences in a batch: as many as can
    have equal parts of it; None for one.

    Raises ValueError where jax sees fewer, where trials would be batched as well (`pack`), and where one of
    several processes would be left without work.
    """
    if count == 1:
        return None
    there = jax.devices()
    if len(there) < count:
        raise ValueError(f"a trial is to have {count} devices, but jax sees {len(there)} here")
    if pack > 1:
        raise ValueError(f"a pack of {pack} trials trains on one device, not on {count}")
    used, processes = math.gcd(count, batch), jax.process_count()
    if used % processes:
        raise ValueError(f"a batch of {batch} sequences cannot be cut over {processes} nodes")
    mine = [[d for d in there if d.process_index == number] for number in range(processes)]
    chosen = [device for each in mine for device in each[: used // processes]]
    return Devices(Mesh(np.array(chosen), (AXIS,))) if used > 1 else None


class One:
    """One device: everything is where it has to be."""

    spread = None

    def loss(self, loss: Loss, batch: jax.Array) -> Callable[[Tree], jax.Array]:
        return lambda values: loss(values, batch)

    def value_and_grad(self, loss: Loss, batch: jax.Array) -> Callable[[Tree], tuple[jax.Array, Tree]]:
        return jax.value_and_grad(self.loss(loss, batch))

    def rows(self, function: Callable[[Tree, jax.Array], jax.Array]) -> Callable[[Tree, jax.Array], jax.Array]:
        return function

    def whole(self, tree: Tree) -> Tree:
        return tree

    updates = state = values = whole

    def placed(self, tree: Tree) -> Tree:
        """Parameters that are on no device yet, where `values` has them."""
        return jax.tree.map(jnp.asarray, tree)

    def norm(self, tree: Tree) -> jax.Array:
        """The L2 norm of all numbers together."""
        return optax.tree.norm(tree)


class Over(One):
    """Several devices. Everything here is called while a program is traced."""

    def __init__(self, devices: Devices, params: Mapping[str, Param], cut: bool, deep: bool) -> None:
        """cut: whether the optimizer's state may be. deep: whether the model is (see Scale); if both, its
        parameters are cut too."""
        self.devices, self.mesh, self.count = devices, devices.mesh, devices.count
        self.params, self.cut, self.cut_values = params, cut, cut and deep
        groups: dict[Any, list[str]] = {}
        for name, param in params.items():
            groups.setdefault((name.rsplit(".", 1)[-1], param.shape), []).append(name)
        self.groups = list(groups.values())

    def loss(self, loss: Loss, batch: jax.Array) -> Callable[[Tree], jax.Array]:
        """The mean loss of the batch; an optimizer may differentiate it as it likes."""

        def local(stacks: list[jax.Array], rows: jax.Array) -> jax.Array:
            return jax.lax.pmean(loss(self._unstacked(stacks), rows), AXIS)

        return lambda values: self._mapped(local, (WHOLE, CUT), WHOLE)(self._stacked(values), batch)

    def value_and_grad(self, loss: Loss, batch: jax.Array) -> Callable[[Tree], tuple[jax.Array, Tree]]:
        """The mean loss of the batch and its gradients, whole on every device or cut as the parameters."""
        if self.cut_values:
            return lambda values: self._in_pieces(loss)(values, batch)

        def local(values: Tree, rows: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
            value, grads = jax.value_and_grad(loss)(values, rows)
            return jax.lax.pmean((value, self._stacked(grads)), AXIS)

        def both(values: Tree) -> tuple[jax.Array, Tree]:
            value, stacks = self._mapped(local, (WHOLE, CUT), WHOLE)(values, batch)
            return value, self._unstacked(stacks)

        return both

    def _in_pieces(self, loss: Loss) -> Callable[[Tree, jax.Array], tuple[jax.Array, Tree]]:
        def local(values: Tree, rows: jax.Array) -> tuple[jax.Array, Tree]:
            value, grads = jax.value_and_grad(loss)(values, rows, exchange=self)
            return jax.lax.pmean(value, AXIS), jax.tree.map(lambda g: g / self.count, grads)

        pieces = {name: self._value(param) for name, param in self.params.items()}
        return self._mapped(local, (pieces, CUT), (WHOLE, pieces))

    def gathered(self, pieces: Tree, like: Tree) -> Tree:
        """Inside a mapped function: arrays whole, of the shapes of `like`, of which a device has pieces."""

        def one(piece: jax.Array, whole: Any) -> jax.Array:
            axis = _differs(piece, whole)
            return piece if axis is None else jax.lax.all_gather(piece, AXIS, axis=axis, tiled=True)

        return jax.tree.map(one, pieces, like)

    def scattered(self, wholes: Tree, like: Tree) -> Tree:
        """Inside a mapped function: the device's pieces of the sum over devices, of the shapes of `like`."""

        def one(whole: jax.Array, piece: Any) -> jax.Array:
            whole, axis = whole.astype(jnp.promote_types(whole.dtype, jnp.float32)), _differs(whole, piece)
            if axis is None:
                return jax.lax.psum(whole, AXIS)
            return jax.lax.psum_scatter(whole, AXIS, scatter_dimension=axis, tiled=True)

        return jax.tree.map(one, wholes, like)

    def rows(self, function: Callable[[Tree, jax.Array], jax.Array]) -> Callable[[Tree, jax.Array], jax.Array]:
        """A function of (values, rows) with a number for each row; rows that do not divide are filled up."""

        def rows(values: Tree, rows: jax.Array) -> jax.Array:
            numbers = self._mapped(function, (WHOLE, CUT), CUT)(self.whole(values), self._filled(rows))
            return self.whole(numbers)[: len(rows)]

        return rows

    def whole(self, tree: Tree) -> Tree:
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, WHOLE))

    def updates(self, tree: Tree) -> Tree:
        """Updates by parameter, where the parameters are, however the optimizer has left them."""
        if self.cut_values:
            return self.values(tree)
        stacks = [self._cut(x, first=1) for x in self._stacked(tree)]
        return self._unstacked(self.whole(stacks))

    def state(self, tree: Tree) -> Tree:
        """An optimizer's state, cut over the devices if it may be."""
        return jax.tree.map(self._cut, tree) if self.cut else self.whole(tree)

    def values(self, tree: Tree) -> Tree:
        """Parameters, or what is laid out like them: cut over the devices if they may be."""
        return jax.tree.map(self._cut, tree) if self.cut_values else self.whole(tree)

    def placed(self, tree: Tree) -> Tree:
        return {name: self.devices._put(x, self._value(x)) for name, x in tree.items()}

    def norm(self, tree: Tree) -> jax.Array:
        if not self.cut_values:
            return super().norm(tree)
        # one exchange, where it would be one for each array
        specs = {name: self._value(x) for name, x in tree.items()}

        def norm(pieces: Tree) -> jax.Array:
            whole = {name: x for name, x in pieces.items() if specs[name] == WHOLE}
            cut = {name: x for name, x in pieces.items() if name not in whole}
            squares = [optax.tree.norm(x, squared=True) for x in (cut, whole)]
            return jnp.sqrt(jax.lax.psum(squares[0] + squares[1] / self.count, AXIS))

        return self._mapped(norm, (specs,), WHOLE)(tree)

    def spread(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """See Run.spread. What is exchanged is said here: left to XLA, it is each matrix by itself."""

        def spread(fresh: Tree, *others: Tree) -> tuple[Tree, Tree]:
            arguments, structure = jax.tree.flatten((fresh, *others))
            new = len(jax.tree.leaves(fresh))  # these lie anyhow, a state lies where `state` has put it
            given = [
                (x, self._axis(x.shape, 1) if i < new else self._place(x)) for i, x in enumerate(arguments)
            ]
            shapes = jax.eval_shape(function, fresh, *others)

            def local(*parts: jax.Array) -> tuple[Tree, Tree]:
                owned = [self._owned(part, x, axis) for part, (x, axis) in zip(parts, given, strict=True)]
                step, state = function(*jax.tree.unflatten(structure, owned))
                step = jax.tree.map(lambda x, true: self._gathered(x, true), step, shapes[0])
                return step, jax.tree.map(lambda x, true: self._returned(x, true), state, shapes[1])

            in_specs = tuple(self._spec(axis) for _, axis in given)
            out_specs = (WHOLE, jax.tree.map(lambda x: self._spec(self._place(x)), shapes[1]))
            return self._mapped(local, in_specs, out_specs)(*arguments)

        return spread

    def _owned(self, part: jax.Array, whole: Any, axis: int | None) -> jax.Array:
        """A device's own matrices of a stack that is cut along `axis`; zeros where there are too few."""
        if not whole.ndim or axis == 0:
            return part
        part = self._filled(part)
        if axis:
            return jax.lax.all_to_all(part, AXIS, 0, axis, tiled=True)
        size = len(part) // self.count
        return jax.lax.dynamic_slice_in_dim(part, jax.lax.axis_index(AXIS) * size, size)

    def _returned(self, owned: jax.Array, whole: Any) -> jax.Array:
        """The part of a state's stack that the device keeps."""
        axis = self._place(whole)
        if not whole.ndim or axis == 0:
            return owned
        if axis:
            return jax.lax.all_to_all(owned, AXIS, axis, 0, tiled=True)[: whole.shape[0]]
        return self._gathered(owned, whole)

    def _gathered(self, owned: jax.Array, whole: Any) -> jax.Array:
        return jax.lax.all_gather(owned, AXIS, tiled=True)[: whole.shape[0]]

    def _mapped(self, function: Callable, in_specs: Tree, out_specs: Tree) -> Callable:
        # unchecked, because the loops of the model's code do not say which of their sums differ by device
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    def _cut(self, array: jax.Array, first: int = 0) -> jax.Array:
        return jax.lax.with_sharding_constraint(array, self.sharding(array.shape, first))

    def sharding(self, shape: tuple[int, ...], first: int = 0) -> NamedSharding:
        return NamedSharding(self.mesh, self._spec(self._axis(shape, first)))

    def _axis(self, shape: tuple[int, ...], first: int) -> int | None:
        """Where an array is cut: its first axis from `first` on that the devices divide; vectors, being small,
        are whole on every device."""
        axes = range(first, len(shape)) if len(shape) - first > 1 else ()
        return next((a for a in axes if shape[a] and shape[a] % self.count == 0), None)

    def _value(self, array: Any) -> PartitionSpec:
        """Where a parameter is cut."""
        return self._spec(self._axis(array.shape, 0) if self.cut_values else None)

    def _place(self, array: Any) -> int | None:
        """Where an array of the state is cut."""
        return self._axis(array.shape, 0) if self.cut else None

    def _spec(self, axis: int | None) -> PartitionSpec:
        return WHOLE if axis is None else PartitionSpec(*[None] * axis, AXIS)

    def _filled(self, rows: jax.Array) -> jax.Array:
        """Rows with zeros at their end, so that the devices divide them."""
        missing = -len(rows) % self.count
        return jnp.pad(rows, [(0, missing), *[(0, 0)] * (rows.ndim - 1)]) if missing else rows

    def _stacked(self, arrays: Mapping[str, jax.Array]) -> list[jax.Array]:
        """Arrays by parameter -> one [members, ...] for each group."""
        return [jnp.stack([arrays[name] for name in names]) for names in self.groups]

    def _unstacked(self, stacks: list[jax.Array]) -> dict[str, jax.Array]:
        """The inverse of `_stacked`."""
        pairs = zip(self.groups, stacks, strict=True)
        return {name: stack[i] for names, stack in pairs for i, name in enumerate(names)}


def _differs(one: Any, other: Any) -> int | None:
    """The first axis along which two shapes differ."""
    return next((a for a, (n, m) in enumerate(zip(one.shape, other.shape, strict=True)) if n != m), None)


def laid_over(devices: Devices | None, params: Mapping[str, Param], cut: bool, deep: bool) -> One:
    """See Over."""
    return Over(devices, params, cut, deep) if devices else One()
