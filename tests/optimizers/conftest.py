"""What the tests of optimizers share beyond the conformance kit: both builds of a rule, and comparing paths.

The toy, its gradients and the drivers are the kit's (benchmark/kit/). Everything runs in float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.kit import drive_jax, drive_torch
from benchmark.kit.cases import Arrays, Problem
from optimizers.base import Optimizer, Run
from optimizers.shared.decoupled import decay_groups

Driver = Callable[[Optimizer, Problem], Arrays]


@pytest.fixture(params=[drive_jax, drive_torch], ids=["jax", "torch"])
def path(request: pytest.FixtureRequest) -> Driver:
    """(optimizer, problem) -> name -> [steps, *shape]; a test that asks for it runs once in each framework."""
    return request.param.path


@pytest.fixture
def against() -> Callable[..., Arrays]:
    """(class, problem, weight_decay, arguments of the class) -> the path of another package's torch optimizer,
    which decays what ours decay."""

    def expected(build: Callable[..., Any], problem: Problem, weight_decay: float, **arguments: Any) -> Arrays:
        run = Run(problem.params, problem.steps, problem.multiplier, lambda *_: None)

        def made(values: drive_torch.Values) -> list[Any]:
            groups = decay_groups(values, weight_decay, run)
            return [build([{**g, "params": [p for _, p in g["params"]]} for g in groups], **arguments)]

        torch.set_default_dtype(torch.float64)  # of sums over all parameters
        try:
            return drive_torch.oracle_path(made, problem)
        finally:
            torch.set_default_dtype(torch.float32)

    return expected


@pytest.fixture
def assert_close(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[Arrays, Arrays, float], None]:
    """Fail where two sets of paths differ by more than `tolerance` anywhere; says where first.

    A test marked `oracle` records what it measured, for tools/parity.py.
    """
    oracle = request.node.get_closest_marker("oracle")

    def check(actual: Arrays, expected: Arrays, tolerance: float) -> None:
        assert actual.keys() == expected.keys()
        if oracle:
            gap = max(float(np.abs(values - expected[name]).max()) for name, values in actual.items())
            record_property("oracle", (oracle.args[0], gap, tolerance))
        for name, values in actual.items():
            gap = np.abs(values - expected[name]).reshape(len(values), -1).max(axis=1)
            assert gap.max() <= tolerance, f"{name}: off by {gap.max():.2e} at step {int(gap.argmax())}"

    return check
