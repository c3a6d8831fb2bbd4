"""AdEMAMix: pytorch_optimizer's is the oracle; without its second average it is AdamW."""

from typing import Any

import pytest
from pytorch_optimizer import AdEMAMix as Oracle

from benchmark.kit import cases
from optimizers.adamw import AdamW
from optimizers.ademamix import AdEMAMix

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    """The rises of alpha and beta3 included. A memory of a tenth of 20 steps beyond the 10 of 0.9 is 12."""
    opt, toy = AdEMAMix(memory=0.1), cases.problem(cases.toy_params(*PARTS))
    betas = (opt.beta1, opt.beta2, 1 - 1 / 12)
    arguments = {"lr": opt.peak_lr, "betas": betas, "alpha": opt.alpha, "eps": opt.eps}
    rise = {"t_alpha_beta3": toy.steps, "weight_decouple": True}
    expected = against(Oracle, toy, opt.weight_decay, **arguments, **rise)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


def test_without_its_second_average_it_is_adamw(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem(cases.toy_params("q", "embed"))
    assert_close(path(AdEMAMix(alpha=0.0), toy), path(AdamW(), toy), 1e-12)
