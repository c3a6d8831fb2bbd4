"""AdamH in torch; the rule and its facts are in adamh.py."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import adam_direction
from optimizers.shared.hyperball_torch import HyperballTorch, on_sphere


class AdamHTorch(HyperballTorch):
    """Groups carry beta1, beta2 and eps, and whether their members are `hidden`."""

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        direction = adam_direction(self.state[p], grad, group)
        return on_sphere(self.state[p], p, direction) if group["hidden"] else direction
