"""hyperball.py for torch optimizers: in p <- p - lr u, u becomes R N(u), and p is put back afterwards."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import DecoupledTorch
from optimizers.shared.hyperball import FLOOR, norm, unit


def on_sphere(state: dict[str, Any], p: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """R N(u) of one hidden matrix; its first call keeps R, so it must come before p moves."""
    if "radius" not in state:
        state["radius"] = norm(p.detach())
    return state["radius"] * unit(direction)


class HyperballTorch(DecoupledTorch):
    """Puts the members of groups marked `hidden` back on their spheres after a step; `direction` gives what
    `on_sphere` does for them. These groups must not decay."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            if group["hidden"] and group["lr"]:  # at a rate of 0 rounding would move them
                for p in group["params"]:
                    p.mul_(self.state[p]["radius"] / norm(p).clip(FLOOR))
        return loss
