"""SOAP in torch; the rule and its facts are in soap.py."""

from collections.abc import Mapping
from typing import Any

import torch

from optimizers.shared.blocks import cut, gram, join, rotate, rotate_back
from optimizers.shared.decoupled_torch import DecoupledTorch, gradient

State = dict[str, Any]


class AdamInBases:
    """Adam in Shampoo's eigenbasis, of one gradient in blocks and its state.

    interval: steps between two refreshes. study: the published study's order, which is soap.py's variant
    "levanter". rule: beta1, beta2, shampoo_beta and eps.
    """

    def __init__(self, interval: int, study: bool, rule: Mapping[str, float]) -> None:
        self.interval, self.study, self.rule = interval, study, rule

    def first(self, grad: torch.Tensor, sides: tuple[str, ...]) -> State:
        """The first gradient only sets the bases."""
        grams = {side: (1 - self.rule["shampoo_beta"]) * gram(grad, side) for side in sides}
        bases = {side: torch.linalg.eigh(g)[1].flip(-1) for side, g in grams.items()}
        counted = 1 if self.study else 0
        zeros = {name: torch.zeros_like(grad) for name in ("m", "v")}
        return {"step": counted, **zeros, "grams": grams, "bases": bases}

    def direction(self, grad: torch.Tensor, state: State) -> torch.Tensor:
        beta1, beta2, shampoo_beta = (self.rule[name] for name in ("beta1", "beta2", "shampoo_beta"))
        bases = state["bases"]
        state["step"] += 1
        k = state["step"]
        state["m"].lerp_(grad, 1 - beta1)
        state["v"].lerp_(rotate(grad, bases) ** 2, 1 - beta2)
        scaled = rotate(state["m"], bases) / (state["v"].sqrt() + self.rule["eps"])
        correction = (1 - beta2**k) ** 0.5 / (1 - beta1**k)
        direction = correction * rotate_back(scaled, bases)
        stale = state["grams"]
        state["grams"] = {side: old.lerp(gram(grad, side), 1 - shampoo_beta) for side, old in stale.items()}
        if k % self.interval == 0:
            _refresh(state, stale if self.study else state["grams"])
        return direction


class SoapTorch(DecoupledTorch):
    """State per parameter as in soap.py, in blocks.

    blocks: name -> (number, rows, columns). sides: name -> the sides that have a basis. The others are those of
    AdamInBases.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        blocks: Mapping[str, tuple[int, int, int]],
        sides: Mapping[str, tuple[str, ...]],
        interval: int,
        study: bool,
        **rule: float,
    ) -> None:
        self.blocks, self.sides, self.study = blocks, sides, study
        self.adam = AdamInBases(interval, study, rule)
        super().__init__(params, lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else torch.enable_grad()(closure)()
        for name, p, group in self.named():
            grad, state = cut(gradient(name, p), self.blocks[name]), self.state[p]
            moving = bool(state)
            if not state:
                state.update(self.adam.first(grad, self.sides[name]))
            if moving or self.study:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            if moving:
                p.sub_(join(self.adam.direction(grad, state), p.shape), alpha=group["lr"])
        return loss


def _refresh(state: State, grams: Mapping[str, torch.Tensor]) -> None:
    """One power iteration and QR per side, columns in descending order of estimated eigenvalue; v follows."""
    for side, basis in state["bases"].items():
        product = grams[side] @ basis
        order = (basis * product).sum(-2).argsort(dim=-1, descending=True, stable=True)
        # gather, because take_along_dim first takes every index modulo the length, which costs more than it
        state["bases"][side] = torch.linalg.qr(product.gather(-1, order[:, None, :].expand_as(product)))[0]
        v = state["v"]
        if side == "left":
            state["v"] = v.gather(-2, order[:, :, None].expand_as(v))
        else:
            state["v"] = v.gather(-1, order[:, None, :].expand_as(v))
