"""NAdamW: optax and torch are each other's oracle, and a numpy twin; the closed form is beta1 = 0."""

from typing import Any

import numpy as np
import pytest

from optimizers.adamw import AdamW
from optimizers.nadamw import NAdamW

Fixture = Any

# torch keeps the product of momenta in float32: off by 6e-8 in 1 - beta1^t, which is 0.2 at first, on steps
# of 0.03; 20 of them add up
TORCH = 3e-7


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize(("backend", "tolerance"), [("run_jax", 1e-12), ("run_torch", TORCH)])
def test_agrees_with_dozat(
    backend: str,
    tolerance: float,
    request: pytest.FixtureRequest,
    run_numpy: Fixture,
    toy_params: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    opt, params = NAdamW(), toy_params()
    grads = gradients(params)
    m, v = ({name: np.zeros(p.shape) for name, p in params.items()} for _ in range(2))
    b1, b2 = opt.beta1, opt.beta2

    def rule(grads: Fixture, t: int, values: Fixture) -> Fixture:
        u = {}
        for name, g in grads.items():
            m[name] = b1 * m[name] + (1 - b1) * g
            v[name] = b2 * v[name] + (1 - b2) * g * g
            ahead = b1 * m[name] / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            u[name] = ahead / (np.sqrt(v[name] / (1 - b2**t)) + opt.eps)
        return u

    actual = request.getfixturevalue(backend)(opt, params, grads)
    assert_close(actual, run_numpy(opt, params, grads, rule), tolerance)


@pytest.mark.parametrize("backend", ["run_jax", "run_torch"])
def test_without_momentum_it_is_adamw(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    """There is nothing to look ahead to when beta1 = 0."""
    params, run = toy_params(), request.getfixturevalue(backend)
    grads = gradients(params)
    assert_close(run(NAdamW(beta1=0.0), params, grads), run(AdamW(beta1=0.0), params, grads), 1e-12)
