"""Muon against torch's own (rounding to bfloat16 switched off), and Newton-Schulz against what it must do."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.kit import cases, drive_jax, drive_torch
from benchmark.kit.cases import Problem
from optimizers.base import ROLES, describe
from optimizers.muon import Muon
from optimizers.shared.newton_schulz import newton_schulz, newton_schulz_flops

Fixture = Any
RULE = Muon(
    peak_lr=0.02,
    weight_decay=0.1,
    momentum=0.9,
    beta1=0.8,
    beta2=0.95,
    eps=1e-9,
    ns_eps=1e-30,  # torch divides by max(norm, eps): equal where eps vanishes
)


@pytest.fixture
def exact_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.optim.Muon rounds to bfloat16 inside Newton-Schulz, whatever the parameter's type."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def oracle(rule: Muon, toy: Problem, values: drive_torch.Values) -> list[torch.optim.Optimizer]:
    """torch.optim.Muon for hidden matrices, torch.optim.AdamW for the others."""
    hidden = [values[n] for n, p in toy.params.items() if p.role == "hidden"]
    decayed = [values["head"]]
    rest = [values[n] for n, p in toy.params.items() if p.role in ("embedding", "norm")]
    muon = torch.optim.Muon(
        hidden, lr=rule.peak_lr, weight_decay=rule.weight_decay, momentum=rule.momentum, eps=rule.ns_eps
    )
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": rule.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=rule.peak_lr,
        betas=(rule.beta1, rule.beta2),
        eps=rule.eps,
    )
    return [muon, adam]


@pytest.mark.oracle("torch.optim.Muon")
def test_follows_torch(path: Fixture, assert_close: Fixture, exact_bfloat16: None) -> None:
    toy = cases.problem()
    expected = drive_torch.oracle_path(lambda values: oracle(RULE, toy, values), toy)
    assert_close(path(RULE, toy), expected, 1e-11)


@pytest.mark.parametrize("rule", [RULE, RULE.replace(variant="levanter", ns_eps=1e-5)], ids=lambda r: r.variant)
def test_jax_and_torch_agree(rule: Muon, assert_close: Fixture) -> None:
    toy = cases.problem()
    assert_close(drive_torch.path(rule, toy), drive_jax.path(rule, toy), 1e-12)


@pytest.mark.parametrize("shape", [(12, 12), (24, 8), (8, 24)])
def test_newton_schulz_keeps_directions_and_evens_out_sizes(shape: tuple[int, int]) -> None:
    left = np.linalg.qr(np.random.default_rng(0).standard_normal((shape[0], 8)))[0]
    right = np.linalg.qr(np.random.default_rng(1).standard_normal((shape[1], 8)))[0]
    sizes = np.geomspace(1.0, 0.02, 8)
    matrix = torch.tensor(left * sizes @ right.T)
    core = left.T @ newton_schulz(matrix, 5, 0.0).numpy() @ right
    assert np.abs(core - np.diag(np.diag(core))).max() < 1e-12
    # every singular value above 0.01 of the Frobenius norm ends in this interval
    assert np.diag(core).min() > 0.68 and np.diag(core).max() < 1.14


def test_newton_schulz_symmetries() -> None:
    matrix = torch.tensor(np.random.default_rng(2).standard_normal((6, 10)))
    result = newton_schulz(matrix, 5, 0.0)
    torch.testing.assert_close(newton_schulz(1e-3 * matrix, 5, 0.0), result, rtol=0, atol=1e-12)
    torch.testing.assert_close(newton_schulz(matrix.mT, 5, 0.0).mT, result, rtol=0, atol=1e-12)
    torch.testing.assert_close(newton_schulz(matrix[None], 5, 0.0)[0], result, rtol=0, atol=1e-12)


def test_a_tall_matrix_moves_further_by_the_root_of_its_ratio() -> None:
    params = cases.toy_params("up", "down")  # (16, 8) and (8, 16)
    wide = cases.gradients(params, steps=1)["layers.0.down"]
    grads = {"layers.0.up": wide.swapaxes(1, 2), "layers.0.down": wide}
    path = drive_jax.path(RULE, cases.problem(params, start=cases.zeros(params), grads=grads))
    tall, wide = path["layers.0.up"][0], path["layers.0.down"][0]
    np.testing.assert_allclose(tall, 2**0.5 * wide.T, atol=1e-13)


def test_levanter_clips_the_adam_parameters_alone() -> None:
    assert Muon().clip_roles == ROLES
    assert "hidden" not in Muon(variant="levanter").clip_roles
    assert set(Muon(variant="levanter").clip_roles) | {"hidden"} == set(ROLES)


def test_state_and_cost() -> None:
    params = describe({"a.q": (10, 10), "head": (20, 10)}, heads=1)
    assert Muon().state_floats(params) == 100 + 2 * 200
    assert Muon().extra_flops(params, 100, 1) == 30 * 10**3 + 12 * 100 + 16 * 200


def test_five_steps_on_a_square_cost_thirty_cubes() -> None:
    assert newton_schulz_flops((10, 10), 5) == 30 * 10**3
    assert newton_schulz_flops((10, 40), 5) == newton_schulz_flops((40, 10), 5) == 5 * (4 * 4000 * 1 + 2000)
