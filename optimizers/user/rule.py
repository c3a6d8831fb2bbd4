"""The contestant that a short file or an installed optimizer makes (see files.py): its builds and its costs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from optimizers.base import Optimizer, Param, Run
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups


@dataclass(frozen=True)
class UserRule(Optimizer):
    """function: jax, (learning_rate, ...) -> optax transformation; it may take `mask` (name -> does it decay)
    and `roles` (name -> role). torch_class: (params, lr, ...) -> torch.optim.Optimizer.
    choices, pairs: how hyperparameters become arguments (see axes.py).
    groups: torch, (params, roles) -> parameter groups. averaged: jax, (state, params) -> params to evaluate.
    closure: torch, whether `step` is given one though it does not ask for it.
    """

    file: ClassVar[str]
    function: ClassVar[Callable[..., Any] | None] = None
    torch_class: ClassVar[Callable[..., Any] | None] = None
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    pairs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    groups: ClassVar[Callable[..., Any] | None] = None
    averaged: ClassVar[Callable[..., Any] | None] = None
    closure: ClassVar[bool] = False

    def build_jax(self, run: Run) -> Any:
        from optimizers.user.convention_jax import scheduled, with_known_keywords

        if self.function is None:
            raise ValueError(
                f"{self.file} has only a torch optimizer; run it with --backend torch, or add a function"
                " jax_optimizer(learning_rate, ...)"
            )
        accepted = inspect.signature(self.function).parameters
        arguments = self._arguments()
        if "mask" in accepted:
            arguments["mask"] = {name: param.role in DECAYED_ROLES for name, param in run.params.items()}
        if "roles" in accepted:
            arguments["roles"] = {name: param.role for name, param in run.params.items()}
        peak_lr, rate = arguments.pop("peak_lr"), _rate(accepted)
        try:
            rule = self.function(**{**arguments, rate: lambda count: peak_lr * run.multiplier(count)})
        except TypeError:  # it takes a number and no schedule: its steps are scaled instead
            rule = scheduled(self.function(**{**arguments, rate: peak_lr}), run.multiplier)
        return with_known_keywords(rule)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        from optimizers.user.convention_torch import built

        if self.torch_class is None:
            raise ValueError(
                f"{self.file} has only a jax optimizer; run it with --backend jax, or add a subclass of"
                " torch.optim.Optimizer"
            )
        arguments = self._arguments()
        arguments[_rate(inspect.signature(self.torch_class).parameters)] = arguments.pop("peak_lr")
        if self.groups is not None:
            return self._marked(self.torch_class(self.groups(dict(params), dict(run.params)), **arguments))
        decayed = "weight_decay" in arguments
        named = (
            decay_groups(params, arguments["weight_decay"], run) if decayed else [{"params": [*params.items()]}]
        )
        return self._marked(built(self.torch_class, named, arguments))

    def _marked(self, rule: Any) -> Any:
        """The rule, which says of itself whether whoever steps it owes it a closure."""
        rule.takes_closure = self.takes_closure
        return rule

    def eval_params(self, state: Any, params: Any) -> Any:
        from optimizers.user.convention_jax import schedule_free_params

        return self.averaged(state, params) if self.averaged else schedule_free_params(state, params)

    @property
    def takes_closure(self) -> bool:
        """torch: whether `step` needs a function that evaluates the loss and its gradient again."""
        step = getattr(self.torch_class, "step", None)
        argument = inspect.signature(step).parameters.get("closure") if step else None
        return self.closure or (argument is not None and argument.default is argument.empty)

    def state_floats(self, params: Mapping[str, Param]) -> int:
        return self._measured(params).state_floats

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """FLOPs of one update as the framework counts them; torch counts matrix products alone."""
        return self._measured(params).flops

    def extra_gradients(self, params: Mapping[str, Param]) -> float:
        cost = self._measured(params)
        return cost.gradients + cost.losses / 3

    def _measured(self, params: Mapping[str, Param]) -> Any:
        from optimizers.user.cost import measured

        return measured(self, tuple(params.values()))

    def _arguments(self) -> dict[str, Any]:
        """The arguments of the constructor by name, the rate still called peak_lr."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, by_label in self.choices.items():
            values[name] = by_label[values[name]]
        for argument, names in self.pairs.items():
            values[argument] = tuple(values.pop(name) for name in names)
        return values


def _rate(accepted: Mapping[str, Any]) -> str:
    """What a constructor calls its rate."""
    return "learning_rate" if "learning_rate" in accepted else "lr"
