"""Signum: pytorch_optimizer's is the oracle; the closed form is the first step."""

from typing import Any

import numpy as np
import pytest
from pytorch_optimizer import SignSGD

from benchmark.kit import cases
from optimizers.signum import Signum

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    opt, toy = Signum(), cases.problem(cases.toy_params(*PARTS))
    expected = against(SignSGD, toy, opt.weight_decay, lr=opt.peak_lr, momentum=opt.beta1)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


def test_first_step_is_the_sign_and_zero_stays(path: Fixture) -> None:
    """A row of the embedding without gradient must not move; one that has none any more goes on."""
    toy = cases.problem(cases.toy_params("embed"), steps=4, fall=0.0)
    toy.grads["embed"][:, 3] = 0.0
    toy.grads["embed"][1:, 5] = 0.0
    points, start = path(Signum(peak_lr=0.5), toy)["embed"], toy.start["embed"]
    signs = np.sign(toy.grads["embed"][0])
    np.testing.assert_allclose(start - points[0], 0.5 * signs, atol=1e-14)
    np.testing.assert_array_equal(points[-1, 3], start[3])
    np.testing.assert_allclose((start - points[-1])[5], 4 * 0.5 * signs[5], atol=1e-14)
