"""AdamW: optax and torch are each other's oracle; the closed form is a constant gradient."""

from typing import Any

import numpy as np
import pytest

from benchmark.kit import cases, drive_jax, drive_torch
from optimizers.adamw import AdamW

Fixture = Any


@pytest.mark.oracle("torch.optim.AdamW against optax")
def test_jax_agrees_with_torch(assert_close: Fixture) -> None:
    toy = cases.problem()
    # two correct float64 implementations: rounding alone, 20 steps of size 0.03
    assert_close(drive_jax.path(AdamW(), toy), drive_torch.path(AdamW(), toy), 1e-12)


def test_constant_gradient_moves_by_the_rate(path: Fixture, assert_close: Fixture) -> None:
    """With g constant both corrected averages are exact: u = sign(g), p <- p - lr (sign(g) + wd p)."""
    opt, toy, steps = AdamW(peak_lr=0.01, weight_decay=0.3), cases.problem(), 5
    grads = {name: np.stack([0.1 + np.abs(x)] * steps) * np.sign(x) for name, x in toy.start.items()}
    expected = {}
    for name, value in toy.start.items():
        keep = 1 - 0.01 * (0.3 if toy.params[name].role in ("hidden", "head") else 0.0)
        points = [value]
        for _ in range(steps):
            points.append(keep * points[-1] - 0.01 * np.sign(value))
        expected[name] = np.stack(points[1:])
    # eps 1e-10 against gradients of 0.1 and more
    assert_close(path(opt, cases.problem(grads=grads, fall=0.0)), expected, 1e-9)


def test_no_hidden_guard_beside_eps(path: Fixture, assert_close: Fixture) -> None:
    """The direction does not depend on the gradient's scale, however small, once eps is smaller still."""
    opt, toy = AdamW(eps=1e-25), cases.problem()
    grads = {name: np.stack([np.abs(x) + 0.1] * 3) for name, x in toy.start.items()}
    tiny = {name: g * 1e-12 for name, g in grads.items()}
    assert_close(path(opt, cases.problem(grads=tiny)), path(opt, cases.problem(grads=grads)), 1e-9)
