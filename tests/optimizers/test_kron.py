"""Kron against a float64 numpy twin of the papers' equations, pytorch_optimizer's, and what whitening means."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import Kron as KronOracle

from benchmark.kit import cases, drive_jax, drive_numpy, drive_torch
from benchmark.kit.cases import Arrays, Problem
from optimizers.base import ROLES, Param, describe
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
PARTS = ("embed", "q", "up", "down", "final_norm", "head")


def spectral_bound(matrix: np.ndarray) -> float:
    """The reference's lower bound of a symmetric matrix's norm, from its longest column."""
    column = matrix[:, np.argmax((matrix**2).sum(axis=0))]
    direction = matrix @ column
    return float(np.linalg.norm(matrix @ (direction / np.linalg.norm(direction))))


def twin_fit(
    factors: list[np.ndarray], grad: np.ndarray, noise: np.ndarray, rate: float, diagonal: bool
) -> list[np.ndarray]:
    """One fit with explicit inverses; every factor is a full matrix, the left one diagonal if it is a
    vocabulary's."""
    left, right = factors
    damped = grad + np.sqrt(np.finfo(np.float32).eps) * np.abs(grad).mean() * noise
    a = left @ damped @ right.T
    b = np.linalg.inv(left).T @ noise @ np.linalg.inv(right)
    fitted = []
    for q, ours, theirs in ((left, a @ a.T, b @ b.T), (right, a.T @ a, b.T @ b)):
        if diagonal and q is left:
            step = np.diag(np.diag(ours - theirs)) / np.diag(ours + theirs).max()
        else:
            step = np.triu(ours - theirs) / spectral_bound(ours + theirs)
        fitted.append(q - rate * step @ q)
    return fitted


def twin(rule: Kron, toy: Problem) -> drive_numpy.Rule:
    """The rule of matrices when every step fits."""
    m = cases.zeros(toy.params)
    factors = {name: [np.eye(d) for d in param.shape] for name, param in toy.params.items()}
    noise = {name: cases.noise(name, toy.steps, param.shape) for name, param in toy.params.items()}

    def directions(grads: Arrays, t: int, values: Arrays) -> Arrays:
        u = {}
        for name, grad in grads.items():
            m[name] = rule.beta1 * m[name] + (1 - rule.beta1) * grad
            average = m[name] / (1 - rule.beta1**t)
            vocabulary = toy.params[name].role in ("embedding", "head")
            fit = (average, noise[name][t - 1], rule.preconditioner_lr, vocabulary)
            left, right = factors[name] = twin_fit(factors[name], *fit)
            white = left.T @ left @ average @ right.T @ right
            u[name] = white / max(1.0, np.sqrt((white**2).mean()) / 1.1)
        return u

    return directions


@pytest.mark.oracle("numpy twin of the reference")
def test_follows_a_numpy_twin(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem(cases.toy_params("embed", "q", "up", "down", "head"))
    expected = drive_numpy.path(twin(RULE, toy), toy, RULE.peak_lr, RULE.weight_decay)
    assert_close(path(RULE, toy), expected, 1e-10)


def oracle(rule: Kron, param: Param) -> Arrays:
    """pytorch_optimizer's Kron on one parameter, every step fitting, with the kit's noise."""
    toy = cases.problem({param.name: param})
    draws = iter(cases.noise(param.name, toy.steps, param.shape))
    options = {
        "lr": rule.peak_lr,
        "momentum": rule.beta1,
        "pre_conditioner_update_probability": 1.0,
        "max_size_triangular": cases.LONG if param.role == "hidden" else cases.WIDTH,
        "precondition_dtype": torch.float64,
        "balance_prob": 0.0,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)  # it solves in float32
        patch.setattr(torch, "randn_like", lambda x, dtype=None: torch.tensor(next(draws)))
        found = drive_torch.oracle_path(lambda values: [KronOracle(values.values(), **options)], toy)
    assert next(draws, None) is None  # one draw a step
    return found


@pytest.mark.oracle("pytorch_optimizer.Kron")
def test_follows_the_oracle(path: Fixture, assert_close: Fixture) -> None:
    toy, rule, expected = cases.problem(cases.toy_params(*PARTS)), RULE.replace(weight_decay=0.0), {}
    for param in toy.params.values():
        expected |= oracle(rule, param)
    # the oracle does not damp: 3.5e-4 of every gradient is noise here, and a step is 0.02
    assert_close(path(rule, toy), expected, 1e-4)


@pytest.mark.parametrize("changes", [{}, {"normalize_grads": 1, "block_size": 4}])
def test_jax_and_torch_agree(assert_close: Fixture, changes: dict[str, int]) -> None:
    toy, rule = cases.problem(cases.toy_params(*PARTS)), RULE.replace(flat_start_fraction=0.2, **changes)
    assert_close(drive_torch.path(rule, toy), drive_jax.path(rule, toy), 1e-10)


def test_balancing_leaves_the_product_alone(assert_close: Fixture) -> None:
    """Over 130 steps both builds balance once; without it the path is the same but for rounding."""
    toy = cases.problem(cases.toy_params("embed", "down"), steps=130)
    assert_close(drive_torch.path(RULE, toy), drive_jax.path(RULE, toy), 1e-9)


def test_without_fits_it_is_the_average_gradient() -> None:
    params = cases.toy_params("q")
    ((name, grads),) = cases.gradients(params).items()
    toy = cases.problem(params, start=cases.zeros(params), grads={name: 20 * grads}, fall=0.0)
    path = drive_jax.path(RULE.replace(preconditioner_lr=0.0), toy)[name]
    m, decay, previous = np.zeros((8, 8)), RULE.peak_lr * RULE.weight_decay, toy.start[name]
    for step, grad in enumerate(toy.grads[name]):
        m = 0.9 * m + 0.1 * grad
        average = m / (1 - 0.9 ** (step + 1))
        clipped = average / max(1.0, np.sqrt((average**2).mean()) / 1.1)
        np.testing.assert_allclose(path[step], (1 - decay) * previous - RULE.peak_lr * clipped, atol=1e-12)
        previous = path[step]


def test_a_fixed_gradient_is_descended_and_brought_to_size_one() -> None:
    params = cases.toy_params("q")
    (name,) = params
    grads = np.broadcast_to(1e-3 * cases.standard_normal("fixed", (8, 8)), (200, 8, 8))
    toy = cases.problem(params, start=cases.zeros(params), grads={name: grads}, fall=0.0)
    rule = RULE.replace(weight_decay=0.0, preconditioner_lr=0.2)
    steps = -np.diff(drive_jax.path(rule, toy)[name], axis=0) / rule.peak_lr
    assert np.all((steps * grads[1:]).sum(axis=(1, 2)) > 0)  # Q^T Q is positive definite
    assert np.sqrt((grads[0] ** 2).mean()) < 2e-3
    assert 0.3 < np.sqrt((steps[-1] ** 2).mean()) <= 1.1 + 1e-6


def test_preconditioning_is_symmetric() -> None:
    """<x, P y> = <P x, y> for P = QL^T QL kron QR^T QR."""
    normal = cases.standard_normal
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
