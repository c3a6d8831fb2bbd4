"""Sophia-H in torch; the rule and its facts are in sophia.py."""

from typing import Any

import torch

from optimizers.base import Run
from optimizers.shared.decoupled_torch import DecoupledTorch


class SophiaTorch(DecoupledTorch):
    """Groups carry beta1, beta2, eps and gamma (arXiv 2305.14342, Algorithm 3).

    interval: steps between two Hessian-vector products of `run.loss_fn`.
    stale: the published study's order: count the step, fold a due estimate in after it, correct the momentum's
    bias.
    """

    def __init__(self, params: Any, lr: float, interval: int, stale: bool, run: Run, **rule: float) -> None:
        self.interval, self.stale, self.run = interval, stale, run
        self.estimates: dict[str, torch.Tensor] = {}
        super().__init__(params, lr, **rule)

    def prepare(self) -> None:
        for _, p, _ in self.named():
            if not self.state[p]:
                self.state[p] = {"step": 0, "m": torch.zeros_like(p), "h": torch.zeros_like(p)}
        step = self.state[self.named()[0][1]]["step"]
        counted = step + 1 if self.stale else step
        self.estimates = {} if counted % self.interval else self._hessian_diagonal(step)

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state = self.state[p]
        state["step"] += 1
        m, h = state["m"].lerp_(grad, 1 - group["beta1"]), state["h"]
        new_h = h.lerp(self.estimates.pop(name), 1 - group["beta2"]) if name in self.estimates else h
        state["h"] = new_h
        if self.stale:
            m, new_h = m / (1 - group["beta1"] ** state["step"]), h
        return (m / (group["gamma"] * new_h).clamp(min=group["eps"])).clamp_(-1.0, 1.0)

    def _hessian_diagonal(self, step: int) -> dict[str, torch.Tensor]:
        """Hutchinson's estimate z ⊙ (H z) for every parameter."""
        if self.run.loss_fn is None:
            raise ValueError("Sophia needs the loss of the current batch: set run.loss_fn before step()")
        names = [name for name, _, _ in self.named()]
        values = [p.detach().requires_grad_() for _, p, _ in self.named()]
        z = [self.run.normal(n, step, tuple(x.shape)).to(x) for n, x in zip(names, values, strict=True)]
        with torch.enable_grad():
            loss = self.run.loss_fn(dict(zip(names, values, strict=True)))
            grads = torch.autograd.grad(loss, values, create_graph=True)
            along_z = torch.stack([(a * b).sum() for a, b in zip(grads, z, strict=True)]).sum()
            products = torch.autograd.grad(along_z, values, materialize_grads=True)
        return {n: a * b for n, a, b in zip(names, z, products, strict=True)}
