"""Muon against torch's own (rounding to bfloat16 switched off), and Newton-Schulz against what it must do."""

from typing import Any

import numpy as np
import pytest
import torch

from optimizers.base import ROLES, describe
from optimizers.muon import Muon
from optimizers.shared.matrix import newton_schulz, newton_schulz_flops

Fixture = Any
SHAPES = {"embed": (12, 8), "a.q": (8, 8), "a.up": (20, 8), "a.down": (8, 20), "norm": (8,), "head": (12, 8)}
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


def oracle(rule: Muon, params: Fixture, grads: Fixture, start: Fixture) -> dict[str, np.ndarray]:
    """torch.optim.Muon for hidden matrices, torch.optim.AdamW for the others, with the fixtures' schedule."""
    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    hidden = [values[n] for n, p in params.items() if p.role == "hidden"]
    decayed = [values["head"]]
    rest = [values[n] for n, p in params.items() if p.role in ("embedding", "norm")]
    muon = torch.optim.Muon(
        hidden, lr=rule.peak_lr, weight_decay=rule.weight_decay, momentum=rule.momentum, eps=rule.ns_eps
    )
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": rule.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=rule.peak_lr,
        betas=(rule.beta1, rule.beta2),
        eps=rule.eps,
    )
    steps, path = len(grads["embed"]), {name: [] for name in values}
    for step in range(steps):
        factor = 1.0 - 0.5 * step / steps
        muon.param_groups[0]["lr"] = rule.peak_lr * factor
        for group in adam.param_groups:
            group["lr"] = rule.peak_lr * factor
        for name, value in values.items():
            value.grad = torch.tensor(grads[name][step])
        muon.step()
        adam.step()
        for name, value in values.items():
            path[name].append(value.detach().numpy().copy())
    return {name: np.stack(points) for name, points in path.items()}


@pytest.mark.oracle("torch.optim.Muon")
def test_both_builds_follow_torch(
    run_jax: Fixture,
    run_torch: Fixture,
    gradients: Fixture,
    initial: Fixture,
    assert_close: Fixture,
    exact_bfloat16: None,
) -> None:
    params = describe(SHAPES, heads=1)
    grads, start = gradients(params), initial(params)
    expected = oracle(RULE, params, grads, start)
    assert_close(run_jax(RULE, params, grads), expected, 1e-11)
    assert_close(run_torch(RULE, params, grads), expected, 1e-11)


def test_jax_and_torch_agree(
    run_jax: Fixture, run_torch: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    params = describe(SHAPES, heads=1)
    grads = gradients(params, seed=1)
    for rule in (RULE, RULE.replace(variant="levanter", ns_eps=1e-5)):
        assert_close(run_torch(rule, params, grads), run_jax(rule, params, grads), 1e-12)


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


def test_a_tall_matrix_moves_further_by_the_root_of_its_ratio(run_jax: Fixture, gradients: Fixture) -> None:
    params = describe({"a.down": (8, 32), "a.up": (32, 8)}, heads=1)
    wide = gradients({"a.down": (8, 32)}, steps=1)["a.down"]
    grads = {"a.down": wide, "a.up": wide.swapaxes(1, 2)}
    start = {name: np.zeros(p.shape) for name, p in params.items()}
    path = run_jax(RULE, params, grads, start)
    np.testing.assert_allclose(path["a.up"][0], 2 * path["a.down"][0].T, atol=1e-13)


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
