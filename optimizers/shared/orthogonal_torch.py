"""orthogonal.py as a torch optimizer to subclass."""

from collections.abc import Mapping
from typing import Any

import torch

from optimizers.base import Run
from optimizers.shared.decoupled import decay_groups
from optimizers.shared.decoupled_torch import DecoupledTorch, adam_direction, by_shape, gradient
from optimizers.shared.newton_schulz import newton_schulz


class OrthogonalTorch(DecoupledTorch):
    """Momentum, or another average, and Newton-Schulz in the groups marked `hidden`, AdamW in the others.

    Groups carry momentum and ns_eps, and Adam's beta1, beta2 and eps. ns_steps: of Newton-Schulz.
    """

    def __init__(self, params: Any, lr: float, ns_steps: int, **rule: float) -> None:
        self.ns_steps = ns_steps
        self.directions: dict[str, torch.Tensor] = {}
        super().__init__(params, lr, **rule)

    def prepare(self) -> None:
        """Newton-Schulz of all hidden matrices of a shape at once."""
        averages, members = {}, {}
        for name, p, group in self.named():
            if group["hidden"]:
                averages[name] = self.average(name, gradient(name, p), group, self.state[p])
                members[name] = p
        eps = self.param_groups[0]["ns_eps"]
        self.directions = {}
        for names in by_shape(averages):
            together = newton_schulz(torch.stack([averages[name] for name in names]), self.ns_steps, eps)
            together = self.scaled(together, [members[name] for name in names])
            self.directions |= dict(zip(names, together, strict=True))

    def average(
        self, name: str, grad: torch.Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> torch.Tensor:
        """The matrix to orthogonalise: Nesterov's momentum, unless a subclass has another."""
        momentum = state.setdefault("momentum", torch.zeros_like(grad))
        momentum.mul_(group["momentum"]).add_(grad)
        return grad.add(momentum, alpha=group["momentum"])

    def scaled(self, matrices: torch.Tensor, members: list[torch.Tensor]) -> torch.Tensor:
        """The updates u of parameters of one shape from their orthogonalised momenta, [members, out, in], which
        it may overwrite."""
        raise NotImplementedError

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        if not group["hidden"]:
            return adam_direction(self.state[p], grad, group)
        return self.directions.pop(name)  # not kept between steps


def hidden_and_others(
    params: Mapping[str, Any], decay: float, other_decay: float, run: Run
) -> list[dict[str, Any]]:
    """Groups with and without decay, marked by whether their members are hidden matrices, which decay by
    `decay`; of the others the head does, by `other_decay`."""
    groups = []
    for hidden in (True, False):
        members = {name: p for name, p in params.items() if (run.params[name].role == "hidden") == hidden}
        decayed = decay_groups(members, decay if hidden else other_decay, run)
        groups += [group | {"hidden": hidden} for group in decayed]
    return groups
