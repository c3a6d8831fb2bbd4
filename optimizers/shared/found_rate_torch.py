"""The step of found_rate.py as a torch optimizer to subclass."""

from typing import Any

import torch

from optimizers.shared.decoupled_torch import gradient


class FoundRateTorch(torch.optim.Optimizer):
    """Groups of (name, tensor) pairs carry weight_decay, beta1, beta2, eps and d0. The first one also carries
    what all parameters have in common: d, and the numerator of its estimate."""

    def __init__(self, params: Any, lr: float, **rule: float) -> None:
        super().__init__(params, {"lr": lr, "step": 0, **rule})
        first = self.param_groups[0]
        first["d"] = first["params"][0].new_full((), rule["d0"])
        first["numerator"] = first["params"][0].new_zeros(())

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        first = self.param_groups[0]
        first["step"] += 1
        correction = (1 - first["beta2"] ** first["step"]) ** 0.5 / (1 - first["beta1"] ** first["step"])
        d, d_lr = first["d"], first["d"] * (first["lr"] * correction)
        products, sizes = [], []
        for group in self.param_groups:
            for name, p in zip(group["param_names"], group["params"], strict=True):
                product, size = self.looked(p, gradient(name, p), group, d, d_lr)
                products.append(product)
                sizes.append(size)
        first["numerator"] = first["numerator"] * first["beta2"] ** 0.5 + torch.stack(products).sum()
        first["d"] = torch.fmax(d, first["numerator"] / torch.stack(sizes).sum())  # 0 / 0 is no estimate
        for group in self.param_groups:
            for p in group["params"]:
                move = self.move(p, group, first["d"], d_lr)
                p.sub_(move.add_(p * (d_lr * group["weight_decay"])))
        return loss

    def looked(self, p: Any, grad: Any, group: dict[str, Any], d: Any, d_lr: Any) -> tuple[Any, Any]:
        """Advance a parameter's state; its part of what is added to the numerator of the estimate of d, and of
        the denominator."""
        raise NotImplementedError

    def move(self, p: Any, group: dict[str, Any], d: Any, d_lr: Any) -> torch.Tensor:
        """What is subtracted from a parameter, apart from its decay. d: the new one; d_lr: with the old one."""
        raise NotImplementedError
