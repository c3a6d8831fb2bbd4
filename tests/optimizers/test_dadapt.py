"""D-Adapt Adam: pytorch_optimizer's is the oracle; the closed form is a gradient that never changes."""

from typing import Any

import numpy as np
import pytest
from pytorch_optimizer import DAdaptAdam as Oracle

from benchmark.kit import cases
from optimizers.dadapt import DAdaptAdam

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    """On a rate that rises: each parameter goes farther than 20 steps of the first one."""
    opt, toy = DAdaptAdam(d0=1e-4), cases.problem(cases.toy_params(*PARTS))
    arguments = {"lr": opt.peak_lr, "betas": (opt.beta1, opt.beta2), "eps": opt.eps, "d0": opt.d0}
    options = {"bias_correction": True, "weight_decouple": True}
    expected = against(Oracle, toy, opt.weight_decay, **arguments, **options)
    found = path(opt, toy)
    assert_close(found, expected, 1e-12)  # rounding
    assert all(np.abs(points[-1] - toy.start[name]).max() > 20 * opt.d0 for name, points in found.items())


def test_a_constant_gradient_by_hand(path: Fixture) -> None:
    """The averages are those of numbers: each direction is that of the sign, however long the gradient."""
    opt = DAdaptAdam(peak_lr=0.5, weight_decay=0.0, d0=1e-2, eps=1e-30)
    toy = cases.problem(cases.toy_params("embed"), steps=6, fall=0.0)
    first = toy.grads["embed"][0]
    toy = cases.problem(toy.params, grads={"embed": np.stack([first] * 6)}, fall=0.0)
    moved = np.diff(np.stack([toy.start["embed"], *path(opt, toy)["embed"]]), axis=0)
    d, m, s, v, r, beta3 = opt.d0, 0.0, 0.0, 0.0, 0.0, opt.beta2**0.5
    for t in range(1, 7):  # m, s and the root of v in units of the gradient
        d_lr = d * opt.peak_lr * (1 - opt.beta2**t) ** 0.5 / (1 - opt.beta1**t)
        r = beta3 * r + (1 - beta3) * d_lr * (s / v**0.5 if v else 0.0)
        m = opt.beta1 * m + (1 - opt.beta1) * d_lr
        v = opt.beta2 * v + (1 - opt.beta2)
        s = beta3 * s + (1 - beta3) * d_lr
        d = max(d, r / ((1 - beta3) * s))
        np.testing.assert_allclose(moved[t - 1], -m / v**0.5 * np.sign(first), rtol=1e-9)
    assert d > opt.d0
