"""Blocks of a matrix: their shape, cutting and joining, and the products of each that Shampoo's family uses.

Written with the operators that jax and torch arrays have in common, so it imports neither.
"""

from collections.abc import Mapping
from typing import Any

from optimizers.base import Param


def block_side(axis: int, block_size: int) -> int:
    """Side of the equal blocks an axis is cut into: its largest divisor <= `block_size`; 0 = no blocks.

    Equal blocks need no padding, and at widths that are multiples of `block_size` they are the same blocks.
    """
    if block_size <= 0 or axis <= block_size:
        return axis
    return next(side for side in range(block_size, 0, -1) if axis % side == 0)


def block_shape(param: Param, block_size: int) -> tuple[int, int, int]:
    """(number, rows, columns) of a parameter's blocks. A vocabulary axis is never cut; a vector is one row."""
    rows, columns = param.shape if len(param.shape) == 2 else (1, param.shape[0])
    height = block_side(rows, block_size) if param.role == "hidden" else rows
    width = block_side(columns, block_size)
    return (rows // height) * (columns // width), height, width


def cut(array: Any, blocks: tuple[int, int, int]) -> Any:
    """A matrix, or a vector as one row, -> (number, rows, columns), row of blocks by row; `join` undoes it."""
    _, rows, columns = blocks
    m, n = array.shape if array.ndim == 2 else (1, array.shape[0])
    if (m, n) == (rows, columns):
        return array.reshape(1, m, n)
    return array.reshape(m // rows, rows, n // columns, columns).swapaxes(1, 2).reshape(blocks)


def join(blocks: Any, shape: tuple[int, ...]) -> Any:
    """(number, rows, columns) -> array of `shape`."""
    _, rows, columns = blocks.shape
    m, n = shape if len(shape) == 2 else (1, shape[0])
    return blocks.reshape(m // rows, n // columns, rows, columns).swapaxes(1, 2).reshape(shape)


def gram(grad: Any, side: str) -> Any:
    """G G^T (left) or G^T G (right) of every block."""
    return grad @ grad.mT if side == "left" else grad.mT @ grad


def rotate(x: Any, bases: Mapping[str, Any]) -> Any:
    """Into a basis, QL^T x QR; a side without one stays as it is."""
    x = bases["left"].mT @ x if "left" in bases else x
    return x @ bases["right"] if "right" in bases else x


def rotate_back(x: Any, bases: Mapping[str, Any]) -> Any:
    """Out of a basis: QL x QR^T."""
    x = bases["left"] @ x if "left" in bases else x
    return x @ bases["right"].mT if "right" in bases else x
