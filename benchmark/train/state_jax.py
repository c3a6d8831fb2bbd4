"""A run's state in jax as whole arrays on the host and back, for checkpoint.py, on any number of devices."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

Tree = Any


def to_host(tree: Tree) -> list[np.ndarray]:
    """Every leaf as a whole array of its own: what the device does with its copy afterwards does not matter.

    Where several processes share a leaf, all of them must call this.
    """
    return [_whole(leaf) for leaf in jax.tree.leaves(tree)]


def to_device(arrays: Sequence[np.ndarray], like: Tree) -> Tree:
    """The arrays in the structure of `like`, each cut over the devices as the leaf that it replaces."""
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [_placed(a, x) for a, x in zip(arrays, leaves, strict=True)])


def _whole(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.array(leaf)  # copied: on a CPU an array of jax's is a view of memory that it gives away


def _placed(array: np.ndarray, leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or not leaf.committed:  # it lies where jax likes
        return jnp.asarray(array)
    return jax.make_array_from_callback(array.shape, leaf.sharding, lambda index: array[index])
