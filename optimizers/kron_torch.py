"""Kron in torch; the rule and its facts are in kron.py."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from optimizers.shared.blocks import cut, gram, join
from optimizers.shared.decoupled_torch import DecoupledTorch

Factors = dict[str, torch.Tensor]


class KronTorch(DecoupledTorch):
    """Kronecker factors per parameter, in blocks.

    blocks: name -> (number, rows, columns). shapes: name -> side -> shape of its factor.
    due: (step index, steps since the last fit, this one included) -> whether the step fits.
    normal: the noise of `Run`. balance_every: fits between two scalings to equal largest entries.
    norm_eps: added to the norm by which every gradient is divided; None divides by nothing.
    rule: beta1, preconditioner_lr, and kron.py's constants damping, max_rms and tiny.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        blocks: Mapping[str, tuple[int, int, int]],
        shapes: Mapping[str, Mapping[str, tuple[int, ...]]],
        due: Callable[[int, int], bool],
        normal: Callable[[str, Any, tuple[int, ...]], Any],
        balance_every: int,
        norm_eps: float | None,
        **rule: float,
    ) -> None:
        self.blocks, self.shapes, self.due, self.normal = blocks, shapes, due, normal
        self.balance_every, self.norm_eps = balance_every, norm_eps
        self.rule = rule
        super().__init__(params, lr)

    def direction(self, name: str, p: torch.Tensor, grad: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        rule, state, blocks = self.rule, self.state[p], self.blocks[name]
        if not state:
            factors = {side: _start(shape, p) for side, shape in self.shapes[name].items()}
            state.update(step=0, waited=0, fits=0, m=torch.zeros_like(p), factors=factors)
        if self.norm_eps is not None:
            grad = grad / (grad.norm() + self.norm_eps)
        state["m"].lerp_(grad, 1 - rule["beta1"])
        average = cut(state["m"] / (1 - rule["beta1"] ** (state["step"] + 1)), blocks)
        state["waited"] += 1
        if self.due(state["step"], state["waited"]):
            noise = torch.as_tensor(self.normal(name, state["step"], tuple(p.shape))).to(p)
            if state["fits"] and state["fits"] % self.balance_every == 0:
                _balance(state["factors"])
            _fit(state["factors"], average, cut(noise, blocks), rule)
            state["fits"], state["waited"] = state["fits"] + 1, 0
        state["step"] += 1
        u = join(_forward(_transposed(state["factors"]), _forward(state["factors"], average)), p.shape)
        return u / (u.square().mean().sqrt() / rule["max_rms"]).clamp(min=1.0)


def _start(shape: tuple[int, ...], p: torch.Tensor) -> torch.Tensor:
    return p.new_ones(shape) if len(shape) == 2 else torch.eye(shape[-1]).to(p).repeat(shape[0], 1, 1)


def _transposed(factors: Factors) -> Factors:
    return {side: q if q.ndim == 2 else q.mT for side, q in factors.items()}


def _forward(factors: Factors, x: torch.Tensor) -> torch.Tensor:
    """QL x QR^T."""
    for side, q in factors.items():
        if q.ndim == 2:
            x = x * (q[:, :, None] if side == "left" else q[:, None, :])
        else:
            x = q @ x if side == "left" else x @ q.mT
    return x


def _inverse(factors: Factors, x: torch.Tensor) -> torch.Tensor:
    """QL^-T x QR^-1."""
    for side, q in factors.items():
        if q.ndim == 2:
            x = x / (q[:, :, None] if side == "left" else q[:, None, :])
        elif side == "left":
            x = torch.linalg.solve_triangular(q.mT, x, upper=False)
        else:
            x = torch.linalg.solve_triangular(q, x, upper=True, left=False)
    return x


def _norm_bound(a: torch.Tensor, tiny: float) -> torch.Tensor:
    """Lower bound of the spectral norm of symmetric (blocks, d, d)."""
    scale = a.abs().amax((-2, -1), keepdim=True) + tiny
    a = a / scale
    largest = a.square().sum(-2).argmax(-1)
    column = a @ a.take_along_dim(largest[:, None, None], -1)
    column = column / (column.norm(dim=(-2, -1), keepdim=True) + tiny)
    return scale * (a @ column).norm(dim=(-2, -1), keepdim=True)


def _fit(factors: Factors, average: torch.Tensor, noise: torch.Tensor, rule: Mapping[str, float]) -> None:
    """One step of the factors, in place, towards whitening `average`."""
    rate, tiny = rule["preconditioner_lr"], rule["tiny"]
    damped = average + rule["damping"] * average.abs().mean((-2, -1), keepdim=True) * noise
    a, b = _forward(factors, damped), _inverse(factors, noise)
    for side, q in factors.items():
        if q.ndim == 2:
            axis = -1 if side == "left" else -2
            ours, theirs = a.square().sum(axis), b.square().sum(axis)
            q -= rate * (ours - theirs) / ((ours + theirs).amax(-1, keepdim=True) + tiny) * q
        else:
            ours, theirs = gram(a, side), gram(b, side)
            q -= rate * (ours - theirs).triu() / (_norm_bound(ours + theirs, tiny) + tiny) @ q


def _balance(factors: Factors) -> None:
    """Scale, in place, to equal largest entries with the same product."""
    sizes = {side: q.abs().amax(tuple(range(1, q.ndim))) for side, q in factors.items()}
    mean = torch.stack([size.log() for size in sizes.values()]).mean(0).exp()
    for side, q in factors.items():
        q *= (mean / sizes[side]).reshape(-1, *[1] * (q.ndim - 1))
