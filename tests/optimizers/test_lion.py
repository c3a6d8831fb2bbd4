"""Lion: its author-approved torch package is the oracle; the closed form is the first step."""

from typing import Any

import numpy as np
import pytest
import torch
from lion_pytorch import Lion as LionOracle

from optimizers.base import Run
from optimizers.lion import Lion

Fixture = Any
BACKENDS = ["run_jax", "run_torch"]


def oracle(start: Fixture, grads: Fixture, opt: Lion) -> dict[str, np.ndarray]:
    """lion-pytorch at a constant rate, decay on every parameter."""
    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    rule = LionOracle(
        values.values(), lr=opt.peak_lr, betas=(opt.beta1, opt.beta2), weight_decay=opt.weight_decay
    )
    path: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for step in range(len(next(iter(grads.values())))):
        for name, value in values.items():
            value.grad = torch.tensor(grads[name][step])
        rule.step()
        for name, value in values.items():
            path[name].append(value.detach().numpy().copy())
    return {name: np.stack(points) for name, points in path.items()}


@pytest.mark.oracle("lion-pytorch")
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_lion_pytorch(
    backend: str,
    request: pytest.FixtureRequest,
    toy_params: Fixture,
    initial: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    opt = Lion()
    params = {name: p for name, p in toy_params().items() if p.role in ("hidden", "head")}
    grads = gradients(params)
    actual = request.getfixturevalue(backend)(opt, params, grads, multiplier=lambda step: 1.0)
    assert_close(actual, oracle(initial(params), grads, opt), 1e-12)  # rounding: steps are 0.004, values ~1


def test_jax_agrees_with_torch(
    run_jax: Fixture, run_torch: Fixture, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    params = toy_params()
    grads = gradients(params)
    assert_close(run_jax(Lion(), params, grads), run_torch(Lion(), params, grads), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_step_is_the_sign_and_zero_stays(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, initial: Fixture, gradients: Fixture
) -> None:
    """m starts at 0, so step 1 is sign(g); a row of the embedding without gradient must not move."""
    params = {"embed": toy_params()["embed"]}
    grads = gradients(params, steps=4)
    grads["embed"][:, 3] = 0.0
    path = request.getfixturevalue(backend)(Lion(peak_lr=0.5), params, grads, multiplier=lambda step: 1.0)
    start = initial(params)["embed"]
    np.testing.assert_allclose(start - path["embed"][0], 0.5 * np.sign(grads["embed"][0]), atol=1e-14)
    np.testing.assert_array_equal(path["embed"][-1, 3], start[3])


def test_a_parameter_without_gradient_is_named(toy_params: Fixture) -> None:
    """It would silently stay untrained."""
    params = toy_params()
    values = {name: torch.nn.Parameter(torch.zeros(p.shape)) for name, p in params.items()}
    rule = Lion().build_torch(values, Run(params, 1, lambda step: 1.0, lambda *_: None))
    with pytest.raises(ValueError, match=r"'layers\.0\.q' has no gradient"):
        rule.step()
