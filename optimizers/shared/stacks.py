"""jax: the blocks of parameters alike in shape and treatment as one batch, and decompositions of a batch.

A model has many matrices of few shapes. One batched operation per shape instead of one per matrix makes
programs compile several times faster, and costs no time to run.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from optimizers.base import Param, Run
from optimizers.shared.blocks import cut, join


@dataclass(frozen=True)
class Stacks:
    """Which parameters form a batch together. A stack has the name of its first member."""

    params: Mapping[str, Param]
    members: Mapping[str, tuple[str, ...]]
    """Stack -> its parameters."""

    blocks: Mapping[str, tuple[int, int, int]]
    """Parameter -> (number, rows, columns) of its blocks."""

    @classmethod
    def of(
        cls,
        params: Mapping[str, Param],
        blocks: Callable[[Param], tuple[int, int, int]],
        kind: Callable[[Param], Hashable],
    ) -> "Stacks":
        """Parameters of equal shape and equal `kind` share a stack."""
        found: dict[Hashable, list[str]] = {}
        for name, param in params.items():
            found.setdefault((param.shape, kind(param)), []).append(name)
        members = {names[0]: tuple(names) for names in found.values()}
        return cls(params, members, {name: blocks(param) for name, param in params.items()})

    def count(self, stack: str) -> int:
        """Blocks in a stack."""
        return len(self.members[stack]) * self.blocks[stack][0]

    def stack(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays by parameter -> (blocks, rows, columns) by stack."""
        return {
            stack: jnp.concatenate([cut(arrays[name], self.blocks[name]) for name in names])
            for stack, names in self.members.items()
        }

    def unstack(self, stacks: Mapping[str, Any]) -> dict[str, Any]:
        """The inverse of `stack`."""
        arrays = {}
        for stack, names in self.members.items():
            parts = jnp.split(stacks[stack], len(names))
            arrays |= {
                name: join(part, self.params[name].shape) for name, part in zip(names, parts, strict=True)
            }
        return arrays

    def zeros(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Zeros by stack, in the dtype of `arrays`."""
        return {s: jnp.zeros((self.count(s), *self.blocks[s][1:]), arrays[s].dtype) for s in self.members}


def normals(run: Run, step: Any) -> dict[str, Any]:
    """Standard normal arrays by parameter, in the default float type: see Run.normal."""
    if run.normals is None:
        return {name: run.normal(name, step, param.shape) for name, param in run.params.items()}
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, param in run.params.items():
        alike.setdefault(param.shape, []).append(name)
    found = {}
    for shape, names in alike.items():
        found |= dict(zip(names, run.normals(tuple(names), step, shape), strict=True))
    return {name: found[name] for name in run.params}


def one_by_one(function: Callable[..., Any], *batches: Any) -> Any:
    """`function` of every matrix of a batch (leading axis), and one at a time on a CPU, under `vmap` as well.

    jaxlib's CPU kernels (seen in 0.10.2) cut a batch of decompositions or solves into tasks for the thread pool
    in which they run, and wait: two of them at once block every thread, and the program never ends. A single
    matrix is computed in place. `function` must take single matrices and batches alike.
    """
    single = jax.custom_batching.sequential_vmap(function)
    return jax.lax.platform_dependent(
        *batches, cpu=lambda *matrices: jax.lax.map(lambda pair: single(*pair), matrices), default=function
    )
