"""Sophia-H against a numpy twin of Algorithm 3 on a quadratic, whose Hessian is known, and its closed forms."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from optimizers.base import describe
from optimizers.sophia import Sophia

Fixture = Any
SHAPES = {"q": (3, 4), "head": (2, 3), "final_norm": (4,)}
PARAMS = describe(SHAPES, heads=1)
STEPS = 20
SIZE = 22


def hessian(seed: int = 0) -> np.ndarray:
    """Symmetric and indefinite over all coordinates: parameters are coupled, h is negative here and there."""
    a = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    return (a + a.T) / 2 + np.diag(np.linspace(-1.0, 6.0, SIZE))


def quadratic(matrix: np.ndarray, xp: Any) -> Any:
    """x'Ax / 2 over the parameters in one row, for jax or torch."""

    def loss(values: Any) -> Any:
        row = [values[name].reshape(-1) for name in SHAPES]
        x = jnp.concatenate(row) if xp is jnp else torch.cat(row)
        return 0.5 * x @ xp.asarray(matrix) @ x

    return loss


def twin(opt: Sophia, matrix: np.ndarray, normal: Fixture) -> Fixture:
    m, h = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    interval = max(1, STEPS // round(1 / opt.refresh_fraction))

    def refresh(t: int) -> None:
        z = {name: normal(f"noise {name}", (STEPS, *shape))[t - 1] for name, shape in SHAPES.items()}
        product, at = matrix @ np.concatenate([z[name].ravel() for name in SHAPES]), 0
        for name, shape in SHAPES.items():
            size = int(np.prod(shape))
            h[name] = opt.beta2 * h[name] + (1 - opt.beta2) * z[name] * product[at : at + size].reshape(shape)
            at += size

    def rule(grads: Fixture, t: int, values: Fixture) -> Fixture:
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
@pytest.mark.parametrize(("backend", "xp"), [("run_jax", jnp), ("run_torch", torch)])
def test_agrees_with_algorithm_3(
    backend: str,
    xp: Any,
    variant: str,
    request: pytest.FixtureRequest,
    run_numpy: Fixture,
    normal: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    # a refresh every 4 steps; gamma such that some coordinates are clipped and some are not
    opt = Sophia(peak_lr=0.01, gamma=0.5, refresh_fraction=0.2, variant=variant)
    grads, matrix = gradients(SHAPES), hessian()
    sizes: list[float] = []

    def rule(*args: Any) -> Any:
        u = inner(*args)
        sizes.extend(np.abs(np.concatenate([x.ravel() for x in u.values()])))
        return u

    inner = twin(opt, matrix, normal)
    expected = run_numpy(opt, PARAMS, grads, rule)
    assert 0.2 < np.mean(np.array(sizes) == 1.0) < 0.9
    actual = request.getfixturevalue(backend)(opt, PARAMS, grads, loss_fn=quadratic(matrix, xp))
    assert_close(actual, expected, 1e-12)  # rounding


@pytest.mark.parametrize(("backend", "xp"), [("run_jax", jnp), ("run_torch", torch)])
def test_separable_quadratic_estimates_its_own_curvature(
    backend: str,
    xp: Any,
    request: pytest.FixtureRequest,
    normal: Fixture,
    gradients: Fixture,
    initial: Fixture,
) -> None:
    """With H diagonal, z ⊙ (H z) = z² diag(H) exactly; without averaging a step is clip(g / (z² diag(H)))."""
    opt = Sophia(peak_lr=1.0, weight_decay=0.0, gamma=1.0, beta1=0.0, beta2=0.0, refresh_fraction=1.0)
    diagonal = np.linspace(1.0, 4.0, SIZE)
    grads = gradients(SHAPES, steps=1, scale=1e-4)
    path = request.getfixturevalue(backend)(opt, PARAMS, grads, loss_fn=quadratic(np.diag(diagonal), xp))
    at = 0
    for name, shape in SHAPES.items():
        curvature = diagonal[at : at + int(np.prod(shape))].reshape(shape)
        at += int(np.prod(shape))
        estimate = normal(f"noise {name}", (1, *shape))[0] ** 2 * curvature
        expected = initial(PARAMS)[name] - np.clip(grads[name][0] / estimate, -1, 1)
        np.testing.assert_allclose(path[name][0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["run_jax", "run_torch"])
def test_concave_coordinates_make_sign_steps(
    backend: str, request: pytest.FixtureRequest, gradients: Fixture, initial: Fixture
) -> None:
    """Where h < 0 the denominator is eps, so the step is the sign of the momentum."""
    xp = jnp if backend == "run_jax" else torch
    opt = Sophia(peak_lr=0.1, weight_decay=0.0)
    grads = gradients(SHAPES, steps=1)
    loss = quadratic(-np.eye(SIZE), xp)
    path = request.getfixturevalue(backend)(opt, PARAMS, grads, loss_fn=loss)
    for name, start in initial(PARAMS).items():
        np.testing.assert_allclose(path[name][0], start - 0.1 * np.sign(grads[name][0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("backend", "xp"), [("run_jax", jnp), ("run_torch", torch)])
def test_levanter_makes_sign_steps_until_an_interval_is_over(
    backend: str, xp: Any, request: pytest.FixtureRequest, gradients: Fixture, normal: Fixture
) -> None:
    """With H diagonal and no averaging: steps 1 to 4 are signs, 5 to 8 use the estimate made after step 4."""
    rule = {"gamma": 1.0, "beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0, "refresh_fraction": 0.2}
    opt = Sophia(peak_lr=0.01, variant="levanter", **rule)
    grads, diagonal = gradients(SHAPES, scale=1e-2), np.linspace(1.0, 4.0, SIZE)
    loss = quadratic(np.diag(diagonal), xp)
    path = request.getfixturevalue(backend)(opt, PARAMS, grads, loss_fn=loss, multiplier=lambda step: 1.0)
    at = 0
    for name, shape in SHAPES.items():
        curvature = diagonal[at : at + int(np.prod(shape))].reshape(shape)
        at += int(np.prod(shape))
        moves = -np.diff(path[name], axis=0) / 0.01  # of steps 2, 3, ...
        np.testing.assert_allclose(moves[:3], np.sign(grads[name][1:4]), atol=1e-9)
        estimate = normal(f"noise {name}", (STEPS, *shape))[3] ** 2 * curvature
        np.testing.assert_allclose(moves[3:7], np.clip(grads[name][4:8] / estimate, -1, 1), atol=1e-9)


def test_flops_count_the_refreshes() -> None:
    """Half as many refreshes, half the Hessian-vector products; more tokens, dearer ones."""
    often, seldom = Sophia(refresh_fraction=0.01), Sophia(refresh_fraction=0.02)
    products = [
        opt.extra_flops(PARAMS, 1000, 2000) - opt.extra_flops(PARAMS, 1000, 1000) for opt in (often, seldom)
    ]
    assert products == pytest.approx([18 * 18 * 1000 / 10, 18 * 18 * 1000 / 20])


def test_flops_of_levanter_leave_out_the_refresh_that_it_does_not_make() -> None:
    """31 steps in intervals of 15: before steps 1, 16 and 31, or after steps 15 and 30."""
    both = (Sophia(refresh_fraction=0.5), Sophia(refresh_fraction=0.5, variant="levanter"))
    products = [opt.extra_flops(PARAMS, 31, 2000) - opt.extra_flops(PARAMS, 31, 1000) for opt in both]
    assert products == pytest.approx([18 * 18 * 1000 * 3 / 31, 18 * 18 * 1000 * 2 / 31])


def test_without_a_loss_it_says_what_is_missing(run_torch: Fixture, gradients: Fixture) -> None:
    with pytest.raises(ValueError, match=r"set run\.loss_fn before step"):
        run_torch(Sophia(), PARAMS, gradients(SHAPES, steps=1))
