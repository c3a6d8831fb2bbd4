"""What the matrix optimizers share: Newton-Schulz, blocks, and the Adam step of their other parameters.

Written with the operators that jax and torch arrays have in common, so it imports neither.
"""

from collections.abc import Mapping
from typing import Any

from optimizers.base import Param, Role

# Keller Jordan's quintic: steepest slope at 0 among those that keep singular values near 1.
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(matrix: Any, steps: int, eps: Any) -> Any:
    """Approximate U V^T of `matrix` = U S V^T, over the last two axes, in the dtype of `matrix`.

    Divides by the Frobenius norm + `eps`, then iterates X <- aX + (bA + cA^2)X with A = XX^T. The singular
    values end in about [0.7, 1.2], not at 1 (https://kellerjordan.github.io/posts/muon/).
    """
    a, b, c = NS_COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / ((x * x).sum(axis=(-2, -1), keepdims=True) ** 0.5 + eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


def shape_factor(shape: tuple[int, ...]) -> float:
    """sqrt(max(1, out / in)): a tall matrix then moves each output as far as a square one does."""
    return max(1.0, shape[0] / shape[1]) ** 0.5


def newton_schulz_flops(shape: tuple[int, ...], steps: int) -> float:
    """FLOPs of `newton_schulz` on one matrix, a multiply-add counted as two."""
    small, large = sorted(shape)
    return steps * (4.0 * small**2 * large + 2.0 * small**3)


def adam_step(m: Any, v: Any, grad: Any, t: Any, beta1: Any, beta2: Any, eps: Any) -> tuple[Any, Any, Any]:
    """One bias-corrected Adam step at t = 1, 2, ...: (direction, new m, new v)."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    direction = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
    return direction, m, v


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


def by_role(params: Mapping[str, Param], *roles: Role) -> tuple[str, ...]:
    """Names of the parameters with one of these roles, in the model's order."""
    return tuple(name for name, p in params.items() if p.role in roles)
