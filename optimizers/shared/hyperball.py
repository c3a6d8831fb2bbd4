"""Hyperball: hidden matrices that stay on the sphere they start on, each step an angle (arXiv 2606.16899).

    W <- R N(W - lr R N(u)),   N(x) = x / |x|,   R = |W_0|,   |x| the Frobenius norm
of any rule's direction u. A step is as long as `lr` says relative to the matrix, whatever the size of u, and
decay has nothing to act on. R is part of the state: where a run is taken up W_0 is gone, and left to itself the
norm of W would drift with rounding.

Written with the operators that jax and torch arrays have in common; torch's step is in hyperball_torch.py.
"""

from collections.abc import Mapping
from typing import Any

from optimizers.base import Param

FLOOR = 1e-30  # of a norm that is divided by: a matrix of zeros has no direction, and stays


def norm(x: Any) -> Any:
    """|x| over the last two axes, [..., 1, 1]."""
    return (x * x).sum(axis=(-2, -1), keepdims=True) ** 0.5


def unit(x: Any) -> Any:
    """N(x), zero for x = 0."""
    return x / norm(x).clip(FLOOR)


def stepped(value: Any, direction: Any, radius: Any, lr: Any) -> Any:
    """The next W. At a rate of 0 it is W but for rounding: a rule that must not move then has to ask."""
    return radius * unit(value - lr * radius * unit(direction))


def radii(params: Mapping[str, Param]) -> int:
    """Floats of state: one for each hidden matrix."""
    return sum(param.role == "hidden" for param in params.values())


def flops(params: Mapping[str, Param]) -> float:
    """Beyond the direction u: two norms 4, two divisions 2, the rate 1, the difference 1, the radius 1."""
    return sum(9.0 * param.size for param in params.values() if param.role == "hidden")
