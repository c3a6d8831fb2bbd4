"""Scion against pytorch_optimizer's, and the norms of its steps."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import SCION
from pytorch_optimizer.optimizer.scion import LMONorm
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5

from benchmark.kit import cases, drive_jax, drive_torch
from benchmark.kit.cases import Problem
from optimizers.base import ROLES, describe
from optimizers.scion import Scion

Fixture = Any
RULE = Scion(peak_lr=0.02, weight_decay=0.1, momentum=0.9, head_radius=10.0).replace(
    ns_eps=1e-30
)  # the oracle divides by max(norm, eps): equal where eps vanishes
NORMS = {
    "hidden": (LMONorm.SPECTRAL, {}, 1.0),
    "embedding": (LMONorm.COL, {"transpose": True}, 1.0),
    "head": (LMONorm.SIGN, {}, 10.0),
    "norm": (LMONorm.BIAS, {}, 1.0),
}


def oracle(rule: Scion, toy: Problem, values: drive_torch.Values) -> list[torch.optim.Optimizer]:
    """pytorch_optimizer's SCION; where a role decays in the paper's constrained form, of radius 1 / decay."""
    found = []
    for name, param in toy.params.items():
        norm, options, radius = NORMS[param.role]
        decays = param.role in ("hidden", "head")
        found.append(
            SCION(
                [values[name]],
                lr=rule.peak_lr * (rule.weight_decay if decays else 1.0),
                momentum=1 - rule.momentum,
                constraint=decays,
                norm_type=norm,
                norm_kwargs=options,
                scale=radius / rule.weight_decay if decays else radius,
            )
        )
    return found


@pytest.mark.oracle("pytorch_optimizer.SCION")
def test_follows_the_constrained_form_of_the_paper(
    path: Fixture, assert_close: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = cases.problem()
    actual = path(RULE, toy)
    # the oracle rounds to bfloat16, the last default argument of its Newton-Schulz
    exact = (*(zero_power_via_newton_schulz_5.__defaults__ or ())[:-1], torch.float64)
    monkeypatch.setattr(zero_power_via_newton_schulz_5, "__defaults__", exact)
    expected = drive_torch.oracle_path(lambda values: oracle(RULE, toy, values), toy)
    assert_close(actual, expected, 1e-11)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_jax_and_torch_agree(variant: str, assert_close: Fixture) -> None:
    toy, rule = cases.problem(), RULE.replace(variant=variant)
    assert_close(drive_torch.path(rule, toy), drive_jax.path(rule, toy), 1e-11)


def test_steps_have_the_norm_of_their_layer() -> None:
    params = cases.toy_params("embed", "up", "down", "final_norm", "head")
    toy = cases.problem(params, steps=1, start=cases.zeros(params))
    ratios = {"layers.0.up": 16 / 8, "layers.0.down": 8 / 16}
    for name in ratios:  # singular values in the range where Newton-Schulz ends near 1
        left, _, right = np.linalg.svd(cases.standard_normal(name, params[name].shape), full_matrices=False)
        toy.grads[name][0] = left * np.linspace(1.0, 0.5, 8) @ right
    step = {n: -x[0] / RULE.peak_lr for n, x in drive_jax.path(RULE, toy).items()}
    np.testing.assert_allclose(np.sqrt((step["embed"] ** 2).mean(axis=1)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt((step["final_norm"] ** 2).mean()), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.abs(step["head"]), 10.0 / 8, rtol=1e-12)
    for name, ratio in ratios.items():
        sizes = np.linalg.svd(step[name], compute_uv=False) / ratio**0.5
        assert sizes.min() > 0.68 and sizes.max() < 1.14


def test_a_token_that_has_not_occurred_stays(path: Fixture) -> None:
    toy = cases.problem(cases.toy_params("embed", "head"))
    toy.grads["embed"][:, 3] = 0.0
    points, start = path(RULE, toy)["embed"], toy.start["embed"]
    assert np.array_equal(points[-1, 3], start[3])
    assert np.all(points[-1, 4] != start[4])


def test_levanter_is_signum_outside_hidden_matrices() -> None:
    params = cases.toy_params("embed", "head", "final_norm")
    toy = cases.problem(params, start=cases.zeros(params), fall=0.0)
    rule = RULE.replace(variant="levanter", weight_decay=0.0, beta1=0.8)
    path = drive_jax.path(rule, toy)
    for name, param in params.items():
        m, value = np.zeros(param.shape), np.zeros(param.shape)
        for step, grad in enumerate(toy.grads[name]):
            m = 0.8 * m + 0.2 * grad
            value = value - 0.02 * np.sign(m)
            np.testing.assert_allclose(path[name][step], value, atol=1e-14)


def test_variants_differ_in_clipping_and_in_newton_schulz_steps() -> None:
    params = describe({"a.q": (10, 10)}, heads=1)
    study = Scion(variant="levanter")
    assert Scion().clip_roles == ROLES and "hidden" not in study.clip_roles
    assert study.extra_flops(params, 100, 1) == 60 * 10**3 + 9 * 100
    assert Scion().extra_flops(params, 100, 1) == 30 * 10**3 + 9 * 100
    assert Scion().state_floats(params) == 100
