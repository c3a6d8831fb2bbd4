"""AdamW: optax and torch are each other's oracle; the closed form is a constant gradient."""

from typing import Any

import numpy as np
import pytest

from optimizers.adamw import AdamW

Fixture = Any


@pytest.mark.oracle("torch.optim.AdamW against optax")
def test_jax_agrees_with_torch(
    run_jax: Fixture, run_torch: Fixture, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    params = toy_params()
    grads = gradients(params)
    # two correct float64 implementations: rounding alone, 20 steps of size 0.03
    assert_close(run_jax(AdamW(), params, grads), run_torch(AdamW(), params, grads), 1e-12)


@pytest.mark.parametrize("backend", ["run_jax", "run_torch"])
def test_constant_gradient_moves_by_the_rate(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, initial: Fixture, assert_close: Fixture
) -> None:
    """With g constant both corrected averages are exact: u = sign(g), p <- p - lr (sign(g) + wd p)."""
    opt, params, steps = AdamW(peak_lr=0.01, weight_decay=0.3), toy_params(), 5
    start = initial(params)
    grads = {name: np.stack([0.1 + np.abs(x)] * steps) * np.sign(x) for name, x in start.items()}
    actual = request.getfixturevalue(backend)(opt, params, grads, multiplier=lambda step: 1.0)
    expected = {}
    for name, value in start.items():
        keep = 1 - 0.01 * (0.3 if params[name].role in ("hidden", "head") else 0.0)
        path = [value]
        for _ in range(steps):
            path.append(keep * path[-1] - 0.01 * np.sign(value))
        expected[name] = np.stack(path[1:])
    assert_close(actual, expected, 1e-9)  # eps 1e-10 against gradients of 0.1 and more


@pytest.mark.parametrize("backend", ["run_jax", "run_torch"])
def test_no_hidden_guard_beside_eps(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, initial: Fixture, assert_close: Fixture
) -> None:
    """The direction does not depend on the gradient's scale, however small, once eps is smaller still."""
    opt, params = AdamW(eps=1e-25), toy_params()
    grads = {name: np.stack([np.abs(x) + 0.1] * 3) for name, x in initial(params).items()}
    run = request.getfixturevalue(backend)
    tiny = {name: g * 1e-12 for name, g in grads.items()}
    assert_close(run(opt, params, tiny), run(opt, params, grads), 1e-9)
