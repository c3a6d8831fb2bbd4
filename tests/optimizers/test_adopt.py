"""ADOPT: pytorch_optimizer's is the oracle; the closed form is a gradient that never changes."""

from typing import Any

import numpy as np
import pytest
from pytorch_optimizer import ADOPT

from benchmark.kit import cases
from optimizers.adopt import Adopt

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    """Its clip counts the first gradient as step 1, the authors' code the second. beta2 is so low that the clip
    acts: where it does not, the count cannot be told."""
    opt, toy = Adopt(beta2=0.5), cases.problem(cases.toy_params(*PARTS))
    arguments = {"lr": opt.peak_lr, "betas": (opt.beta1, opt.beta2), "eps": opt.eps, "weight_decouple": True}
    counted = {"clip_lambda": lambda step: (step - 1) ** 0.25}
    expected = against(ADOPT, toy, opt.weight_decay, **arguments, **counted)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


def test_a_constant_gradient_is_a_sign_that_is_averaged_from_the_second_step(path: Fixture) -> None:
    toy = cases.problem(cases.toy_params("embed"), steps=4, fall=0.0)
    first = toy.grads["embed"][0]
    toy = cases.problem(toy.params, grads={"embed": np.stack([first] * 4)}, fall=0.0)
    moved = np.diff(np.stack([toy.start["embed"], *path(Adopt(peak_lr=0.5), toy)["embed"]]), axis=0)
    for step, share in enumerate((0.0, 1 - 0.9, 1 - 0.9**2, 1 - 0.9**3)):
        np.testing.assert_allclose(moved[step], -0.5 * share * np.sign(first), atol=1e-12)
