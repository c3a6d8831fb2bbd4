"""Blocks and stacks lose nothing, and a decomposition never sees a batch on a CPU."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optimizers.base import describe
from optimizers.shared.blocks import block_side, cut, join
from optimizers.shared.stacks import Stacks, one_by_one
from optimizers.soap import Soap, eigenbasis, orthogonal


@pytest.mark.parametrize(
    ("axis", "size", "side"), [(512, 256, 256), (768, 512, 384), (32, 0, 32), (10, 16, 10)]
)
def test_blocks_divide_their_axis(axis: int, size: int, side: int) -> None:
    assert block_side(axis, size) == side


def test_join_undoes_cut_and_blocks_are_contiguous() -> None:
    matrix = np.arange(24.0).reshape(4, 6)
    blocks = cut(matrix, (4, 2, 3))
    np.testing.assert_array_equal(blocks[1], matrix[:2, 3:])
    np.testing.assert_array_equal(blocks[2], matrix[2:, :3])
    np.testing.assert_array_equal(join(blocks, (4, 6)), matrix)
    vector = np.arange(6.0)
    np.testing.assert_array_equal(join(cut(vector, (2, 1, 3)), (6,)), vector)


def test_stacks_hold_every_parameter_once() -> None:
    shapes = {"embed": (12, 8), "a.q": (8, 8), "a.up": (16, 8), "b.q": (8, 8), "norm": (8,), "head": (12, 8)}
    params, rule = describe(shapes, heads=1), Soap(block_size=4)
    stacks = Stacks.of(params, rule.blocks, rule.sides)
    assert sorted(name for names in stacks.members.values() for name in names) == sorted(params)
    assert stacks.members["a.q"] == ("a.q", "b.q") and stacks.count("a.q") == 8
    arrays = {name: jnp.asarray(np.random.default_rng(0).standard_normal(s)) for name, s in shapes.items()}
    for name, array in stacks.unstack(stacks.stack(arrays)).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_one_by_one_is_the_batched_function_and_never_a_batch() -> None:
    """A batch inside jaxlib's CPU kernels waits for the threads they run on; see one_by_one."""
    normal = np.random.default_rng(0).standard_normal((3, 5, 4, 4))
    packs = jnp.asarray(normal @ np.swapaxes(normal, -1, -2), jnp.float32)
    for function in (orthogonal, eigenbasis):
        packed = jax.jit(jax.vmap(lambda x, f=function: one_by_one(f, x)))
        np.testing.assert_allclose(packed(packs), function(packs), atol=1e-5)
        calls = re.findall(r"custom_call @lapack\w+\(.*", packed.lower(packs).as_text())
        assert calls and not any(re.search(r"tensor<(\d+x)+4x4xf32>", call) for call in calls)
