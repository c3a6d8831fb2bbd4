"""How torch optimizers want their parameters, and what they keep."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


def built(make: Callable[..., Any], named: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> Any:
    """An optimizer over groups of (name, tensor) pairs; of tensors where it takes no names; of one plain list
    where it takes no groups, all of which then decays alike. Raises the first error where none works."""
    bare = [{**group, "params": [p for _, p in group["params"]]} for group in named]
    flat = [p for group in bare for p in group["params"]]
    first: Exception | None = None
    for params in ([dict(group) for group in named], bare, flat):
        try:
            return make(params, **arguments)
        except (TypeError, AttributeError, ValueError) as error:
            first = first or error
    assert first is not None
    raise first


def state_tensors(rule: Any) -> list[torch.Tensor]:
    """Every tensor in an optimizer's state, however it is nested."""

    def walk(value: Any) -> list[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return [value]
        inner = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        )
        return [tensor for item in inner for tensor in walk(item)]

    return walk(rule.state_dict()["state"])
