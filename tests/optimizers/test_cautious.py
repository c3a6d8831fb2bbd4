"""Cautious AdamW against a numpy twin of the paper; the closed forms mask nothing, and everything."""

from typing import Any

import numpy as np
import pytest

from optimizers.adamw import AdamW
from optimizers.cautious import Cautious

Fixture = Any
BACKENDS = ["run_jax", "run_torch"]


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize("variant", ["reference", "levanter"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_the_paper(
    backend: str,
    variant: str,
    request: pytest.FixtureRequest,
    run_numpy: Fixture,
    toy_params: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    # eps large enough for the variants to be told apart: the mean mask is about 0.7
    opt, params = Cautious(variant=variant, eps=1e-3), toy_params()
    grads = gradients(params)
    m, v = ({name: np.zeros(p.shape) for name, p in params.items()} for _ in range(2))

    def rule(grads: Fixture, t: int, values: Fixture) -> Fixture:
        u = {}
        for name, g in grads.items():
            m[name] = opt.beta1 * m[name] + (1 - opt.beta1) * g
            v[name] = opt.beta2 * v[name] + (1 - opt.beta2) * g * g
            adam = m[name] / (1 - opt.beta1**t) / (np.sqrt(v[name] / (1 - opt.beta2**t)) + opt.eps)
            mask = adam * g > 0
            share = max(mask.mean(), 1e-3) if variant == "reference" else mask.mean() + opt.eps
            u[name] = np.where(mask, adam, 0.0) / share
        return u

    actual = request.getfixturevalue(backend)(opt, params, grads)
    assert_close(actual, run_numpy(opt, params, grads, rule), 1e-12)  # rounding


@pytest.mark.parametrize("backend", BACKENDS)
def test_agreement_everywhere_is_adamw(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    """Gradients that keep their sign mask nothing."""
    params, run = toy_params(), request.getfixturevalue(backend)
    grads = {name: np.abs(g) + 0.01 for name, g in gradients(params).items()}
    assert_close(run(Cautious(), params, grads), run(AdamW(), params, grads), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_disagreement_everywhere_leaves_decay_alone(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, initial: Fixture
) -> None:
    """A small gradient of the other sign does not turn the momentum: only decay acts, and it is not masked."""
    params = toy_params()
    opt = Cautious(peak_lr=0.1, weight_decay=0.5)
    grads = {name: np.stack([np.ones(p.shape), np.full(p.shape, -1e-3)]) for name, p in params.items()}
    path = request.getfixturevalue(backend)(opt, params, grads, multiplier=lambda step: 1.0)
    for name, points in path.items():
        keep = 0.95 if params[name].role in ("hidden", "head") else 1.0
        np.testing.assert_allclose(points[1], keep * points[0], rtol=1e-12)
        assert np.all(points[0] != initial(params)[name])
