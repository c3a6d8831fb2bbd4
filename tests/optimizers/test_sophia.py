"""Sophia-H against a numpy twin of Algorithm 3 on a quadratic, whose Hessian is known, and its closed forms."""

from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmark.kit import cases, drive_jax, drive_numpy, drive_torch
from benchmark.kit.cases import STEPS, Arrays
from optimizers.sophia import Sophia

Fixture = Any
PARAMS = cases.toy_params("q", "head", "final_norm")
MATRICES = 8 * 8 + 16 * 8
SIZE = MATRICES + 8
in_both = pytest.mark.parametrize(
    ("driver", "xp"), [(drive_jax, jnp), (drive_torch, torch)], ids=["jax", "torch"]
)


def hessian() -> np.ndarray:
    """Symmetric and indefinite over all coordinates: parameters are coupled, h is negative here and there."""
    a = np.random.default_rng(0).standard_normal((SIZE, SIZE))
    return 2 * (a + a.T) / SIZE**0.5 + np.diag(np.linspace(-1.0, 6.0, SIZE))


def by_name(row: np.ndarray) -> Arrays:
    """Cut a row of all coordinates into parameters."""
    ends = np.cumsum([param.size for param in PARAMS.values()])[:-1]
    parts = np.split(row, ends)
    return {name: x.reshape(p.shape) for (name, p), x in zip(PARAMS.items(), parts, strict=True)}


def quadratic(matrix: np.ndarray, xp: Any) -> Any:
    """x'Ax / 2 over the parameters in one row, for jax or torch."""

    def loss(values: Any) -> Any:
        row = [values[name].reshape(-1) for name in PARAMS]
        x = jnp.concatenate(row) if xp is jnp else torch.cat(row)
        return 0.5 * x @ xp.asarray(matrix) @ x

    return loss


def twin(opt: Sophia, matrix: np.ndarray) -> drive_numpy.Rule:
    m, h = cases.zeros(PARAMS), cases.zeros(PARAMS)
    noise = {name: cases.noise(name, STEPS, p.shape) for name, p in PARAMS.items()}
    interval = max(1, STEPS // round(1 / opt.refresh_fraction))

    def refresh(t: int) -> None:
        z = {name: draws[t - 1] for name, draws in noise.items()}
        product = by_name(matrix @ np.concatenate([x.ravel() for x in z.values()]))
        for name in PARAMS:
            h[name] = opt.beta2 * h[name] + (1 - opt.beta2) * z[name] * product[name]

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        due = (t - 1 if opt.variant == "reference" else t) % interval == 0
        if due and opt.variant == "reference":
            refresh(t)
        u = {}
        for name, g in grads.items():
            m[name] = opt.beta1 * m[name] + (1 - opt.beta1) * g
            top = m[name] if opt.variant == "reference" else m[name] / (1 - opt.beta1**t)
            u[name] = np.clip(top / np.maximum(opt.gamma * h[name], opt.eps), -1, 1)
        if due and opt.variant == "levanter":
            refresh(t)
        return u

    return rule


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize("variant", ["reference", "levanter"])
@in_both
def test_agrees_with_algorithm_3(driver: ModuleType, xp: Any, variant: str, assert_close: Fixture) -> None:
    # a refresh every 4 steps; gamma such that some coordinates are clipped and some are not
    opt = Sophia(peak_lr=0.01, gamma=0.5, refresh_fraction=0.2, variant=variant)
    matrix, sizes = hessian(), []
    inner = twin(opt, matrix)

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        u = inner(grads, t, values)
        sizes.extend(np.abs(np.concatenate([x.ravel() for x in u.values()])))
        return u

    toy = cases.problem(PARAMS, loss_fn=quadratic(matrix, xp))
    expected = drive_numpy.path(rule, toy, opt.peak_lr, opt.weight_decay)
    assert 0.2 < np.mean(np.array(sizes) == 1.0) < 0.9
    assert_close(driver.path(opt, toy), expected, 1e-12)  # rounding


@in_both
def test_separable_quadratic_estimates_its_own_curvature(driver: ModuleType, xp: Any) -> None:
    """With H diagonal, z ⊙ (H z) = z² diag(H) exactly; without averaging a step is clip(g / (z² diag(H)))."""
    opt = Sophia(peak_lr=1.0, weight_decay=0.0, gamma=1.0, beta1=0.0, beta2=0.0, refresh_fraction=1.0)
    diagonal = np.linspace(1.0, 4.0, SIZE)
    grads = {name: 1e-3 * g for name, g in cases.gradients(PARAMS, steps=1).items()}
    toy = cases.problem(PARAMS, grads=grads, loss_fn=quadratic(np.diag(diagonal), xp))
    path = driver.path(opt, toy)
    for name, curvature in by_name(diagonal).items():
        estimate = cases.noise(name, 1, curvature.shape)[0] ** 2 * curvature
        expected = toy.start[name] - np.clip(grads[name][0] / estimate, -1, 1)
        np.testing.assert_allclose(path[name][0], expected, rtol=0, atol=1e-12)


@in_both
def test_concave_coordinates_make_sign_steps(driver: ModuleType, xp: Any) -> None:
    """Where h < 0 the denominator is eps, so the step is the sign of the momentum."""
    toy = cases.problem(PARAMS, steps=1, loss_fn=quadratic(-np.eye(SIZE), xp))
    path = driver.path(Sophia(peak_lr=0.1, weight_decay=0.0), toy)
    for name, start in toy.start.items():
        expected = start - 0.1 * np.sign(toy.grads[name][0])
        np.testing.assert_allclose(path[name][0], expected, rtol=0, atol=1e-12)


@in_both
def test_levanter_makes_sign_steps_until_an_interval_is_over(driver: ModuleType, xp: Any) -> None:
    """With H diagonal and no averaging: steps 1 to 4 are signs, 5 to 8 use the estimate made after step 4."""
    rule = {"gamma": 1.0, "beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0, "refresh_fraction": 0.2}
    opt = Sophia(peak_lr=0.01, variant="levanter", **rule)
    diagonal = np.linspace(1.0, 4.0, SIZE)
    grads = {name: 0.1 * g for name, g in cases.gradients(PARAMS).items()}
    toy = cases.problem(PARAMS, grads=grads, fall=0.0, loss_fn=quadratic(np.diag(diagonal), xp))
    path = driver.path(opt, toy)
    for name, curvature in by_name(diagonal).items():
        moves = -np.diff(path[name], axis=0) / 0.01  # of steps 2, 3, ...
        np.testing.assert_allclose(moves[:3], np.sign(grads[name][1:4]), atol=1e-9)
        estimate = cases.noise(name, STEPS, curvature.shape)[3] ** 2 * curvature
        np.testing.assert_allclose(moves[3:7], np.clip(grads[name][4:8] / estimate, -1, 1), atol=1e-9)


def test_flops_count_the_refreshes() -> None:
    """Half as many refreshes, half the Hessian-vector products; more tokens, dearer ones."""
    often, seldom = Sophia(refresh_fraction=0.01), Sophia(refresh_fraction=0.02)
    products = [
        opt.extra_flops(PARAMS, 1000, 2000) - opt.extra_flops(PARAMS, 1000, 1000) for opt in (often, seldom)
    ]
    assert products == pytest.approx([18 * MATRICES * 1000 / 10, 18 * MATRICES * 1000 / 20])


def test_flops_of_levanter_leave_out_the_refresh_that_it_does_not_make() -> None:
    """31 steps in intervals of 15: before steps 1, 16 and 31, or after steps 15 and 30."""
    both = (Sophia(refresh_fraction=0.5), Sophia(refresh_fraction=0.5, variant="levanter"))
    products = [opt.extra_flops(PARAMS, 31, 2000) - opt.extra_flops(PARAMS, 31, 1000) for opt in both]
    assert products == pytest.approx([18 * MATRICES * 1000 * 3 / 31, 18 * MATRICES * 1000 * 2 / 31])


def test_without_a_loss_it_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"set run\.loss_fn before step"):
        drive_torch.path(Sophia(), cases.problem(PARAMS, loss_fn=None))
