"""Lion: its author-approved torch package is the oracle; the closed form is the first step."""

from typing import Any

import numpy as np
import pytest
import torch
from lion_pytorch import Lion as LionOracle

from benchmark.kit import cases, drive_jax, drive_torch
from optimizers.base import Run
from optimizers.lion import Lion

Fixture = Any


@pytest.mark.oracle("lion-pytorch")
def test_agrees_with_lion_pytorch(path: Fixture, assert_close: Fixture) -> None:
    """At a constant rate, on the parameters that decay: the package's decay is on all of them."""
    opt = Lion()
    params = {name: p for name, p in cases.toy_params().items() if p.role in ("hidden", "head")}
    options = {"lr": opt.peak_lr, "betas": (opt.beta1, opt.beta2), "weight_decay": opt.weight_decay}
    toy = cases.problem(params, fall=0.0)
    expected = drive_torch.oracle_path(lambda values: [LionOracle(values.values(), **options)], toy)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding: steps are 0.004, values ~1


def test_jax_agrees_with_torch(assert_close: Fixture) -> None:
    toy = cases.problem()
    assert_close(drive_jax.path(Lion(), toy), drive_torch.path(Lion(), toy), 1e-12)


def test_first_step_is_the_sign_and_zero_stays(path: Fixture) -> None:
    """m starts at 0, so step 1 is sign(g); a row of the embedding without gradient must not move."""
    toy = cases.problem(cases.toy_params("embed"), steps=4, fall=0.0)
    toy.grads["embed"][:, 3] = 0.0
    points, start = path(Lion(peak_lr=0.5), toy)["embed"], toy.start["embed"]
    np.testing.assert_allclose(start - points[0], 0.5 * np.sign(toy.grads["embed"][0]), atol=1e-14)
    np.testing.assert_array_equal(points[-1, 3], start[3])


def test_a_parameter_without_gradient_is_named() -> None:
    """It would silently stay untrained."""
    params = cases.toy_params()
    values = {name: torch.nn.Parameter(torch.zeros(p.shape)) for name, p in params.items()}
    rule = Lion().build_torch(values, Run(params, 1, lambda step: 1.0, lambda *_: None))
    with pytest.raises(ValueError, match=r"'layers\.0\.q' has no gradient"):
        rule.step()
