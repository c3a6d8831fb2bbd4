"""Drive an optimizer's torch build, or another package's optimizer, over a problem of cases.py, in float64."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.data.corpora import Corpus
from benchmark.kit import cases
from benchmark.kit.cases import Arrays, Problem
from benchmark.spec import Outcome, Trial
from benchmark.train import checkpoint, trainer_torch
from benchmark.train.checkpoint import Progress
from optimizers.base import Optimizer, Param, Run
from optimizers.user.convention_torch import Beside, Scaled, eager, set_mode
from optimizers.user.convention_torch import step as take_step

torch.set_num_threads(1)  # the models here are too small to share, and threads that wait burn the other core

SIMPLE = int | float | list | dict | torch.Tensor
CURVATURE = 0.05  # of the toy's loss, for a rule that differentiates its gradient
Values = dict[str, torch.nn.Parameter]


class Walk:
    """torch optimizers, ours or an oracle's, driven step by step over a problem's parameters."""

    def __init__(
        self,
        values: Values,
        rules: Sequence[torch.optim.Optimizer],
        problem: Problem,
        multiplier: Callable[[Any], Any],
    ) -> None:
        """Together the rules hold every parameter of `values`."""
        self.values, self.rules, self.problem, self.multiplier = values, rules, problem, multiplier
        self.initial_lrs = [group["lr"] for group in self.groups()]

    def advance(self, first: int, last: int) -> Arrays:
        """Steps first to last - 1; name -> [last - first, *shape], the parameters after each."""
        path: dict[str, list[np.ndarray]] = {name: [] for name in self.values}
        for step in range(first, last):
            trainer_torch.seed_frameworks(0, step)  # as in training
            for group, initial in zip(self.groups(), self.initial_lrs, strict=True):
                group["lr"] = initial * self.multiplier(step)
            for rule in self.rules:
                closure = functools.partial(self._look, rule, step)
                loss = closure()
                with eager():  # shapes and types of the toy's are no reason to compile
                    take_step(rule, closure, loss)
            for name, value in self.values.items():
                path[name].append(value.detach().numpy().copy())
        return {name: np.stack(points) for name, points in path.items()}

    @torch.enable_grad()
    def _look(self, rule: Any, step: int) -> torch.Tensor:
        """Give every parameter its gradient, which is the step's wherever it is, and return the loss."""
        for name, value in self.values.items():
            value.grad = _gradient(value, self.problem.grads[name][step], getattr(rule, "needs_graph", False))
        return torch.as_tensor(self.problem.loss_fn(self.values) if self.problem.loss_fn else 0.0).detach()

    def groups(self) -> list[dict[str, Any]]:
        """Asked for at every step: an optimizer that loads its state has new ones."""
        return [group for rule in self.rules for group in rule.param_groups]


class Toy(Walk):
    """One run of an optimizer's torch build over a problem."""

    def __init__(
        self,
        optimizer: Optimizer,
        rate: float = 1.0,
        dtype: torch.dtype = torch.float64,
        problem: Problem | None = None,
    ) -> None:
        problem = problem or cases.problem()
        values = _parameters(problem, dtype)

        def multiplier(step: Any) -> Any:
            return rate * problem.multiplier(step)

        run = Run(problem.params, problem.steps, multiplier, _noise, problem.clip_norm, problem.ratios)
        trainer_torch.seed_frameworks(0, 0)
        self.rule = optimizer.build_torch(values, run)
        set_mode(self.rule, "train")
        run.loss_fn = problem.loss_fn  # as in training, it is not there yet when the build is made
        trainer_torch.require_every_parameter_once(self.rule, values)
        super().__init__(values, [self.rule], problem, multiplier)


def path(optimizer: Optimizer, problem: Problem) -> Arrays:
    """name -> [steps, *shape]: the parameters after each step."""
    return Toy(optimizer, problem=problem).advance(0, problem.steps)


def first_step(optimizer: Optimizer, start: Arrays) -> Arrays:
    """name -> [*shape]: the parameters after one step from others than the toy's."""
    moved = Toy(optimizer, problem=cases.problem(start=start)).advance(0, 1)
    return {name: points[0] for name, points in moved.items()}


def changing_attributes(optimizer: Optimizer) -> list[str]:
    """Names of what a rule keeps beside its state_dict and changes in a step, numbers and tensors."""
    run = Toy(optimizer, dtype=torch.float32)
    kept = run.rule.rule if isinstance(run.rule, Beside | Scaled) else run.rule

    def simple() -> dict[str, str]:
        known = ("state", "param_groups", "defaults", "takes_closure", "takes_loss", "needs_graph")
        found = {name: value for name, value in vars(kept).items() if name not in known}
        return {name: repr(value) for name, value in found.items() if isinstance(value, SIMPLE)}

    before = simple()
    run.advance(0, 3)
    return sorted(name for name, value in simple().items() if before.get(name) != value)


def oracle_path(build: Callable[[Values], Sequence[torch.optim.Optimizer]], problem: Problem) -> Arrays:
    """`path` of any torch optimizers: `build` makes them, at their peak rates, from name -> Parameter."""
    values = _parameters(problem, torch.float64)
    return Walk(values, build(values), problem, problem.multiplier).advance(0, problem.steps)


def _parameters(problem: Problem, dtype: torch.dtype) -> Values:
    return {name: torch.nn.Parameter(torch.tensor(x, dtype=dtype)) for name, x in problem.start.items()}


def second_half(optimizer: Optimizer, checkpoint_path: Path | None) -> Arrays:
    """The second half of a run, whose state went through a checkpoint if there is a path for it.

    In float32, the type of every real run: torch loads all state as the parameter's type.
    """
    half, run = cases.STEPS // 2, Toy(optimizer, dtype=torch.float32)
    run.advance(0, half)
    if checkpoint_path:
        values = [value.detach().numpy() for value in run.values.values()]
        checkpoint.save(checkpoint_path, Progress(step=half), [*values, trainer_torch.state_to_array(run.rule)])
        found = checkpoint.load(checkpoint_path, len(values) + 1)
        if found is None:
            raise ValueError("the state cannot be read back from a checkpoint")
        *saved, state = found[1]
        run = Toy(optimizer, dtype=torch.float32)
        with torch.no_grad():
            for value, array in zip(run.values.values(), saved, strict=True):
                value.copy_(torch.from_numpy(array))
        trainer_torch.state_from_array(run.rule, state)
    return run.advance(half, cases.STEPS)


def _gradient(value: torch.nn.Parameter, grad: np.ndarray, graph: bool) -> torch.Tensor:
    """A given gradient; with a graph its derivative is CURVATURE times the identity."""
    given = torch.tensor(grad, dtype=value.dtype)
    return given + CURVATURE * (value - value.detach()) if graph else given


def state_floats(optimizer: Optimizer, params: Mapping[str, Param]) -> int:
    """Floats in the state after one step; single numbers do not count."""
    run = Run(params, 1000, lambda step: 1.0, lambda name, step, shape: torch.zeros(shape), loss_fn=cases.loss)
    values = {name: torch.nn.Parameter(torch.ones(param.shape)) for name, param in params.items()}
    rule = optimizer.build_torch(values, run)
    for name, value in values.items():
        grad, graph = cases.standard_normal(name, params[name].shape), getattr(rule, "needs_graph", False)
        value.grad = _gradient(value, grad, graph)
    with eager():
        take_step(rule, lambda: torch.ones(()), torch.ones(()))
    return sum(x.numel() for x in trainer_torch.state_tensors(rule) if x.is_floating_point() and x.dim())


def _noise(name: str, step: Any, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(cases.standard_normal(f"noise {name} {int(step)}", tuple(shape)))


def train(
    trial: Trial, optimizer: Optimizer, corpus: Corpus, noise: Callable[..., np.ndarray], nudge: int = 0
) -> Outcome:
    """A run of trainer_torch with another source of noise; `nudge` moves every initial weight by so many units
    in the last place, which shows what rounding alone does to a run."""

    def draw(name: str, step: Any, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(noise(name, int(step), tuple(shape)).copy())

    run = trainer_torch.TrainingRun(trial, optimizer, corpus, draw)
    with torch.no_grad():
        for value in run.values.values():
            for _ in range(abs(nudge)):
                value.copy_(value.nextafter(torch.tensor(math.copysign(math.inf, nudge))))
    run.train()
    return run.outcome()
