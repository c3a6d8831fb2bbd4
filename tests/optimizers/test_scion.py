"""Scion against pytorch_optimizer's, and the norms of its steps."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import SCION
from pytorch_optimizer.optimizer.scion import LMONorm
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5

from optimizers.base import ROLES, describe
from optimizers.scion import Scion

Fixture = Any
SHAPES = {"embed": (12, 8), "a.q": (8, 8), "a.up": (20, 8), "a.down": (8, 20), "norm": (8,), "head": (12, 8)}
RULE = Scion(peak_lr=0.02, weight_decay=0.1, momentum=0.9, head_radius=10.0).replace(
    ns_eps=1e-30
)  # the oracle divides by max(norm, eps): equal where eps vanishes
BACKENDS = ["run_jax", "run_torch"]
NORMS = {
    "hidden": (LMONorm.SPECTRAL, {}, 1.0),
    "embedding": (LMONorm.COL, {"transpose": True}, 1.0),
    "head": (LMONorm.SIGN, {}, 10.0),
    "norm": (LMONorm.BIAS, {}, 1.0),
}


def oracle(rule: Scion, params: Fixture, grads: Fixture, start: Fixture) -> dict[str, np.ndarray]:
    """pytorch_optimizer's SCION; where a role decays in the paper's constrained form, of radius 1 / decay."""
    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    optimizers = {}
    for name, param in params.items():
        norm, options, radius = NORMS[param.role]
        decays = param.role in ("hidden", "head")
        optimizers[name] = SCION(
            [values[name]],
            lr=rule.peak_lr * (rule.weight_decay if decays else 1.0),
            momentum=1 - rule.momentum,
            constraint=decays,
            norm_type=norm,
            norm_kwargs=options,
            scale=radius / rule.weight_decay if decays else radius,
        )
    steps, path = len(grads["embed"]), {name: [] for name in values}
    peaks = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
    for step in range(steps):
        for name, optimizer in optimizers.items():
            optimizer.param_groups[0]["lr"] = peaks[name] * (1.0 - 0.5 * step / steps)
            values[name].grad = torch.tensor(grads[name][step])
            optimizer.step()
            path[name].append(values[name].detach().numpy().copy())
    return {name: np.stack(points) for name, points in path.items()}


@pytest.mark.oracle("pytorch_optimizer.SCION")
@pytest.mark.parametrize("backend", BACKENDS)
def test_follows_the_constrained_form_of_the_paper(
    backend: str,
    request: pytest.FixtureRequest,
    gradients: Fixture,
    initial: Fixture,
    assert_close: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = describe(SHAPES, heads=1)
    grads, start = gradients(params), initial(params)
    actual = request.getfixturevalue(backend)(RULE, params, grads)
    # the oracle rounds to bfloat16, the last default argument of its Newton-Schulz
    exact = (*(zero_power_via_newton_schulz_5.__defaults__ or ())[:-1], torch.float64)
    monkeypatch.setattr(zero_power_via_newton_schulz_5, "__defaults__", exact)
    assert_close(actual, oracle(RULE, params, grads, start), 1e-11)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_jax_and_torch_agree(
    run_jax: Fixture,
    run_torch: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
    variant: str,
) -> None:
    params = describe(SHAPES, heads=1)
    grads = gradients(params, seed=1)
    rule = RULE.replace(variant=variant)
    assert_close(run_torch(rule, params, grads), run_jax(rule, params, grads), 1e-11)


def test_steps_have_the_norm_of_their_layer(run_jax: Fixture, gradients: Fixture, normal: Fixture) -> None:
    params = describe({"embed": (12, 8), "a.up": (18, 8), "a.down": (8, 18), "norm": (8,), "head": (12, 8)}, 1)
    grads = gradients(params, steps=1)
    for name in ("a.up", "a.down"):  # singular values in the range where Newton-Schulz ends near 1
        left, _, right = np.linalg.svd(normal(name, params[name].shape), full_matrices=False)
        grads[name][0] = left * np.linspace(1.0, 0.5, 8) @ right
    zeros = {name: np.zeros(p.shape) for name, p in params.items()}
    step = {n: -x[0] / RULE.peak_lr for n, x in run_jax(RULE, params, grads, zeros).items()}
    np.testing.assert_allclose(np.sqrt((step["embed"] ** 2).mean(axis=1)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt((step["norm"] ** 2).mean()), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.abs(step["head"]), 10.0 / 8, rtol=1e-12)
    for name, factor in (("a.up", (18 / 8) ** 0.5), ("a.down", (8 / 18) ** 0.5)):
        sizes = np.linalg.svd(step[name], compute_uv=False) / factor
        assert sizes.min() > 0.68 and sizes.max() < 1.14


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_that_has_not_occurred_stays(
    backend: str, request: pytest.FixtureRequest, gradients: Fixture, initial: Fixture
) -> None:
    params = describe({"embed": (12, 8), "head": (12, 8)}, heads=1)
    grads, start = gradients(params), initial(params)
    grads["embed"][:, 3] = 0.0
    path = request.getfixturevalue(backend)(RULE, params, grads)
    assert np.array_equal(path["embed"][-1, 3], start["embed"][3])
    assert np.all(path["embed"][-1, 4] != start["embed"][4])


def test_levanter_is_signum_outside_hidden_matrices(run_jax: Fixture, gradients: Fixture) -> None:
    params = describe({"embed": (12, 8), "head": (12, 8), "norm": (8,)}, heads=1)
    grads = gradients(params)
    rule = RULE.replace(variant="levanter", weight_decay=0.0, beta1=0.8)
    zeros = {name: np.zeros(p.shape) for name, p in params.items()}
    path = run_jax(rule, params, grads, zeros, multiplier=lambda step: 1.0)
    for name in params:
        m, value = np.zeros(params[name].shape), np.zeros(params[name].shape)
        for step, grad in enumerate(grads[name]):
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
