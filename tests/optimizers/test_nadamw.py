"""NAdamW: optax and torch are each other's oracle, and a numpy twin; the closed form is beta1 = 0."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmark.kit import cases, drive_jax, drive_numpy, drive_torch
from benchmark.kit.cases import Arrays
from optimizers.adamw import AdamW
from optimizers.nadamw import NAdamW

Fixture = Any

# torch keeps the product of momenta in float32: off by 6e-8 in 1 - beta1^t, which is 0.2 at first, on steps
# of 0.03; 20 of them add up
TORCH = 3e-7


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize(
    ("driver", "tolerance"), [(drive_jax, 1e-12), (drive_torch, TORCH)], ids=["jax", "torch"]
)
def test_agrees_with_dozat(driver: ModuleType, tolerance: float, assert_close: Fixture) -> None:
    opt, toy = NAdamW(), cases.problem()
    m, v = cases.zeros(toy.params), cases.zeros(toy.params)
    b1, b2 = opt.beta1, opt.beta2

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        u = {}
        for name, g in grads.items():
            m[name] = b1 * m[name] + (1 - b1) * g
            v[name] = b2 * v[name] + (1 - b2) * g * g
            ahead = b1 * m[name] / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            u[name] = ahead / (np.sqrt(v[name] / (1 - b2**t)) + opt.eps)
        return u

    expected = drive_numpy.path(rule, toy, opt.peak_lr, opt.weight_decay)
    assert_close(driver.path(opt, toy), expected, tolerance)


def test_without_momentum_it_is_adamw(path: Fixture, assert_close: Fixture) -> None:
    """There is nothing to look ahead to when beta1 = 0."""
    toy = cases.problem()
    assert_close(path(NAdamW(beta1=0.0), toy), path(AdamW(beta1=0.0), toy), 1e-12)
