"""Kron against a float64 numpy twin of the papers' equations, pytorch_optimizer's, and what whitening means."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import Kron as KronOracle

from optimizers.base import ROLES, describe
from optimizers.kron import Kron, precondition

Fixture = Any
RULE = Kron(
    peak_lr=0.02,
    weight_decay=0.1,
    beta1=0.9,
    preconditioner_lr=0.1,
    flat_start_fraction=1.0,
    normalize_grads=0,
)
SHAPES = {"embed": (12, 8), "a.q": (8, 8), "a.up": (10, 8), "a.down": (8, 10), "norm": (8,), "head": (12, 8)}
VOCABULARY = 12
BACKENDS = ["run_jax", "run_torch"]


def spectral_bound(matrix: np.ndarray) -> float:
    """The reference's lower bound of a symmetric matrix's norm, from its longest column."""
    column = matrix[:, np.argmax((matrix**2).sum(axis=0))]
    direction = matrix @ column
    return float(np.linalg.norm(matrix @ (direction / np.linalg.norm(direction))))


def twin_fit(factors: list[np.ndarray], grad: np.ndarray, noise: np.ndarray, rate: float) -> list[np.ndarray]:
    """One fit with explicit inverses; every factor is a full matrix, the vocabulary's a diagonal one."""
    left, right = factors
    damped = grad + np.sqrt(np.finfo(np.float32).eps) * np.abs(grad).mean() * noise
    a = left @ damped @ right.T
    b = np.linalg.inv(left).T @ noise @ np.linalg.inv(right)
    fitted = []
    for q, ours, theirs in ((left, a @ a.T, b @ b.T), (right, a.T @ a, b.T @ b)):
        if len(q) == VOCABULARY:
            step = np.diag(np.diag(ours - theirs)) / np.diag(ours + theirs).max()
        else:
            step = np.triu(ours - theirs) / spectral_bound(ours + theirs)
        fitted.append(q - rate * step @ q)
    return fitted


def twin(rule: Kron, grads: np.ndarray, start: np.ndarray, noise: np.ndarray, decay: float) -> np.ndarray:
    """The path of one matrix when every step fits."""
    value, m, path = start.copy(), np.zeros_like(start), []
    factors = [np.eye(d) for d in start.shape]
    for step, grad in enumerate(grads):
        m = rule.beta1 * m + (1 - rule.beta1) * grad
        average = m / (1 - rule.beta1 ** (step + 1))
        factors = twin_fit(factors, average, noise[step], rule.preconditioner_lr)
        left, right = factors
        u = left.T @ left @ average @ right.T @ right
        u = u / max(1.0, np.sqrt((u**2).mean()) / 1.1)
        value = value - rule.peak_lr * (1.0 - 0.5 * step / len(grads)) * (u + decay * value)
        path.append(value)
    return np.stack(path)


@pytest.mark.oracle("numpy twin of the reference")
@pytest.mark.parametrize("backend", BACKENDS)
def test_follows_a_numpy_twin(
    backend: str,
    request: pytest.FixtureRequest,
    gradients: Fixture,
    initial: Fixture,
    normal: Fixture,
    assert_close: Fixture,
) -> None:
    params = describe({name: s for name, s in SHAPES.items() if name != "norm"}, heads=1)
    grads, start = gradients(params), initial(params)
    expected = {
        name: twin(RULE, grads[name], start[name], normal(f"noise {name}", (20, *p.shape)), decay)
        for (name, p), decay in zip(params.items(), (0.0, 0.1, 0.1, 0.1, 0.1), strict=True)
    }
    assert_close(request.getfixturevalue(backend)(RULE, params, grads), expected, 1e-10)


def oracle(rule: Kron, grads: np.ndarray, start: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """pytorch_optimizer's Kron on one parameter, every step fitting, with the given noise."""
    value = torch.nn.Parameter(torch.tensor(start))
    optimizer = KronOracle(
        [value],
        lr=rule.peak_lr,
        momentum=rule.beta1,
        pre_conditioner_update_probability=1.0,
        max_size_triangular=VOCABULARY - 1,
        precondition_dtype=torch.float64,
        balance_prob=0.0,
    )
    path = []
    for step, grad in enumerate(grads):
        optimizer.param_groups[0]["lr"] = rule.peak_lr * (1.0 - 0.5 * step / len(grads))
        value.grad = torch.tensor(grad)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "float32", torch.float64)  # it solves in float32
            patch.setattr(torch, "randn_like", lambda x, dtype=None, step=step: torch.tensor(noise[step]))
            optimizer.step()
        path.append(value.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.oracle("pytorch_optimizer.Kron")
def test_follows_the_oracle(
    run_jax: Fixture, gradients: Fixture, initial: Fixture, normal: Fixture, assert_close: Fixture
) -> None:
    params = describe(SHAPES, heads=1)
    grads, start = gradients(params), initial(params)
    rule = RULE.replace(weight_decay=0.0)
    expected = {
        name: oracle(rule, grads[name], start[name], normal(f"noise {name}", (20, *p.shape)))
        for name, p in params.items()
    }
    # the oracle does not damp: 3.5e-4 of every gradient is noise here, and a step is 0.02
    assert_close(run_jax(rule, params, grads), expected, 1e-4)


@pytest.mark.parametrize("changes", [{}, {"normalize_grads": 1, "block_size": 5}])
def test_jax_and_torch_agree(
    run_jax: Fixture, run_torch: Fixture, gradients: Fixture, assert_close: Fixture, changes: dict[str, int]
) -> None:
    params = describe(SHAPES, heads=1)
    grads = gradients(params, seed=1)
    rule = RULE.replace(flat_start_fraction=0.2, **changes)
    assert_close(run_torch(rule, params, grads), run_jax(rule, params, grads), 1e-10)


def test_balancing_leaves_the_product_alone(
    run_jax: Fixture, run_torch: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    """Over 130 steps both builds balance once; without it the path is the same but for rounding."""
    params = describe({"embed": (12, 8), "a.down": (4, 6)}, heads=1)
    grads = gradients(params, steps=130)
    path = run_jax(RULE, params, grads)
    assert_close(run_torch(RULE, params, grads), path, 1e-9)


def test_without_fits_it_is_the_average_gradient(run_jax: Fixture, gradients: Fixture) -> None:
    params = describe({"a.q": (8, 8)}, heads=1)
    grads = gradients(params, scale=2.0)
    start = {"a.q": np.zeros((8, 8))}
    rule = RULE.replace(preconditioner_lr=0.0)
    path = run_jax(rule, params, grads, start, multiplier=lambda step: 1.0)["a.q"]
    m, decay, previous = np.zeros((8, 8)), rule.peak_lr * rule.weight_decay, start["a.q"]
    for step, grad in enumerate(grads["a.q"]):
        m = 0.9 * m + 0.1 * grad
        average = m / (1 - 0.9 ** (step + 1))
        clipped = average / max(1.0, np.sqrt((average**2).mean()) / 1.1)
        np.testing.assert_allclose(path[step], (1 - decay) * previous - rule.peak_lr * clipped, atol=1e-12)
        previous = path[step]


def test_a_fixed_gradient_is_descended_and_brought_to_size_one(run_jax: Fixture, normal: Fixture) -> None:
    params = describe({"a.q": (8, 8)}, heads=1)
    grads = np.broadcast_to(1e-3 * normal("fixed", (8, 8)), (200, 8, 8))
    start = {"a.q": np.zeros((8, 8))}
    rule = RULE.replace(weight_decay=0.0, preconditioner_lr=0.2)
    path = run_jax(rule, params, {"a.q": grads}, start, multiplier=lambda step: 1.0)["a.q"]
    steps = -np.diff(path, axis=0) / rule.peak_lr
    assert np.all((steps * grads[1:]).sum(axis=(1, 2)) > 0)  # Q^T Q is positive definite
    assert np.sqrt((grads[0] ** 2).mean()) < 2e-3
    assert 0.3 < np.sqrt((steps[-1] ** 2).mean()) <= 1.1 + 1e-6


def test_preconditioning_is_symmetric(float64: None, normal: Fixture) -> None:
    """<x, P y> = <P x, y> for P = QL^T QL kron QR^T QR."""
    factors = {"left": np.triu(normal("left", (1, 4, 4))), "right": np.triu(normal("right", (1, 6, 6)))}
    x, y = normal("x", (1, 4, 6)), normal("y", (1, 4, 6))
    assert np.isclose(np.sum(x * precondition(factors, y)), np.sum(precondition(factors, x) * y), rtol=1e-12)


def fits(rule: Kron, steps: int) -> list[int]:
    """The step indices that fit."""
    found, waited = [], 0
    for step in range(steps):
        waited += 1
        if rule.due(step, steps, waited, np):
            found.append(step)
            waited = 0
    return found


def test_fits_thin_out_to_the_lowest_probability() -> None:
    rule = RULE.replace(flat_start_fraction=0.1, min_update_probability=0.05)
    found = fits(rule, 1000)
    assert found[:101] == list(range(101))
    assert set(np.diff(found)[-5:]) == {20}
    assert np.all(np.diff(np.diff(found)) >= 0)
    # a fraction of the run: twice the steps, twice the flat part
    assert fits(rule, 2000)[:201] == list(range(201))


def test_normalized_gradients_are_not_clipped_as_well() -> None:
    assert Kron(normalize_grads=0).clip_roles == ROLES
    assert Kron(normalize_grads=1).clip_roles == ()


def test_state_and_cost_of_a_square_matrix() -> None:
    params = describe({"a.q": (10, 10)}, heads=1)
    assert RULE.state_floats(params) == 3 * 100
    every_step = 4 * 100 * 10 * 2 + 11 * 100
    assert RULE.extra_flops(params, 50, 1) == pytest.approx(every_step + 7 * 100 * 10 * 2 + 2 * 2 * 10**3)
