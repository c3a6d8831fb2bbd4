"""Scion in torch; the rule and its facts are in scion.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from optimizers.base import Run
from optimizers.shared.decoupled import decay_groups
from optimizers.shared.decoupled_torch import DecoupledTorch, by_shape, gradient

if TYPE_CHECKING:
    from optimizers.scion import Scion


class ScionTorch(DecoupledTorch):
    """Steps of fixed norm; groups with and without decay."""

    def __init__(self, rule: "Scion", params: Mapping[str, Any], run: Run) -> None:
        self.rule, self.params = rule, run.params
        super().__init__(decay_groups(params, rule.weight_decay, run), rule.peak_lr)

    def prepare(self) -> None:
        """Averages, and the steps of all hidden matrices of a shape at once."""
        hidden, self.steps = {}, {}
        for name, p, _ in self.named():
            param = self.params[name]
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            m.lerp_(gradient(name, p), 1 - self.rule.averaging(param))
            if param.role == "hidden":
                hidden[name] = m
            else:
                self.steps[name] = self.rule.unit_step(m, param, torch.sign)
        for names in by_shape(hidden):
            together = torch.stack([hidden[name] for name in names])
            together = self.rule.unit_step(together, self.params[names[0]], torch.sign)
            self.steps |= dict(zip(names, together, strict=True))

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        return self.rule.radius(self.params[name]) * self.steps.pop(name)  # not kept between steps
