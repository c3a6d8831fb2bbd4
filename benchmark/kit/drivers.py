"""The toy of cases.py driven in either framework: one question, asked of drive_jax.py or drive_torch.py."""

import importlib
from types import ModuleType

from benchmark.kit.cases import STEPS, Arrays
from optimizers.base import Optimizer
from optimizers.user.files import Backend


def driver(backend: Backend) -> ModuleType:
    """A framework's drive_*.py."""
    return importlib.import_module(f"benchmark.kit.drive_{backend}")


def path(optimizer: Optimizer, backend: Backend, rate: float = 1.0) -> Arrays:
    """name -> [STEPS, *shape]: the toy's parameters after each step. rate: a factor on the schedule."""
    if backend == "torch":
        return driver("torch").Toy(optimizer, rate).advance(0, STEPS)
    return driver("jax").toy(blank(optimizer)).path(optimizer.floats(), rate)


def blank(optimizer: Optimizer) -> Optimizer:
    """Statics alone: all settings of an optimizer share programs."""
    return optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
