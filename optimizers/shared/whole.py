"""jax: rules that need whole matrices, on one device or on several (see Run.spread).

A stack of matrices alike is computed with each device having whole ones of its own: so a product or a
decomposition of one matrix needs no other device, and stacks, not matrices, are exchanged.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from optimizers.base import Param, Run


def spread(function: Callable[..., tuple[Any, Any]], run: Run) -> Callable[..., tuple[Any, Any]]:
    """`function` over the devices that there are.

    It takes trees of stacks, whose leading axis counts matrices that are computed apart from one another, and
    of numbers, which are the same for all; first a tree of the stacks that were put together for it, then the
    state and whatever else. It returns a pair: stacks of what becomes the step, which every
    device is given whole, and the next state, which stays where it is. A stack may be filled up with zeros,
    whose results are thrown away.
    """
    return run.spread(function) if run.spread else function


def each(function: Callable[[Param, Any], Any], matrices: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """name -> function(its Param, its matrix), which has the matrix's shape and depends on nothing of Param but
    its shape and role. On several devices the function is given stacks of matrices, [..., rows, columns]."""
    if run.spread is None:
        return {name: function(run.params[name], matrix) for name, matrix in matrices.items()}
    alike: dict[Any, list[str]] = {}
    for name in matrices:
        alike.setdefault((run.params[name].shape, run.params[name].role), []).append(name)
    found = {}
    for names in alike.values():
        param, stack = run.params[names[0]], jnp.stack([matrices[name] for name in names])
        moved, _ = spread(lambda stack, param=param: (function(param, stack), ()), run)(stack)
        found |= {name: moved[i] for i, name in enumerate(names)}
    return {name: found[name] for name in matrices}
