"""What the torch trainer asks of an optimizer's rule, in one line where it does not hold."""

from collections.abc import Mapping

import torch

Values = Mapping[str, torch.Tensor]


def require_every_parameter_once(rule: torch.optim.Optimizer, values: Values) -> None:
    """Raise ValueError unless every parameter is in exactly one of the optimizer's groups."""
    members = [id(p) for group in rule.param_groups for p in group["params"]]
    for name, value in values.items():
        if (count := members.count(id(value))) != 1:
            raise ValueError(
                f"{type(rule).__name__}: parameter {name!r} is in {count} of its groups; put it in exactly one"
            )


def require_types(rule: torch.optim.Optimizer, values: Values) -> None:
    """Raise ValueError where an optimizer has given a parameter another type: the model is float32."""
    for name, value in values.items():
        if value.dtype != torch.float32:
            raise ValueError(f"{type(rule).__name__}: changes {name!r} to {value.dtype}; the model is float32")
