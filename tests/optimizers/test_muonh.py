"""MuonH against its equations in numpy, and where it takes the radius of a sphere from."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmark.kit import cases, drive_numpy
from benchmark.kit.cases import Arrays
from optimizers.base import Run, describe
from optimizers.muonh import MuonH

Fixture = Any
RULE = MuonH(peak_lr=0.05, head_decay=0.3, momentum=0.9, beta1=0.8, beta2=0.95, eps=1e-9, ns_eps=0.0)
TOY = cases.problem()


def orthogonalised(matrix: np.ndarray) -> np.ndarray:
    """Five Newton-Schulz steps, through the singular values that they move."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    sizes = sizes / np.sqrt(np.sum(sizes**2))
    for _ in range(5):
        sizes = 3.4445 * sizes - 4.775 * sizes**3 + 2.0315 * sizes**5
    return (left * sizes) @ right


def equations() -> drive_numpy.Rule:
    """arXiv 2606.16899 with Muon's direction; the driver subtracts lr times what is returned."""
    first: Arrays = {name: np.zeros_like(x) for name, x in TOY.start.items()}
    second: Arrays = {name: np.zeros_like(x) for name, x in TOY.start.items()}

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        lr, found = RULE.peak_lr * TOY.multiplier(t - 1), {}
        for name, value in values.items():
            grad = grads[name]
            if TOY.params[name].role == "hidden":
                first[name] = 0.9 * first[name] + grad
                u = orthogonalised(grad + 0.9 * first[name])
                radius = np.linalg.norm(TOY.start[name])
                step = value - lr * radius / np.linalg.norm(u) * u
                found[name] = (value - step * radius / np.linalg.norm(step)) / lr
            else:
                first[name] = 0.8 * first[name] + 0.2 * grad
                second[name] = 0.95 * second[name] + 0.05 * np.square(grad)
                u = first[name] / (1 - 0.8**t) / (np.sqrt(second[name] / (1 - 0.95**t)) + 1e-9)
                found[name] = u + 0.3 * value if name == "head" else u
        return found

    return rule


@pytest.mark.oracle("arXiv 2606.16899 in numpy")
def test_follows_its_equations(path: Fixture, assert_close: Fixture) -> None:
    assert_close(path(RULE, TOY), drive_numpy.path(equations(), TOY, RULE.peak_lr, 0.0), 1e-11)


def test_the_radius_is_that_of_the_start_and_part_of_the_state() -> None:
    """However a matrix came to be as large as it is, a step puts it back where it started."""
    params = cases.toy_params("up", "head")
    run = Run(params, 10, lambda step: 1.0, lambda *_: None)
    start, grads = cases.starting_values(params), {n: g[0] for n, g in cases.gradients(params).items()}
    radius = np.linalg.norm(start["layers.0.up"])

    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    for name, value in values.items():
        value.grad = torch.tensor(grads[name])
    rule = RULE.build_torch(values, run)
    rule.step()
    again = RULE.build_torch(values, run)
    again.load_state_dict(rule.state_dict())
    with torch.no_grad():
        values["layers.0.up"].mul_(2.0)
    again.step()
    np.testing.assert_allclose(np.linalg.norm(values["layers.0.up"].detach().numpy()), radius, rtol=1e-12)

    with jax.enable_x64(True):
        rule: Any = RULE.build_jax(run)
        state = rule.init({name: jnp.asarray(x) for name, x in start.items()})
        double = {name: jnp.asarray(2 * x) for name, x in start.items()}
        moves, _ = rule.update({name: jnp.asarray(g) for name, g in grads.items()}, state, double)
        moved = np.asarray(double["layers.0.up"] + moves["layers.0.up"])
    np.testing.assert_allclose(np.linalg.norm(moved), radius, rtol=1e-12)


def test_state_and_cost() -> None:
    params = describe({"a.q": (10, 10), "head": (20, 10)}, heads=1)
    assert MuonH().state_floats(params) == 100 + 1 + 2 * 200
    assert MuonH().extra_flops(params, 100, 1) == 30 * 10**3 + 16 * 100 + 16 * 200
