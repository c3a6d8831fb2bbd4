"""NorMuon against pytorch_optimizer's (rounding to bfloat16 switched off), and what its rows must do."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import NorMuon as Theirs
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5

from benchmark.kit import cases, drive_torch
from optimizers.base import describe
from optimizers.muon import Muon
from optimizers.normuon import NorMuon

Fixture = Any
RULE = NorMuon(
    peak_lr=0.02,
    weight_decay=0.1,
    momentum=0.9,
    row_beta=0.7,
    beta1=0.8,
    beta2=0.95,
    eps=1e-9,
    ns_eps=1e-30,  # the oracle divides by max(norm, eps), and its momentum is smaller: equal where eps vanishes
)


def oracle(toy: cases.Problem, values: drive_torch.Values) -> list[torch.optim.Optimizer]:
    hidden = [values[n] for n, p in toy.params.items() if p.role == "hidden"]
    rest = [values[n] for n, p in toy.params.items() if p.role in ("embedding", "norm")]
    group = {"params": hidden, "use_muon": True, "momentum": RULE.momentum, "beta2": RULE.row_beta}
    theirs = Theirs([group | {"lr": RULE.peak_lr, "weight_decay": RULE.weight_decay}])
    adam = torch.optim.AdamW(
        [
            {"params": [values["head"]], "weight_decay": RULE.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=RULE.peak_lr,
        betas=(RULE.beta1, RULE.beta2),
        eps=RULE.eps,
    )
    return [theirs, adam]


@pytest.mark.oracle("pytorch_optimizer.NorMuon")
def test_follows_pytorch_optimizer(
    path: Fixture, assert_close: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = cases.problem()
    actual = path(RULE, toy)
    # the oracle rounds to bfloat16, the last default argument of its Newton-Schulz
    exact = (*(zero_power_via_newton_schulz_5.__defaults__ or ())[:-1], torch.float64)
    monkeypatch.setattr(zero_power_via_newton_schulz_5, "__defaults__", exact)
    expected = drive_torch.oracle_path(lambda values: oracle(toy, values), toy)
    assert_close(actual, expected, 1e-9)


def test_without_memory_every_row_moves_alike_and_the_whole_as_far_as_muon_s() -> None:
    params = cases.toy_params("q", "up", "down")
    toy = cases.problem(params, steps=1, start=cases.zeros(params))
    muon = Muon(peak_lr=0.02, momentum=RULE.momentum, ns_eps=RULE.ns_eps)
    even, theirs = (drive_torch.path(rule, toy) for rule in (RULE.replace(row_beta=0.0), muon))
    for name in params:
        rows = np.linalg.norm(even[name][0], axis=1)
        np.testing.assert_allclose(rows, rows.mean(), rtol=1e-9)
        assert np.ptp(np.linalg.norm(theirs[name][0], axis=1)) > 0.01 * rows.mean()
        np.testing.assert_allclose(np.linalg.norm(even[name][0]), np.linalg.norm(theirs[name][0]), rtol=1e-9)


def test_what_is_no_hidden_matrix_is_muon_s() -> None:
    same = {name: value for name, value in RULE.floats().items() if name != "row_beta"}
    ours, muon = (drive_torch.path(rule, cases.problem()) for rule in (RULE, Muon().replace(**same)))
    for name, param in cases.toy_params().items():
        assert np.array_equal(ours[name], muon[name]) == (param.role != "hidden")


def test_state_and_cost() -> None:
    params = describe({"a.q": (10, 10), "head": (20, 10)}, heads=1)
    assert NorMuon().state_floats(params) == 100 + 10 + 2 * 200
    assert NorMuon().extra_flops(params, 100, 1) == 30 * 10**3 + 20 * 100 + 5 * 10 + 16 * 200
