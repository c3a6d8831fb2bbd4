"""The contestant that a short file or an installed optimizer makes (see files.py): its builds and its costs."""

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from optimizers.base import Optimizer, Param, Run
from optimizers.shared.decoupled import DECAYED_ROLES, decay_groups
from optimizers.user.axes import LIMITS, RATES, UNIT_RATE


@dataclass(frozen=True)
class UserRule(Optimizer):
    """function: jax, (learning_rate, ...) -> optax transformation; it may take `mask` (name -> does it decay)
    and `roles` (name -> role). torch_class: (params, lr, ...) -> torch.optim.Optimizer.
    choices, pairs: how hyperparameters become arguments (see axes.py).
    groups: torch, (params, roles) -> parameter groups. averaged: jax, (state, params) -> params to evaluate.
    closure: torch, whether `step` is given one though it does not ask for it.
    generic: whether the axes are those of its signature, not its author's.
    """

    file: ClassVar[str]
    function: ClassVar[Callable[..., Any] | None] = None
    torch_class: ClassVar[Callable[..., Any] | None] = None
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    pairs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    groups: ClassVar[Callable[..., Any] | None] = None
    averaged: ClassVar[Callable[..., Any] | None] = None
    closure: ClassVar[bool] = False
    generic: ClassVar[bool] = False

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
        peak_lr, rate = arguments.pop("peak_lr"), rate_of(accepted)
        if rate in LIMITS:
            return with_known_keywords(scheduled(self.function(**{**arguments, rate: peak_lr}), run.multiplier))
        try:
            rule = self.function(**{**arguments, rate: lambda count: peak_lr * run.multiplier(count)})
        except TypeError:  # it takes a number and no schedule: its steps are scaled instead
            rule = scheduled(self.function(**{**arguments, rate: peak_lr}), run.multiplier)
        return with_known_keywords(rule)

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        if self.torch_class is None:
            raise ValueError(
                f"{self.file} has only a jax optimizer; run it with --backend jax, or add a subclass of"
                " torch.optim.Optimizer"
            )
        return self._torch(params, run, self.manners())

    def manners(self) -> Any:
        """torch: how the class wants to be treated, found once (convention_torch.Manners)."""
        cls = type(self)
        if "found_manners" not in vars(cls):
            from optimizers.user.convention_torch import Manners, manners

            choices = [Manners(*flags) for flags in itertools.product((False, True), repeat=3)]
            choices = [c for c in choices if not (c.matrices_only and self.groups)]
            setattr(cls, "found_manners", manners(cls()._torch, choices))  # noqa: B010
        return vars(cls)["found_manners"]

    def _torch(self, params: Mapping[str, Any], run: Run, manner: Any) -> Any:
        """The class's optimizer, which says of itself what whoever steps it owes it."""
        from optimizers.user.convention_torch import adamw_beside, built, set_mode, takes, with_rate

        assert self.torch_class is not None
        arguments = self._arguments()
        accepted = inspect.signature(self.torch_class).parameters
        if "roles" in accepted:
            arguments["roles"] = {name: param.role for name, param in run.params.items()}
        rate = arguments.pop("peak_lr")
        if called := rate_of(accepted):
            arguments[called] = rate
        if self.groups is not None:
            rule = self.torch_class(self.groups(dict(params), dict(run.params)), **arguments)
        elif manner.matrices_only:
            hidden = {name: p for name, p in params.items() if run.params[name].role == "hidden"}
            rest = {name: p for name, p in params.items() if name not in hidden}
            rule = built(self.torch_class, self._groups(hidden, run), arguments)
            rule = adamw_beside(rule, self._groups(rest, run), rate)
        else:
            rule = built(self.torch_class, self._groups(params, run), arguments)
        rule, closure, loss = with_rate(rule), takes(rule, "closure"), takes(rule, "loss")
        needs = closure is not None and closure.default is closure.empty
        rule.takes_closure = self.closure or needs or manner.closure
        rule.takes_loss = loss is not None
        rule.needs_graph = manner.graph
        set_mode(rule, "train")
        return rule

    def _groups(self, params: Mapping[str, Any], run: Run) -> list[dict[str, Any]]:
        """Groups of (name, tensor) pairs, by decay where there is one to tune."""
        decay = self._arguments().get("weight_decay")
        return [{"params": [*params.items()]}] if decay is None else decay_groups(params, decay, run)

    def eval_params(self, state: Any, params: Any) -> Any:
        from optimizers.user.convention_jax import schedule_free_params

        return self.averaged(state, params) if self.averaged else schedule_free_params(state, params)

    def averages(self) -> bool:
        """Whether it is evaluated at another point than it trains at, which takes the place of a schedule."""
        if self.torch_class is not None:
            return self.manners().averages
        from optimizers.user.convention_jax import is_schedule_free

        return is_schedule_free(self)

    def terms(self) -> list[str]:
        """On what terms the rule takes part, where they are not everybody's; a sentence each."""
        said = []
        if self.recipe_fixed:
            said.append("The recipe's schedule is off: the rule runs at its full rate from first to last step.")
        if self.generic and float(self.space["micro"]["peak_lr"].start) >= UNIT_RATE:
            said.append("Its rate is a factor near 1 on a step that the rule finds itself.")
        if self.torch_class is not None:
            manner = self.manners()
            if manner.averages:
                said.append("It is evaluated in its evaluation mode.")
            if manner.matrices_only:
                said.append("It refuses vectors: it has the hidden matrices, AdamW at the same rate the rest.")
            if manner.graph:
                said.append("It differentiates the gradient, which is charged.")
        return said

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

        return measured(self, tuple(params.values()), in_jax=self.function is not None)

    def _arguments(self) -> dict[str, Any]:
        """The arguments of the constructor by name, the rate still called peak_lr."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, by_label in self.choices.items():
            values[name] = by_label[values[name]]
        for argument, names in self.pairs.items():
            values[argument] = tuple(values.pop(name) for name in names)
        return values


def rate_of(accepted: Mapping[str, Any]) -> str:
    """What a constructor calls its rate; empty where it names none and takes only what it names."""
    found = next((name for name in (*RATES, *LIMITS) if name in accepted), "")
    any_name = any(a.kind is a.VAR_KEYWORD for a in accepted.values())
    return found or ("lr" if any_name else "")
