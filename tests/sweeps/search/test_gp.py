"""The Gaussian process against scikit-learn's, where that is installed, and what it must know by itself."""

import numpy as np
import pytest

from sweeps.search import gp

RNG = np.random.default_rng(3)
POINTS = RNG.random((14, 3))
LOSSES = 3.5 + 0.2 * ((POINTS - 0.4) ** 2).sum(1) + RNG.normal(0, 0.01, 14)


def test_mean_and_spread_are_an_independent_implementation_s():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    kernels = gaussian_process.kernels
    model = gp.fit(POINTS, LOSSES, [0, 1, 2])
    kernel = kernels.ConstantKernel(model.variance) * kernels.Matern(model.lengths, nu=2.5)
    oracle = gaussian_process.GaussianProcessRegressor(
        kernel, alpha=model.noise_share * model.variance, optimizer=None
    ).fit(POINTS, LOSSES - model.mean)
    others = RNG.random((50, 3))
    mean, sd = oracle.predict(others, return_std=True)
    ours, spread = model.predict(others)
    assert ours - model.mean == pytest.approx(mean, abs=1e-8)
    # ours does not take the constant mean for known, so that it is wider by a little
    assert (spread >= sd - 1e-9).all() and (spread < 1.3 * sd + 1e-3).all()


def test_it_finds_which_axis_matters():
    points = np.random.default_rng(0).random((30, 2))
    model = gp.fit(points, 3 + 0.3 * np.sin(6 * points[:, 0]), [0, 1])
    assert model.lengths[0] < 1 < model.lengths[1]


def test_it_finds_the_noise():
    rng = np.random.default_rng(1)
    points = rng.random((60, 2))
    clean = 3 + 0.2 * ((points - 0.5) ** 2).sum(1)
    for sd in (0.005, 0.02):
        found = gp.fit(points, clean + rng.normal(0, sd, 60), [0, 1]).noise_sd
        assert sd / 2 < found < 2 * sd


def test_expected_improvement_is_the_mean_of_what_is_gained():
    draws = np.random.default_rng(2).normal(3.0, 0.1, 400_000)
    exact = gp.expected_improvement(np.array([3.0]), np.array([0.1]), 3.05)[0]
    assert exact == pytest.approx(np.maximum(3.05 - draws, 0).mean(), rel=0.01)


@pytest.mark.parametrize("losses", [[3.0], [3.0, 3.0], [3.0] * 6])
def test_equal_losses_are_no_problem(losses):
    model = gp.fit(np.linspace(0, 1, len(losses))[:, None], np.array(losses), [0])
    mean, sd = model.predict(np.array([[0.5]]))
    assert mean[0] == pytest.approx(3.0) and np.isfinite(sd).all()


def test_a_setting_that_ran_twice_counts_twice():
    points = np.array([[0.0], [0.0], [1.0]])
    model = gp.fit(points, np.array([3.0, 3.2, 3.4]), [0])
    assert 3.0 < model.predict(points)[0][0] < 3.3
