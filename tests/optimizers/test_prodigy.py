"""Prodigy: pytorch_optimizer's is the oracle; where its rate never rises it is AdamW."""

from typing import Any

import numpy as np
import pytest
from pytorch_optimizer import Prodigy as Oracle

from benchmark.kit import cases
from optimizers.adamw import AdamW
from optimizers.prodigy import Prodigy

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    """On a rate that rises: each parameter goes farther than 20 steps of the first one."""
    opt, toy = Prodigy(d0=1e-2), cases.problem(cases.toy_params(*PARTS))
    arguments = {"lr": opt.peak_lr, "betas": (opt.beta1, opt.beta2), "eps": opt.eps, "d0": opt.d0}
    expected = against(Oracle, toy, opt.weight_decay, **arguments, bias_correction=True)
    found = path(opt, toy)
    assert_close(found, expected, 1e-12)  # rounding
    assert all(np.abs(points[-1] - toy.start[name]).max() > 20 * opt.d0 for name, points in found.items())


def test_a_rate_that_never_rises_is_adamw_s(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem(cases.toy_params("q", "embed"))
    alike = {"weight_decay": 0.0, "eps": 1e-30}
    fixed, adamw = Prodigy(peak_lr=0.01, d0=5.0, **alike), AdamW(peak_lr=0.05, **alike)
    assert_close(path(fixed, toy), path(adamw, toy), 1e-12)
