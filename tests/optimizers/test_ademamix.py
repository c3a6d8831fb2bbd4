"""AdEMAMix: pytorch_optimizer's is the oracle; without its second average it is AdamW."""

from typing import Any

import pytest
from pytorch_optimizer import AdEMAMix as Oracle

from benchmark.kit import cases, drive_torch
from optimizers.adamw import AdamW
from optimizers.ademamix import AdEMAMix
from optimizers.base import Run
from optimizers.shared.decoupled import decay_groups

Fixture = Any


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, assert_close: Fixture) -> None:
    """Both rises of alpha and beta3 included. A memory of a tenth of 20 steps beyond the 10 of 0.9 is 12."""
    opt, toy = AdEMAMix(memory=0.1), cases.problem()

    def build(values: drive_torch.Values) -> Any:
        run = Run(toy.params, toy.steps, toy.multiplier, lambda *_: None)
        groups = decay_groups(values, opt.weight_decay, run)
        groups = [{**group, "params": [p for _, p in group["params"]]} for group in groups]
        return [
            Oracle(
                groups,
                lr=opt.peak_lr,
                betas=(opt.beta1, opt.beta2, 1 - 1 / 12),
                alpha=opt.alpha,
                t_alpha_beta3=toy.steps,
                eps=opt.eps,
                weight_decouple=True,
            )
        ]

    assert_close(path(opt, toy), drive_torch.oracle_path(build, toy), 1e-12)


def test_without_its_second_average_it_is_adamw(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem(cases.toy_params("q", "embed"))
    assert_close(path(AdEMAMix(alpha=0.0), toy), path(AdamW(), toy), 1e-12)
