"""Scion in torch; the rule and its facts are in scion.py."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from optimizers.base import Param
from optimizers.shared.decoupled_torch import DecoupledTorch, by_shape, gradient


class Rule(Protocol):
    """What scion.py says of each parameter, for both frameworks."""

    def averaging(self, param: Param) -> Any: ...
    def radius(self, param: Param) -> Any: ...
    def unit_step(self, m: Any, param: Param, sign: Any) -> Any: ...


class ScionTorch(DecoupledTorch):
    """Steps of fixed norm; groups with and without decay. described: name -> Param."""

    def __init__(self, params: Any, lr: float, rule: Rule, described: Mapping[str, Param]) -> None:
        self.rule, self.described = rule, described
        self.steps: dict[str, torch.Tensor] = {}
        super().__init__(params, lr)

    def prepare(self) -> None:
        """Averages, and the steps of all hidden matrices of a shape at once."""
        hidden, self.steps = {}, {}
        for name, p, _ in self.named():
            param = self.described[name]
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            m.lerp_(gradient(name, p), 1 - self.rule.averaging(param))
            if param.role == "hidden":
                hidden[name] = m
            else:
                self.steps[name] = self.rule.unit_step(m, param, torch.sign)
        for names in by_shape(hidden):
            together = torch.stack([hidden[name] for name in names])
            together = self.rule.unit_step(together, self.described[names[0]], torch.sign)
            self.steps |= dict(zip(names, together, strict=True))

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        return self.rule.radius(self.described[name]) * self.steps.pop(name)  # not kept between steps
