"""Signed momentum (torch).

An example of a user's own optimizer in torch:
`python -m sweeps quick --optimizer examples/mine_torch.py --backend torch`.
"""

import torch

space = {"peak_lr": (0.001, 0.002, 0.004, 0.008), "weight_decay": (0.0, 0.3, 0.6), "beta": (0.8, 0.9, 0.95)}
essential = ("peak_lr", "weight_decay", "beta", "embedding_lr_ratio", "head_lr_ratio")


class SignedMomentum(torch.optim.Optimizer):
    def __init__(self, params, lr, weight_decay, beta):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["beta"])
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * average.sign())
