"""Drive a rule written in numpy over a problem of cases.py: an oracle made from a paper's equations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmark.kit.cases import Arrays, Problem

Rule = Callable[[Arrays, int, Arrays], Arrays]


def path(rule: Rule, problem: Problem, peak_lr: float, weight_decay: float) -> Arrays:
    """name -> [steps, *shape]: the parameters after each step.

    rule(grads, t, values) -> u by name, with t = 1, 2, ...; rate and decay are applied here,
    p <- p - lr_t (u + weight_decay p), with decay on hidden matrices and the head alone.
    """
    values: dict[str, Any] = dict(problem.start)
    found: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for step in range(problem.steps):
        lr = peak_lr * problem.multiplier(step)
        u = rule({name: g[step] for name, g in problem.grads.items()}, step + 1, values)
        for name, value in values.items():
            decay = weight_decay if problem.params[name].role in ("hidden", "head") else 0.0
            values[name] = value - lr * (u[name] + decay * value)
            found[name].append(values[name])
    return {name: np.stack(points) for name, points in found.items()}
