"""Speedups: the study's own figures, independent fits, planted truths and what can be missing."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from benchmark.analysis import curve
from benchmark.analysis.contrasts import spending
from benchmark.analysis.formula import interval
from benchmark.analysis.speedup import COLUMNS, EQUIVALENCE, fit_quality, speedups, undecided
from benchmark.published import study as published
from tools.simulate.studies import LARGE, MICRO, QUICK, Design, study
from tools.simulate.verdicts import outcomes

CELL = ["scale", "optimizer", "chinchilla_ratio"]
CELL_COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]


def law(ratio, alpha, exponent, beta):
    return alpha * ratio**-exponent + beta


def power_law_losses(factors: dict[str, float], ratios=(1.0, 2.0, 4.0, 8.0), curve=LARGE.curve) -> pd.DataFrame:
    """Losses without noise: each optimizer needs 1 / factor of the data."""
    rows = [(o, "130m", r, 0, law(r * f, *curve)) for o, f in factors.items() for r in ratios]
    return pd.DataFrame(rows, columns=[CELL[1], CELL[0], CELL[2], "seed", "val_loss"])


def noisy(seeds: int = 3, start: int = 0) -> pd.DataFrame:
    return study(LARGE, seeds, np.random.default_rng(start))


def at(table: pd.DataFrame, optimizer: str, ratio: float) -> pd.Series:
    return table[(table.optimizer == optimizer) & (table.chinchilla_ratio == ratio)].iloc[0]


# --- the study's figures ---------------------------------------------------------------------------------


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
            if row.optimizer != "adamw":  # whose own figure the study leaves at .99 to 1.01; here it is 1
                deviations.append(abs(table.loc[(scale, row.optimizer, row.chinchilla_ratio), "d_eff"] - d_eff))
    assert max(deviations) < 1e-6


def test_a_figure_the_study_quotes() -> None:
    losses = published.losses("paper")
    table = speedups(losses[losses.chinchilla_ratio <= 8], noise_sd=0.003, n_bootstrap=100, method="study")
    row = table[(table.scale == "130m") & (table.optimizer == "mars") & (table.chinchilla_ratio == 8)]
    assert row.speedup.item() == pytest.approx(1.22, abs=0.005)


# --- the curve -------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    alpha=st.floats(0.1, 2),
    exponent=st.floats(0.1, 1.5),
    beta=st.floats(1, 4),
    factor=st.floats(0.6, 1.8),
    unit=st.floats(0.05, 20),
)
def test_planted_speedups_come_back_whatever_the_curve_and_the_unit_of_data(
    alpha, exponent, beta, factor, unit
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


def test_two_ratios_are_log_linear_by_hand() -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.2}, (1.0, 4.0))
    table = speedups(losses, noise_sd=0.001, n_bootstrap=100)
    (a, b), (x, _) = (losses[losses.optimizer == o].val_loss for o in ("adamw", "x"))
    assert at(table, "x", 1.0).speedup == pytest.approx(4 ** ((a - x) / (a - b)))
    assert table["flags"].str.contains("two baseline ratios").all()


def test_one_ratio_is_undefined_but_the_paired_comparison_stands() -> None:
    losses = noisy()
    table = speedups(losses[losses.chinchilla_ratio == 1.0])
    others = table[table.optimizer != "adamw"]
    assert others[["d_eff", "speedup", "lo", "hi"]].isna().all(axis=None)
    assert others["flags"].str.contains("undefined: one baseline ratio").all()
    assert at(table, "e", 1.0).verdict == "faster" and at(table, "a", 1.0).verdict == "slower"


def test_at_or_below_the_floor_is_infinite_and_said() -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.1})
    losses.loc[losses.optimizer == "x", "val_loss"] = [3.3, 3.2, 3.11, 2.0]
    table = speedups(losses, noise_sd=0.001)
    below = table[table.optimizer == "x"]
    assert np.isinf(below.d_eff).tolist() == [False, False, True, True]
    assert np.isinf(below.hi).tolist()[2:] == [True, True]
    assert below["flags"].str.contains("floor").tolist() == [False, False, True, True]
    assert below.extrapolated.tolist()[2:] == [True, True]


def test_where_the_baseline_does_not_improve_there_is_no_speedup_and_the_gap_decides() -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.1})
    losses.loc[losses.optimizer == "adamw", "val_loss"] = [3.0, 3.1, 3.2, 3.3]
    table = speedups(losses, noise_sd=0.001)
    rows = table[table.optimizer == "x"]
    assert rows[["speedup", "lo", "hi"]].isna().all(axis=None)
    assert rows.verdict.tolist() == [{True: "faster", False: "slower"}[gap < 0] for gap in rows.gap]
    assert rows["flags"].str.contains("does not fall").all()


# --- the interval ----------------------------------------------------------------------------------------


def test_the_study_s_interval_is_that_of_curve_fit_in_every_draw() -> None:
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
    table = outcomes(design, studies=40)
    assert 0.92 <= table.held_one.mean() <= 0.99
    # meant: .95 and .05 of studies; 40 of them reach these bounds by chance in less than 1 of 100
    assert table.groupby("study").held.all().mean() >= 0.85
    assert table.groupby("study").wrong.any().mean() <= 0.15


def test_the_conversion_of_a_large_gain_is_as_unsure_as_the_curve() -> None:
    """At a noise of .004 nats the curve is .02 off a law at every other ratio, and the truth is still held."""
    off = replace(MICRO, residual_sd=0.004, misfit={1.0: 0.0, 2.0: 0.02, 4.0: 0.0, 8.0: 0.02})
    assert outcomes(off, studies=20, menu=(1.4, 1.2, 0.9)).held.mean() > 0.97


def test_a_contrast_is_the_t_test_of_the_paired_differences() -> None:
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
        losses = study(replace(QUICK, speedups={"adamw": 1.0, "a": 1.1, "b": 1.2, "c": 1.0, "d": 0.9}), 4,
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
    quiet = study(replace(MICRO, searches=2), 6, np.random.default_rng(0))
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


def test_a_choosing_that_is_given_stands_in_only_where_no_cell_has_two_searches() -> None:
    one, two = noisy(4), study(replace(LARGE, searches=2), 4, np.random.default_rng(0))
    given = speedups(one, choosing_sd=0.01)
    others = given.verdict != "baseline"
    assert given["flags"].str.contains("choosing_sd given").all()
    assert speedups(one)["flags"].str.contains("choosing unknown: one search each").all()
    assert ((given.gap_hi - given.gap_lo) > 2 * 1.96 * 0.01 * 2**0.5)[others].all()
    pd.testing.assert_frame_equal(speedups(two), speedups(two, choosing_sd=0.01))


def test_a_cell_that_stopped_early_has_spent_less() -> None:
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


def test_a_curve_that_is_no_law_is_said_to_be_none() -> None:
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


def test_one_seed_has_an_interval_only_with_a_noise_that_is_given() -> None:
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


# --- what may be missing, twice or in another order ------------------------------------------------------


def test_row_order_and_exact_duplicates_change_nothing() -> None:
    losses = noisy()
    shuffled = pd.concat([losses, losses.iloc[:7]]).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(speedups(losses), speedups(shuffled))


def test_a_constant_added_to_every_loss_changes_nothing_with_four_ratios() -> None:
    losses = noisy()
    moved = speedups(losses.assign(val_loss=losses.val_loss + 1.5))
    numbers = ["d_eff", "speedup", "lo", "hi"]
    pd.testing.assert_frame_equal(speedups(losses)[numbers], moved[numbers], rtol=1e-5)


def test_another_scale_changes_only_how_many_intervals_must_hold_at_once() -> None:
    losses = noisy()
    both = pd.concat([losses, noisy(start=1).assign(scale="other")])
    alone, beside = speedups(losses), speedups(both)
    beside = beside[beside.scale == "simulated"].reset_index(drop=True)
    wider = ["gap_lo", "gap_hi", "lo", "hi", "verdict"]
    pd.testing.assert_frame_equal(alone.drop(columns=wider), beside.drop(columns=wider))
    others = alone.verdict != "baseline"
    assert (beside.lo < alone.lo)[others].all() and (beside.hi > alone.hi)[others].all()


def test_the_same_call_gives_the_same_table_and_another_seed_another() -> None:
    losses = noisy()
    pd.testing.assert_frame_equal(speedups(losses, seed=3), speedups(losses, seed=3))
    assert not speedups(losses, seed=3).lo.equals(speedups(losses, seed=4).lo)


def test_a_missing_cell_is_no_row_and_the_others_stay() -> None:
    losses = noisy()
    table = speedups(losses[~((losses.optimizer == "e") & (losses.chinchilla_ratio == 4.0))])
    assert list(table.columns) == COLUMNS
    assert len(table) == 6 * 4 - 1
    assert table.speedup.notna().all()


def test_diverged_and_failed_seeds_are_counted_and_said() -> None:
    losses = noisy()
    here = (losses.optimizer == "d") & (losses.chinchilla_ratio == 8.0)
    losses.loc[here & (losses.seed == 0), "val_loss"] = np.inf
    losses.loc[here & (losses.seed == 1), "val_loss"] = np.nan
    row = at(speedups(losses), "d", 8.0)
    assert row.n == 1 and np.isfinite(row.speedup) and row.lo < row.speedup < row.hi
    for text in ("diverged seeds: 1", "failed seeds: 1", "adjusted for missing seeds"):
        assert text in row["flags"]
    losses.loc[here, "val_loss"] = np.inf
    row = at(speedups(losses), "d", 8.0)
    assert (row.n, row.speedup, row.verdict) == (0, 0.0, "slower")
    assert "diverged seeds: 3 (all)" in row["flags"]
    losses.loc[here, "val_loss"] = np.nan
    row = at(speedups(losses), "d", 8.0)
    assert np.isnan(row.speedup) and row.verdict == "" and "failed seeds: 3 (all)" in row["flags"]


def test_a_diverged_baseline_leaves_the_curve_to_the_other_ratios() -> None:
    losses = noisy()
    losses.loc[(losses.optimizer == "adamw") & (losses.chinchilla_ratio == 2.0), "val_loss"] = np.inf
    table = speedups(losses)
    assert table["flags"].str.contains("baseline diverged at 2x; three baseline ratios").all()
    assert at(table, "e", 2.0).speedup == pytest.approx(1.4, abs=0.1)
    losses.loc[losses.optimizer == "adamw", "val_loss"] = np.inf
    table = speedups(losses)
    assert table["flags"].str.contains("undefined: no finished baseline").all()
    assert table[table.optimizer != "adamw"].speedup.isna().all()


def test_the_baseline_is_one_by_definition() -> None:
    rows = speedups(noisy()).query("optimizer == 'adamw'")
    assert (rows[["speedup", "lo", "hi"]] == 1.0).all(axis=None)
    assert (rows.d_eff == rows.chinchilla_ratio).all() and not rows.extrapolated.any()


def test_extrapolated_is_outside_the_baselines_ratios() -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.3, "y": 0.8})
    table = speedups(losses, noise_sd=0.001, n_bootstrap=100)
    assert table[table.extrapolated][["optimizer", "chinchilla_ratio"]].to_numpy().tolist() == [
        ["x", 8.0],
        ["y", 1.0],
    ]


def test_bad_arguments_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="no losses of the baseline 'muon'; there are a, adamw"):
        speedups(noisy(), baseline="muon")
    with pytest.raises(ValueError, match="n_bootstrap"):
        speedups(noisy(), n_bootstrap=10)
    with pytest.raises(ValueError, match="none at all"):
        speedups(noisy().iloc[:0])


# --- how fragile, how fast -------------------------------------------------------------------------------


def test_fit_quality_leaves_one_baseline_point_out() -> None:
    losses = study(LARGE, 3, np.random.default_rng(0))
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


def test_200_cells_with_2000_draws_take_less_than_two_seconds() -> None:
    factors = {"adamw": 1.0, **{f"o{i}": 1 + i / 40 for i in range(9)}}
    parts = [power_law_losses(factors).assign(scale=f"s{i}") for i in range(5)]
    losses = pd.concat(parts)
    began = time.process_time()
    assert len(speedups(losses, noise_sd=0.002, n_bootstrap=2000)) == 200
    assert time.process_time() - began < 2.0
