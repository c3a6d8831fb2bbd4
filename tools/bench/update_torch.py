"""An update rule alone on random gradients, in torch: ours and that of `pytorch_optimizer` or `torch.optim`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmark.spec import Trial
from benchmark.train import trainer_torch
from optimizers.base import Optimizer, Param, Run
from optimizers.shared.blocks import block_shape, cut

LR = 1e-3

Tensors = Mapping[str, torch.Tensor]


def ours(trial: Trial, optimizer: Optimizer, params: Mapping[str, Param], count: int) -> Callable[[], object]:
    """A block of `count` updates of our build, from the rule's first state."""
    torch.set_num_threads(1)
    values = _with_gradients(params)

    def run() -> None:
        described = Run(params, trial.steps, lambda step: 1.0, trainer_torch.normal(0))
        described.loss_fn = _quadratic
        rule = optimizer.build_torch(values, described)
        for _ in range(count):
            rule.step()

    return run


def theirs(trial: Trial, optimizer: Optimizer, params: Mapping[str, Param], count: int) -> Callable[[], object]:
    """A block of as many updates of the other rule, doing as much work: see `_rules`."""
    torch.set_num_threads(1)
    blocked = int(optimizer.statics().get("block_size", 0))
    values = _with_gradients(params, blocked)

    def run() -> None:
        rules = _rules(trial, optimizer, params, values)
        for step in range(count):
            if trial.optimizer == "sophia" and step % _refresh_interval(trial, optimizer) == 0:
                members = list(values.values())
                # it differentiates the gradients that it finds
                grads = torch.autograd.grad(_quadratic(values), members, create_graph=True)
                for value, grad in zip(members, grads, strict=True):
                    value.grad = grad
            for rule in rules:
                rule.step()

    return run


def _rules(
    trial: Trial, optimizer: Optimizer, params: Mapping[str, Param], values: Tensors
) -> list[torch.optim.Optimizer]:
    """The rule of `pytorch_optimizer`, for the Adams of `torch.optim`, at its defaults, with the same split
    between matrices and the rest, the same blocks, and a basis refreshed as often. Axes of a vocabulary have no
    basis in ours; here a limit on the axis says so."""
    import pytorch_optimizer as package

    everything = list(values.values())
    hidden = [v for name, v in values.items() if params[name.partition("#")[0]].role == "hidden"]
    rest = [v for name, v in values.items() if params[name.partition("#")[0]].role != "hidden"]
    widest = max(max(v.shape) for v in hidden) + 1
    match trial.optimizer:
        case "adamw":
            return [torch.optim.AdamW(everything, LR)]
        case "nadamw":
            return [torch.optim.NAdam(everything, LR, decoupled_weight_decay=True, weight_decay=0.1)]
        case "lion":
            return [package.Lion(everything, LR, weight_decay=0.1)]
        case "mars":
            return [package.MARS(everything, LR, weight_decay=0.1)]
        case "muon":
            groups: list[dict[str, Any]] = [{"params": hidden, "use_muon": True}]
            return [package.Muon([*groups, *([{"params": rest, "use_muon": False}] if rest else [])], LR)]
        case "scion":
            return [package.SCION(everything, LR)]
        case "soap":
            every = _refresh_interval(trial, optimizer)
            return [package.SOAP(everything, LR, precondition_frequency=every, max_precondition_dim=widest)]
        case "kron":
            return [package.Kron(everything, LR, max_size_triangular=widest)]
        case "sophia":
            every = _refresh_interval(trial, optimizer)
            return [package.SophiaH(everything, LR, update_period=every)]
    raise ValueError(f"pytorch_optimizer has no {trial.optimizer!r} that updates plain tensors")


def _refresh_interval(trial: Trial, optimizer: Optimizer) -> int:
    """Steps between two refreshes of a basis or of a Hessian's diagonal."""
    fraction = {**optimizer.floats(), **optimizer.statics()}["refresh_fraction"]
    return max(1, trial.steps // round(1 / float(fraction)))


def _with_gradients(params: Mapping[str, Param], block_size: int = 0) -> dict[str, torch.Tensor]:
    """Random parameters with random gradients; with a block size every block is a parameter, `name#3`."""
    rng = np.random.default_rng(0)
    values = {}
    for name, param in params.items():
        number, rows, columns = block_shape(param, block_size)
        drawn = [torch.from_numpy(rng.standard_normal(param.shape, np.float32)) for _ in range(2)]
        if number > 1:
            pairs = zip(*(cut(array, (number, rows, columns)) for array in drawn), strict=True)
        else:
            pairs = iter([drawn])
        for i, (start, grad) in enumerate(pairs):
            value = torch.nn.Parameter(0.02 * start.contiguous())
            value.grad = grad.contiguous()
            values[f"{name}#{i}" if number > 1 else name] = value
    return values


def _quadratic(values: Tensors) -> torch.Tensor:
    """A loss that costs next to nothing, for rules that differentiate it once more."""
    parts: Sequence[torch.Tensor] = [value.square().sum() for value in values.values()]
    return 0.5 * torch.stack(list(parts)).sum()
