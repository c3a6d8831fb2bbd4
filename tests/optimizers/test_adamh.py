"""AdamH against its equations in numpy, and what a step on a sphere must do."""

from typing import Any

import numpy as np
import pytest

from benchmark.kit import cases, drive_numpy, drive_torch
from benchmark.kit.cases import Arrays
from optimizers.adamh import AdamH
from optimizers.base import describe

Fixture = Any
RULE = AdamH(peak_lr=0.05, head_decay=0.3, beta1=0.8, beta2=0.9, eps=1e-9)
TOY = cases.problem()
NORMS = {n: float(np.sqrt(np.sum(x**2))) for n, x in TOY.start.items()}


def equations() -> drive_numpy.Rule:
    """arXiv 2606.16899 with Adam's direction; the driver subtracts lr times what is returned."""
    m: Arrays = {name: np.zeros_like(x) for name, x in TOY.start.items()}
    v: Arrays = {name: np.zeros_like(x) for name, x in TOY.start.items()}

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        lr, found = RULE.peak_lr * TOY.multiplier(t - 1), {}
        for name, value in values.items():
            m[name] = 0.8 * m[name] + 0.2 * grads[name]
            v[name] = 0.9 * v[name] + 0.1 * np.square(grads[name])
            u = m[name] / (1 - 0.8**t) / (np.sqrt(v[name] / (1 - 0.9**t)) + 1e-9)
            if TOY.params[name].role == "hidden":
                step = value - lr * NORMS[name] / np.linalg.norm(u) * u
                u = (value - step * NORMS[name] / np.linalg.norm(step)) / lr
            found[name] = u + 0.3 * value if name == "head" else u
        return found

    return rule


@pytest.mark.oracle("arXiv 2606.16899 in numpy")
def test_follows_its_equations_on_spheres(path: Fixture, assert_close: Fixture) -> None:
    points = path(RULE, TOY)
    assert_close(points, drive_numpy.path(equations(), TOY, RULE.peak_lr, 0.0), 1e-12)
    for name, param in TOY.params.items():
        if param.role == "hidden":
            np.testing.assert_allclose(np.sqrt((points[name] ** 2).sum(axis=(1, 2))), NORMS[name], rtol=1e-13)


def test_a_step_is_an_angle() -> None:
    """Matrices three times as large, under the same gradients, make the same turns."""
    larger = cases.problem(start={name: 3 * x for name, x in TOY.start.items()})
    small, large = drive_torch.path(RULE, TOY), drive_torch.path(RULE, larger)
    for name, param in TOY.params.items():
        if param.role == "hidden":
            np.testing.assert_allclose(large[name], 3 * small[name], rtol=0, atol=1e-12)


def test_a_matrix_of_zeros_stays() -> None:
    params = cases.toy_params("q", "k", "head")
    start = cases.starting_values(params) | {"layers.0.q": np.zeros((8, 8))}
    points = drive_torch.path(RULE, cases.problem(params, steps=4, start=start))
    assert np.all(points["layers.0.q"] == 0) and all(np.isfinite(x).all() for x in points.values())


def test_state_and_cost() -> None:
    params = describe({"a.q": (10, 10), "head": (20, 10)}, heads=1)
    assert AdamH().state_floats(params) == 2 * 300 + 1
    assert AdamH().extra_flops(params, 100, 1) == 21 * 100 + 16 * 200
