"""Speedups: the published study's own results, independent fits of the curve, planted truths, and how fast."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from benchmark.analysis import curve
from benchmark.analysis.speedup import fit_quality, speedups
from benchmark.published import fantastic as published
from tools.simulate.replications import LARGE, replication

CELL = ["scale", "optimizer", "chinchilla_ratio"]


def law(ratio, alpha, exponent, beta):
    return alpha * ratio**-exponent + beta


@pytest.mark.parametrize("era", ["paper", "latest"])
def test_published_speedups_are_the_studys_on_all_126_cells(era) -> None:
    losses = published.losses(era)
    losses = losses[losses.scale.isin(["130m", "300m", "520m"]) & (losses.chinchilla_ratio <= 8)]
    assert len(losses) == 126
    table = speedups(losses, noise_sd=0.003, n_bootstrap=100, method="study").set_index(CELL)
    deviations = []
    for scale, group in losses.groupby("scale"):
        base = group[group.optimizer == "adamw"].sort_values("chinchilla_ratio")
        ratios, means = base.chinchilla_ratio.to_numpy(float), base.val_loss.to_numpy()
        start = [means[0] - means[-1], 0.5, means[-1]]
        (alpha, exponent, beta), _ = optimize.curve_fit(law, ratios, means, p0=start, maxfev=10_000)
        theirs = ((group.val_loss - beta) / alpha) ** (-1 / exponent)
        ours = curve.fit(ratios, means[None]).d_eff(group.val_loss.to_numpy()[None])[0]
        deviations += list(abs(ours - theirs) / group.chinchilla_ratio)
        for row, d_eff in zip(group.itertuples(), theirs, strict=True):
            if (
                row.optimizer != "adamw"
            ):  # whose own figure the published study leaves at .99 to 1.01; here it is 1
                deviations.append(abs(table.loc[(scale, row.optimizer, row.chinchilla_ratio), "d_eff"] - d_eff))
    assert max(deviations) < 1e-6


def test_a_figure_the_study_quotes() -> None:
    losses = published.losses("paper")
    table = speedups(losses[losses.chinchilla_ratio <= 8], noise_sd=0.003, n_bootstrap=100, method="study")
    row = table[(table.scale == "130m") & (table.optimizer == "mars") & (table.chinchilla_ratio == 8)]
    assert row.speedup.item() == pytest.approx(1.22, abs=0.005)


@settings(max_examples=25, deadline=None)
@given(
    alpha=st.floats(0.1, 2),
    exponent=st.floats(0.1, 1.5),
    beta=st.floats(1, 4),
    factor=st.floats(0.6, 1.8),
    unit=st.floats(0.05, 20),
)
def test_planted_speedups_come_back_whatever_the_curve_and_the_unit_of_data(
    alpha, exponent, beta, factor, unit, power_law_losses
) -> None:
    ratios = tuple(unit * r for r in (1.0, 2.0, 4.0, 8.0))
    losses = power_law_losses({"adamw": 1.0, "x": factor, "twin": 1.0}, ratios, (alpha, exponent, beta))
    table = speedups(losses, noise_sd=0.001, n_bootstrap=100)
    assert table[table.optimizer == "x"].speedup.to_numpy() == pytest.approx(factor, abs=1e-4)
    assert table[table.optimizer == "twin"].speedup.to_numpy() == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    exponent=st.sampled_from([-0.5, -1e-12, 0.0, 1e-7, 0.3, 2.0]), b=st.floats(0.01, 1), at_=st.floats(0.5, 30)
)
def test_inverting_the_curve_undoes_it(exponent, b, at_) -> None:
    fitted = curve.Curve(2.0, np.array([3.0]), np.array([b]), np.array([exponent]), "")
    loss = fitted.loss(np.array([at_]))
    assert fitted.d_eff(loss)[0, 0] == pytest.approx(at_, rel=1e-6)


def test_fits_of_noisy_points_are_those_of_curve_fit() -> None:
    rng = np.random.default_rng(0)
    ratios = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    losses = law(ratios, 0.9, 0.35, 2.6) + rng.normal(0, 0.01, (50, 5))
    fitted = curve.fit(ratios, losses)
    for i in range(50):
        best, _ = optimize.curve_fit(law, ratios, losses[i], p0=[0.9, 0.5, 2.5], maxfev=100_000)
        theirs, ours = law(ratios, *best) - losses[i], fitted.loss(ratios)[i] - losses[i]
        assert (ours**2).sum() <= (theirs**2).sum() * (1 + 1e-9)
        assert fitted.exponent[i] == pytest.approx(best[1], abs=1e-3)


@pytest.mark.parametrize("losses", [(3.0, 2.99, 2.5), (3.0, 2.5, 2.49), (1.0, 0.5, 0.1), (3.5, 3.4, 3.32)])
def test_three_ratios_fit_within_bounds(losses) -> None:
    ratios, y = np.array([1.0, 2.0, 4.0]), np.array(losses)
    fitted = curve.fit(ratios, y[None])
    rest = optimize.minimize(
        lambda p: ((law(ratios, *p) - y) ** 2).sum() * 1e6,
        x0=[1.0, 0.5, 1.0],
        bounds=[(0, None), (0.05, 2.0), (0, None)],
        options={"maxiter": 10_000, "ftol": 1e-15},
    )
    assert ((fitted.loss(ratios)[0] - y) ** 2).sum() <= rest.fun / 1e6 + 1e-9
    beta = fitted.a[0] - fitted.b[0] / fitted.exponent[0]
    # the curve is written around the ratios' mean, so its floor is that of alpha * r**-B + beta
    assert beta >= -1e-9 and 0.05 <= fitted.exponent[0] <= 2.0
    assert "three" in fitted.flag


def test_two_ratios_are_log_linear_by_hand(power_law_losses, at) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.2}, (1.0, 4.0))
    table = speedups(losses, noise_sd=0.001, n_bootstrap=100)
    (a, b), (x, _) = (losses[losses.optimizer == o].val_loss for o in ("adamw", "x"))
    assert at(table, "x", 1.0).speedup == pytest.approx(4 ** ((a - x) / (a - b)))
    assert table["flags"].str.contains("two baseline ratios").all()


def test_one_ratio_is_undefined_but_the_paired_comparison_stands(noisy, at) -> None:
    losses = noisy()
    table = speedups(losses[losses.chinchilla_ratio == 1.0])
    others = table[table.optimizer != "adamw"]
    assert others[["d_eff", "speedup", "lo", "hi"]].isna().all(axis=None)
    assert others["flags"].str.contains("undefined: one baseline ratio").all()
    assert at(table, "e", 1.0).verdict == "faster" and at(table, "a", 1.0).verdict == "slower"


def test_at_or_below_the_floor_is_infinite_and_said(power_law_losses) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.1})
    losses.loc[losses.optimizer == "x", "val_loss"] = [3.3, 3.2, 3.11, 2.0]
    table = speedups(losses, noise_sd=0.001)
    below = table[table.optimizer == "x"]
    assert np.isinf(below.d_eff).tolist() == [False, False, True, True]
    assert np.isinf(below.hi).tolist()[2:] == [True, True]
    assert below["flags"].str.contains("floor").tolist() == [False, False, True, True]
    assert below.extrapolated.tolist()[2:] == [True, True]


def test_where_the_baseline_does_not_improve_there_is_no_speedup_and_the_gap_decides(power_law_losses) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.1})
    losses.loc[losses.optimizer == "adamw", "val_loss"] = [3.0, 3.1, 3.2, 3.3]
    table = speedups(losses, noise_sd=0.001)
    rows = table[table.optimizer == "x"]
    assert rows[["speedup", "lo", "hi"]].isna().all(axis=None)
    assert rows.verdict.tolist() == [{True: "faster", False: "slower"}[gap < 0] for gap in rows.gap]
    assert rows["flags"].str.contains("does not fall").all()


def test_fit_quality_leaves_one_baseline_point_out(noisy, at) -> None:
    losses = replication(LARGE, 3, np.random.default_rng(0))
    extra = pd.DataFrame(
        [("adamw", "simulated", 16.0, 0, i, 3.217 + 0.001 * i) for i in range(3)], columns=losses.columns
    )
    losses = pd.concat([losses, extra], ignore_index=True)
    table = fit_quality(losses)
    assert len(table) == 5 * 20
    full = speedups(losses)
    points = full[full.optimizer == "adamw"].set_index("chinchilla_ratio").val_loss
    left = points.drop(2.0)
    rest = curve.fit(left.index.to_numpy(float), left.to_numpy()[None])
    for row in table[table.baseline_ratio == 2.0].itertuples():
        own = at(full, row.optimizer, row.chinchilla_ratio)
        assert row.speedup == pytest.approx(own.speedup)
        there = rest.loss(np.array([row.chinchilla_ratio]))[0, 0] + own.val_loss - points[row.chinchilla_ratio]
        reached = rest.d_eff(np.array([[there]]))[0, 0]
        assert row.speedup_without == pytest.approx(reached / row.chinchilla_ratio)
        assert row.change == pytest.approx(row.speedup_without - row.speedup)
    base = table.drop_duplicates("baseline_ratio")
    best, _ = optimize.curve_fit(law, base.baseline_ratio, base.baseline_loss, p0=[0.4, 0.5, 3.1])
    assert base.residual.to_numpy() == pytest.approx(
        base.baseline_loss - law(base.baseline_ratio, *best), abs=1e-6
    )
    assert fit_quality(noisy()).change.isna().all()  # four points: three would remain


def test_200_cells_with_2000_draws_take_less_than_two_seconds(power_law_losses) -> None:
    factors = {"adamw": 1.0, **{f"o{i}": 1 + i / 40 for i in range(9)}}
    parts = [power_law_losses(factors).assign(scale=f"s{i}") for i in range(5)]
    losses = pd.concat(parts)
    began = time.process_time()
    assert len(speedups(losses, noise_sd=0.002, n_bootstrap=2000)) == 200
    assert time.process_time() - began < 2.0
