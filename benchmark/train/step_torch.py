"""What the benchmark does around a rule's step in torch: schedule, relative rates and clipping."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmark.spec import Trial
from benchmark.train.schedule import DECAY_KINDS, multiplier
from optimizers.base import ROLE_RATIOS, Param

Values = Mapping[str, torch.Tensor]


def schedule(trial: Trial) -> Callable[[Any], Any]:
    """Step index -> factor on every rate, in float64."""
    recipe = trial.hyperparameters
    kind = DECAY_KINDS.index(str(recipe["decay_kind"]))
    shape = {name: float(recipe[name]) for name in ("warmup_fraction", "decay_fraction", "final_lr_ratio")}
    return lambda step: multiplier(np, step, trial.steps, decay_kind=kind, **shape)


def ratios(trial: Trial, params: Mapping[str, Param]) -> dict[str, float]:
    """Parameter -> factor on its whole step; those with factor 1 are left out."""
    named = {name: ROLE_RATIOS.get(param.role) for name, param in params.items()}
    found = {name: float(trial.hyperparameters[ratio]) for name, ratio in named.items() if ratio}
    return {name: ratio for name, ratio in found.items() if ratio != 1.0}


@torch.no_grad()
def scale_steps(values: Values, before: Values, ratios: Mapping[str, float]) -> None:
    """Move each parameter from where it was by `ratio` times the step it took; after the rule, because a rule
    may fix the norm of its step whatever the gradient."""
    for name, ratio in ratios.items():
        values[name].copy_(before[name] + ratio * (values[name] - before[name]))


def clip(values: Values, params: Mapping[str, Param], roles: Sequence[str], clip_norm: float) -> None:
    """Scale the gradients of these roles so that their joint L2 norm is at most clip_norm (0: leave them)."""
    grads = [v.grad for name, v in values.items() if params[name].role in roles and v.grad is not None]
    if clip_norm <= 0 or not grads:
        return
    norm = torch.stack([grad.detach().norm() for grad in grads]).norm()  # of graphs: a factor, not a function
    factor = torch.where(norm > clip_norm, clip_norm / norm, 1.0)
    for grad in grads:
        grad.mul_(factor)
