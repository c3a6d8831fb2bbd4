"""Mars against a numpy twin of the paper, and its closed forms: no correction, and a constant gradient."""

from typing import Any

import numpy as np
import pytest

from benchmark.kit import cases, drive_numpy
from benchmark.kit.cases import Arrays, Problem
from optimizers.adamw import AdamW
from optimizers.mars import Mars

Fixture = Any


def twin(opt: Mars, toy: Problem) -> drive_numpy.Rule:
    """The rule as the paper writes it; `levanter` clips all of c together."""
    m, v, previous = (cases.zeros(toy.params) for _ in range(3))

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        c = {}
        for name, g in grads.items():
            c[name] = g + opt.gamma * opt.beta1 / (1 - opt.beta1) * (g - previous[name])
            previous[name] = g
            if opt.variant == "reference":
                c[name] = g if g.ndim == 1 else c[name] / max(1.0, float(np.linalg.norm(c[name])))
        if opt.variant == "levanter":
            joint = np.sqrt(sum(np.sum(x * x) for x in c.values()))
            c = {name: x * min(1.0, toy.clip_norm / joint) for name, x in c.items()}
        u = {}
        for name, x in c.items():
            m[name] = opt.beta1 * m[name] + (1 - opt.beta1) * x
            v[name] = opt.beta2 * v[name] + (1 - opt.beta2) * x * x
            u[name] = m[name] / (1 - opt.beta1**t) / (np.sqrt(v[name] / (1 - opt.beta2**t)) + opt.eps)
        return u

    return rule


def small_gradients(problem: Problem) -> Arrays:
    """The problem's, scaled so that no matrix's norm reaches 1."""
    return {name: 0.3 * g for name, g in problem.grads.items()}


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_agrees_with_the_paper(variant: str, path: Fixture, assert_close: Fixture) -> None:
    opt, toy = Mars(variant=variant, gamma=0.1), cases.problem(clip_norm=3.0)
    # matrices of 64 to 128 coordinates: norms on both sides of 1
    norms = [np.linalg.norm(g, axis=(1, 2)) for g in toy.grads.values() if g.ndim == 3]
    assert np.min(norms) < 1 < np.max(norms)
    expected = drive_numpy.path(twin(opt, toy), toy, opt.peak_lr, opt.weight_decay)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_without_correction_and_clipping_it_is_adamw(
    variant: str, path: Fixture, assert_close: Fixture
) -> None:
    """gamma = 0, norms below 1, and clip_norm = 0, which means off."""
    toy = cases.problem(grads=small_gradients(cases.problem()))
    mars = path(Mars(peak_lr=0.02, gamma=0.0, variant=variant), toy)
    assert_close(mars, path(AdamW(peak_lr=0.02), toy), 1e-12)


def test_only_the_first_step_of_a_constant_gradient_is_corrected(path: Fixture, assert_close: Fixture) -> None:
    """c = (1 + gamma beta1 / (1 - beta1)) g at first, for want of an earlier gradient; then c = g."""
    toy = cases.problem({name: p for name, p in cases.toy_params().items() if p.role == "hidden"})
    constant = {name: np.stack([g[0]] * 6) for name, g in small_gradients(toy).items()}
    boosted = {name: np.concatenate([1.4 * g[:1], g[1:]]) for name, g in constant.items()}  # 1 + .1 x .8 / .2
    mars = path(Mars(peak_lr=0.02, beta1=0.8, gamma=0.1), cases.problem(toy.params, grads=constant))
    adam = path(AdamW(peak_lr=0.02, beta1=0.8), cases.problem(toy.params, grads=boosted))
    assert_close(mars, adam, 1e-12)
