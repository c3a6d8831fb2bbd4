"""Mars in torch; the rule and its facts are in mars.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch, adam_direction, gradient


class MarsTorch(DecoupledTorch):
    """Groups carry beta1, beta2, eps and gamma (arXiv 2411.10438, approximate form).

    corrected: names of the parameters whose gradient is corrected.
    together: joint norm to which all gradients are then clipped (0 = off); None clips each corrected one to 1.
    """

    def __init__(
        self, params: Any, lr: float, corrected: tuple[str, ...], together: float | None, **adam: float
    ) -> None:
        self.corrected, self.together = corrected, together
        self.clipped: dict[str, torch.Tensor] = {}
        super().__init__(params, lr, **adam)

    def prepare(self) -> None:
        grads = {
            name: self._correct(p, gradient(name, p), group) if name in self.corrected else gradient(name, p)
            for name, p, group in self.named()
        }
        if self.together:
            norm = torch.stack([c.norm() for c in grads.values()]).norm()
            scale = (self.together / norm).clamp(max=1.0)
            grads = {name: c * scale for name, c in grads.items()}
        self.clipped = grads

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        return adam_direction(self.state[p], self.clipped[name], group)

    def _correct(self, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        previous = self.state[p].setdefault("previous", torch.zeros_like(p))
        c = grad + group["gamma"] * group["beta1"] / (1 - group["beta1"]) * (grad - previous)
        previous.copy_(grad)
        return c / c.norm().clamp(min=1.0) if self.together is None else c
