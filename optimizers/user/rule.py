"""The contestant that a short user file describes (see files.py): its builds, and its facts by measurement."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from optimizers.base import Optimizer, Param, Run
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups


@dataclass(frozen=True)
class UserRule(Optimizer):
    """function: jax_optimizer(learning_rate, ...) -> optax transformation; asked for by an argument of that
    name, `mask` says which parameters decay. torch_class: a torch.optim.Optimizer (params, lr, ...)."""

    file: ClassVar[str]
    function: ClassVar[Callable[..., Any] | None] = None
    torch_class: ClassVar[Any] = None

    def build_jax(self, run: Run) -> Any:
        import inspect

        import optax

        if self.function is None:
            raise ValueError(
                f"{self.file} has only a torch optimizer; run it with --backend torch, or add a function"
                " jax_optimizer(learning_rate, ...)"
            )
        arguments = self._arguments()
        if "mask" in inspect.signature(self.function).parameters:
            arguments["mask"] = {name: param.role in DECAYED_ROLES for name, param in run.params.items()}
        peak_lr = arguments.pop("peak_lr")
        rule = self.function(lambda count: peak_lr * run.multiplier(count), **arguments)
        return optax.with_extra_args_support(rule)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        if self.torch_class is None:
            raise ValueError(
                f"{self.file} has only a jax optimizer; run it with --backend jax, or add a subclass of"
                " torch.optim.Optimizer"
            )
        arguments = self._arguments()
        groups = decay_groups(params, arguments.get("weight_decay", 0.0), run)
        if "weight_decay" not in arguments:
            groups = [{"params": list(params.items())}]
        return self.torch_class(groups, lr=arguments.pop("peak_lr"), **arguments)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return _measured(self, tuple(params.values()))[0]

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """FLOPs of one update as the framework counts them; torch counts matrix products alone."""
        return _measured(self, tuple(params.values()))[1]

    def _arguments(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@functools.lru_cache(maxsize=64)
def _measured(rule: UserRule, params: tuple[Param, ...]) -> tuple[int, float]:
    """(floats of state, FLOPs of an update): from shapes alone in jax, from one step in torch."""
    named = {param.name: param for param in params}
    return _measured_jax(rule, named) if rule.function else _measured_torch(rule, named)


def _measured_jax(rule: UserRule, params: Mapping[str, Param]) -> tuple[int, float]:
    import jax
    import jax.numpy as jnp

    def normal(name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.key(0), shape)

    transformation = rule.build_jax(Run(params, 1000, lambda step: 1.0, normal))
    values = {name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in params.items()}
    state = jax.eval_shape(transformation.init, values)
    floats = sum(x.size for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating))
    cost = jax.jit(transformation.update).lower(values, state, values).cost_analysis() or {}
    return floats, float(cost.get("flops", 0.0))


def _measured_torch(rule: UserRule, params: Mapping[str, Param]) -> tuple[int, float]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    values = {name: torch.nn.Parameter(torch.ones(param.shape)) for name, param in params.items()}
    run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: torch.ones(shape))
    optimizer = rule.build_torch(values, run)
    for value in values.values():
        value.grad = torch.ones_like(value)
    with FlopCounterMode(display=False) as counter:
        optimizer.step()
    tensors = [x for state in optimizer.state.values() for x in state.values() if isinstance(x, torch.Tensor)]
    return sum(x.numel() for x in tensors if x.dim()), float(counter.get_total_flops())
