"""Intervals and verdicts of speedups: planted truths, and the tests that statistics knows by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from benchmark.analysis.contrasts import spending
from benchmark.analysis.formula import interval
from benchmark.analysis.speedup import EQUIVALENCE, speedups, undecided
from tools.simulate.replications import LARGE, MICRO, QUICK, Design, replication
from tools.simulate.verdicts import outcomes

CELL_COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]


def law(ratio, alpha, exponent, beta):
    return alpha * ratio**-exponent + beta


def test_the_study_s_interval_is_that_of_curve_fit_in_every_draw(power_law_losses, at) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.2, "y": 0.9})
    sd, rng = 0.003, np.random.default_rng(1)
    table = speedups(losses, noise_sd=sd, n_bootstrap=4000, method="study")
    ratios = np.array([1.0, 2.0, 4.0, 8.0])
    found = {("x", 2.0): [], ("y", 8.0): []}
    for _ in range(1500):
        means = law(ratios, *LARGE.curve) + rng.normal(0, sd, 4)
        best, _ = optimize.curve_fit(law, ratios, means, p0=[0.4, 0.5, 3.1], maxfev=100_000)
        for (name, ratio), draws in found.items():
            loss = law(ratio * {"x": 1.2, "y": 0.9}[name], *LARGE.curve) + rng.normal(0, sd)
            draws.append(((loss - best[2]) / best[0]) ** (-1 / best[1]) / ratio)
    for (name, ratio), draws in found.items():
        row = at(table, name, ratio)
        theirs = np.quantile(draws, [0.025, 0.975])
        assert [row.lo, row.hi] == pytest.approx(theirs, abs=0.1 * (theirs[1] - theirs[0]))


@pytest.mark.parametrize("design", [MICRO, QUICK], ids=["one search", "two searches, unequal noise"])
def test_intervals_hold_what_was_planted(design: Design) -> None:
    table = outcomes(design, replications=40)
    assert 0.92 <= table.held_one.mean() <= 0.99
    # meant: .95 and .05 of studies; 40 of them reach these bounds by chance in less than 1 of 100
    assert table.groupby("replication").held.all().mean() >= 0.85
    assert table.groupby("replication").wrong.any().mean() <= 0.15


def test_the_conversion_of_a_large_gain_is_as_unsure_as_the_curve() -> None:
    """At a noise of .004 nats the curve is .02 off a law at every other ratio, and the truth is still held."""
    off = replace(MICRO, residual_sd=0.004, misfit={1.0: 0.0, 2.0: 0.02, 4.0: 0.0, 8.0: 0.02})
    assert outcomes(off, replications=20, menu=(1.4, 1.2, 0.9)).held.mean() > 0.97


def test_a_contrast_is_the_t_test_of_the_paired_differences(noisy, at) -> None:
    losses = noisy(5)
    losses = losses[losses.optimizer.isin(["adamw", "c"]) & (losses.chinchilla_ratio == 8.0)]
    table = speedups(losses)
    wide = losses.pivot(index="seed", columns="optimizer", values="val_loss")
    theirs = stats.ttest_rel(wide.c, wide.adamw).confidence_interval(0.95)
    row = at(table, "c", 8.0)
    assert row.gap == pytest.approx((wide.c - wide.adamw).mean())
    assert (row.gap_lo, row.gap_hi) == pytest.approx((theirs.low, theirs.high), rel=1e-6)


def test_intervals_of_equal_noise_are_dunnett_s() -> None:
    """Without a difference in noise that is told, the level of 5 contrasts with 30 df is scipy's."""
    rng = np.random.default_rng(3)
    samples = [rng.normal(3, 0.01, 6) for _ in range(6)]
    samples = [3 + 0.01 * stats.zscore(x, ddof=1) + 0.001 * i for i, x in enumerate(samples)]
    rows = [
        (n, "s", 1.0, 10 * i + j, x)
        for i, n in enumerate(["adamw", *"abcde"])
        for j, x in enumerate(samples[i])
    ]
    table = speedups(pd.DataFrame(rows, columns=CELL_COLUMNS))  # seeds of their own: nothing is shared
    theirs = stats.dunnett(*samples[1:], control=samples[0], rng=np.random.default_rng(0)).confidence_interval(
        0.95
    )
    ours = table[table.optimizer != "adamw"]
    half = (theirs.high - theirs.low) / 2
    # ours has fewer df: each variance is known by 5 of its own and 4 of the pool's, not by 30
    assert (((ours.gap_hi - ours.gap_lo) / 2).to_numpy() / half).tolist() == pytest.approx([1.06] * 5, abs=0.06)


def test_interval_and_verdict_never_disagree() -> None:
    seen = set()
    for start in range(12):
        losses = replication(replace(QUICK, speedups={"adamw": 1.0, "a": 1.1, "b": 1.2, "c": 1.0, "d": 0.9}), 4,
                       np.random.default_rng(start))  # fmt: skip
        table = speedups(losses).query("optimizer != 'adamw'")
        for row in table.itertuples():
            assert row.lo <= row.speedup <= row.hi
            assert (row.lo > 1) == (row.gap_hi < 0) and (row.hi < 1) == (row.gap_lo > 0)
            assert row.lo <= row.lo_one * 1.001 and row.hi_one <= row.hi * 1.001
            same = row.lo > 1 / EQUIVALENCE and row.hi < EQUIVALENCE
            word = (
                "faster" if row.lo > 1 else "slower" if row.hi < 1 else "inseparable" if same else "undecided"
            )
            assert row.verdict == word
            seen.add(word)
        expected = {(r.optimizer, "simulated", r.chinchilla_ratio) for r in table.itertuples()
                    if r.verdict == "undecided"}  # fmt: skip
        assert undecided(losses) == expected
    assert {"faster", "undecided"} <= seen


def test_what_choosing_adds_widens_every_interval_of_the_scale() -> None:
    quiet = replication(replace(MICRO, searches=2), 6, np.random.default_rng(0))
    luck = np.random.default_rng(1).normal(
        0, 0.05, quiet.groupby(["optimizer", "chinchilla_ratio", "search"]).ngroups
    )
    loud = quiet.assign(
        val_loss=quiet.val_loss + luck[quiet.groupby(["optimizer", "chinchilla_ratio", "search"]).ngroup()]
    )
    narrow, wide = speedups(quiet), speedups(loud)
    assert (narrow.searches == 2).all() and not narrow["flags"].str.contains("choosing").any()
    assert ((wide.gap_hi - wide.gap_lo) > 2.5 * (narrow.gap_hi - narrow.gap_lo))[
        narrow.verdict != "baseline"
    ].all()


def test_a_choosing_that_is_given_stands_in_only_where_no_cell_has_two_searches(noisy) -> None:
    one, two = noisy(4), replication(replace(LARGE, searches=2), 4, np.random.default_rng(0))
    given = speedups(one, choosing_sd=0.01)
    others = given.verdict != "baseline"
    assert given["flags"].str.contains("choosing_sd given").all()
    assert speedups(one)["flags"].str.contains("choosing unknown: one search each").all()
    assert ((given.gap_hi - given.gap_lo) > 2 * 1.96 * 0.01 * 2**0.5)[others].all()
    pd.testing.assert_frame_equal(speedups(two), speedups(two, choosing_sd=0.01))


def test_a_cell_that_stopped_early_has_spent_less(noisy) -> None:
    assert spending((), np.array([3, 9])).tolist() == [0.05, 0.05]
    assert spending((4, 8), np.array([2, 4, 6, 8, 9])) == pytest.approx(
        [0.0125, 0.0125, 0.0375, 0.0375, 0.0375]
    )
    assert spending((12, 3, 6), np.array([3, 6, 12])).sum() == pytest.approx(0.05)
    losses = noisy(4)
    first, whole = speedups(losses, looks=(4, 8)), speedups(losses)
    others = whole.verdict != "baseline"
    assert (first.lo < whole.lo)[others].all() and (first.hi > whole.hi)[others].all()
    pd.testing.assert_series_equal(first.lo_one, whole.lo_one)


def test_a_curve_that_is_no_law_is_said_to_be_none(power_law_losses) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.1})
    assert not speedups(losses, noise_sd=0.001)["flags"].str.contains("no law").any()
    losses.loc[losses.optimizer == "adamw", "val_loss"] = [3.5, 3.4, 3.25, 3.0]  # steeper with every doubling
    table = speedups(losses, noise_sd=0.001)
    assert table["flags"].str.contains(r"the baseline's curve is no law here: B = -").all()
    assert table.speedup.notna().all()


def test_undefined_draws_count_against_both_ends() -> None:
    draws = np.tile(np.linspace(1.0, 2.0, 101)[:, None], (1, 3))
    draws[:10, 1], draws[:10, 2] = np.nan, np.inf
    lo, hi = interval(draws)
    assert (lo[0], hi[0]) == (1.02, 1.98)
    assert (lo[1], hi[1]) == (0.0, np.inf)
    assert lo[2] > 1.1 and hi[2] == np.inf


def test_one_seed_has_an_interval_only_with_a_noise_that_is_given(noisy) -> None:
    losses = noisy(1)
    without, narrow, wide = (speedups(losses, noise_sd=sd) for sd in (None, 0.001, 0.002))
    others = without.optimizer != "adamw"
    assert without[others][["lo", "hi"]].isna().all(axis=None)
    assert (without[others].verdict == "").all()
    assert without[others]["flags"].str.contains("too few seeds and no noise_sd").all()
    assert narrow["flags"].str.contains("noise_sd given").all()
    ratio = (wide.hi - wide.lo)[others] / (narrow.hi - narrow.lo)[others]
    assert ratio.median() == pytest.approx(2.0, rel=0.1)
    pd.testing.assert_series_equal(without.speedup, wide.speedup)
