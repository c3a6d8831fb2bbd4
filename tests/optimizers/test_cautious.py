"""Cautious AdamW against a numpy twin of the paper; the closed forms mask nothing, and everything."""

from typing import Any

import numpy as np
import pytest

from benchmark.kit import cases, drive_numpy
from benchmark.kit.cases import Arrays
from optimizers.adamw import AdamW
from optimizers.cautious import Cautious

Fixture = Any


@pytest.mark.oracle("numpy twin of the paper")
@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_agrees_with_the_paper(variant: str, path: Fixture, assert_close: Fixture) -> None:
    # eps large enough for the variants to be told apart: the mean mask is about 0.7
    opt, toy = Cautious(variant=variant, eps=1e-3), cases.problem()
    m, v = cases.zeros(toy.params), cases.zeros(toy.params)

    def rule(grads: Arrays, t: int, values: Arrays) -> Arrays:
        u = {}
        for name, g in grads.items():
            m[name] = opt.beta1 * m[name] + (1 - opt.beta1) * g
            v[name] = opt.beta2 * v[name] + (1 - opt.beta2) * g * g
            adam = m[name] / (1 - opt.beta1**t) / (np.sqrt(v[name] / (1 - opt.beta2**t)) + opt.eps)
            mask = adam * g > 0
            share = max(mask.mean(), 1e-3) if variant == "reference" else mask.mean() + opt.eps
            u[name] = np.where(mask, adam, 0.0) / share
        return u

    expected = drive_numpy.path(rule, toy, opt.peak_lr, opt.weight_decay)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


def test_agreement_everywhere_is_adamw(path: Fixture, assert_close: Fixture) -> None:
    """Gradients that keep their sign mask nothing."""
    grads = {name: np.abs(g) + 0.01 for name, g in cases.problem().grads.items()}
    toy = cases.problem(grads=grads)
    assert_close(path(Cautious(), toy), path(AdamW(), toy), 1e-12)


def test_disagreement_everywhere_leaves_decay_alone(path: Fixture) -> None:
    """A small gradient of the other sign does not turn the momentum: only decay acts, and it is not masked."""
    params = cases.toy_params()
    grads = {name: np.stack([np.ones(p.shape), np.full(p.shape, -1e-3)]) for name, p in params.items()}
    toy = cases.problem(grads=grads, fall=0.0)
    for name, points in path(Cautious(peak_lr=0.1, weight_decay=0.5), toy).items():
        keep = 0.95 if params[name].role in ("hidden", "head") else 1.0
        np.testing.assert_allclose(points[1], keep * points[0], rtol=1e-12)
        assert np.all(points[0] != toy.start[name])
