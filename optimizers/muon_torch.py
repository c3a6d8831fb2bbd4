"""Muon in torch; the rule and its facts are in muon.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from optimizers.base import Run
from optimizers.shared.decoupled import decay_groups
from optimizers.shared.decoupled_torch import DecoupledTorch, adam_direction, by_shape, gradient
from optimizers.shared.matrix import newton_schulz, shape_factor

if TYPE_CHECKING:
    from optimizers.muon import Muon


class MuonTorch(DecoupledTorch):
    """Momentum and Newton-Schulz in the groups marked `hidden`, AdamW in the others."""

    def __init__(self, rule: "Muon", params: Mapping[str, Any], run: Run) -> None:
        self.ns_steps = rule.ns_steps
        groups = []
        for hidden in (True, False):
            members = {name: p for name, p in params.items() if (run.params[name].role == "hidden") == hidden}
            decayed = decay_groups(members, rule.weight_decay, run)
            groups += [group | {"hidden": hidden} for group in decayed]
        floats = rule.floats()
        used = {name: floats[name] for name in ("momentum", "ns_eps", "beta1", "beta2", "eps")}
        super().__init__(groups, rule.peak_lr, **used)

    def prepare(self) -> None:
        """Newton-Schulz of all hidden matrices of a shape at once."""
        averages = {}
        for name, p, group in self.named():
            if group["hidden"]:
                grad, momentum = gradient(name, p), self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.mul_(group["momentum"]).add_(grad)
                averages[name] = grad.add(momentum, alpha=group["momentum"])
        eps = self.param_groups[0]["ns_eps"]
        self.directions: dict[str, torch.Tensor] = {}
        for names in by_shape(averages):
            together = newton_schulz(torch.stack([averages[name] for name in names]), self.ns_steps, eps)
            together = together.mul_(shape_factor(tuple(together.shape[1:])))
            self.directions |= dict(zip(names, together, strict=True))

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        if not group["hidden"]:
            return adam_direction(self.state[p], grad, group)
        return self.directions.pop(name)  # not kept between steps
