"""Mars against a numpy twin of the paper, and its closed forms: no correction, and a constant gradient."""

from typing import Any

import numpy as np
import pytest

from optimizers.adamw import AdamW
from optimizers.mars import Mars

Fixture = Any
BACKENDS = ["run_jax", "run_torch"]


def twin(opt: Mars, params: Fixture, clip_norm: float) -> Fixture:
    """The rule as the paper writes it; `levanter` clips all of c together."""
    m, v, previous = ({name: np.zeros(p.shape) for name, p in params.items()} for _ in range(3))

    def rule(grads: Fixture, t: int, values: Fixture) -> Fixture:
        c = {}
        for name, g in grads.items():
            c[name] = g + opt.gamma * opt.beta1 / (1 - opt.beta1) * (g - previous[name])
            previous[name] = g
            if opt.variant == "reference":
                c[name] = g if g.ndim == 1 else c[name] / max(1.0, float(np.linalg.norm(c[name])))
        if opt.variant == "levanter":
            joint = np.sqrt(sum(np.sum(x * x) for x in c.values()))
            c = {name: x * min(1.0, clip_norm / joint) for name, x in c.items()}
        u = {}
        for name, x in c.items():
            m[name] = opt.beta1 * m[name] + (1 - opt.beta1) * x
            v[name] = opt.beta2 * v[name] + (1 - opt.beta2) * x * x
            u[name] = m[name] / (1 - opt.beta1**t) / (np.sqrt(v[name] / (1 - opt.beta2**t)) + opt.eps)
        return u

    return rule


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
    opt, params = Mars(variant=variant, gamma=0.1), toy_params()
    grads = gradients(params, scale=0.1)  # matrices of 64 to 160 coordinates: norms on both sides of 1
    norms = [np.linalg.norm(g, axis=(1, 2)) for g in grads.values() if g.ndim == 3]
    assert np.min(norms) < 1 < np.max(norms)
    actual = request.getfixturevalue(backend)(opt, params, grads, clip_norm=3.0)
    assert_close(actual, run_numpy(opt, params, grads, twin(opt, params, 3.0)), 1e-12)  # rounding


@pytest.mark.parametrize("variant", ["reference", "levanter"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_without_correction_and_clipping_it_is_adamw(
    backend: str,
    variant: str,
    request: pytest.FixtureRequest,
    toy_params: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    """gamma = 0, norms below 1, and clip_norm = 0, which means off."""
    params, run = toy_params(), request.getfixturevalue(backend)
    grads = gradients(params, scale=0.03)
    mars = run(Mars(peak_lr=0.02, gamma=0.0, variant=variant), params, grads, clip_norm=0.0)
    assert_close(mars, run(AdamW(peak_lr=0.02), params, grads), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_first_step_of_a_constant_gradient_is_corrected(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    """c = (1 + gamma beta1 / (1 - beta1)) g at first, for want of an earlier gradient; then c = g."""
    params = {name: p for name, p in toy_params().items() if p.role == "hidden"}
    opt, run = Mars(peak_lr=0.02, beta1=0.8, gamma=0.1), request.getfixturevalue(backend)
    constant = {name: np.stack([g[0]] * 6) for name, g in gradients(params, scale=0.03).items()}
    boosted = {name: np.concatenate([1.4 * g[:1], g[1:]]) for name, g in constant.items()}  # 1 + .1 x .8 / .2
    assert_close(run(opt, params, constant), run(AdamW(peak_lr=0.02, beta1=0.8), params, boosted), 1e-12)
