"""Flips and rank bands: Tukey against scipy, planted flips, and none where there are none."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis.best_of_k import budget_medians
from benchmark.analysis.contrasts import contrasts, pair_level
from benchmark.analysis.flips import COLUMNS, along_training, flips, in_seconds
from benchmark.analysis.rank_bands import COLUMNS as BAND_COLUMNS
from benchmark.analysis.rank_bands import rank_bands
from benchmark.analysis.residuals import check_losses, fit_scale
from tools.simulate.flips import (
    REPLICATIONS,
    false_flips,
    searched_replication,
    tied_replication,
    timed_replication,
)
from tools.simulate.replications import LARGE, replication

NO_CURVES = pd.DataFrame()


def losses(
    means: dict[tuple[str, float], float], seeds: int = 3, sd: float = 0.001, scale: str = "s"
) -> pd.DataFrame:
    """Losses around the means of (optimizer, ratio), with a seed's luck common to all."""
    rng = np.random.default_rng(0)
    rows = []
    for ratio in sorted({r for _, r in means}):
        luck = rng.normal(0, 0.01, seeds)
        for (name, r), mean in means.items():
            if r == ratio:
                rows += [(name, scale, r, i, mean + luck[i] + rng.normal(0, sd)) for i in range(seeds)]
    return pd.DataFrame(rows, columns=["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"])


def report_runs(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    base = {
        "use": "report", "status": "finished", "purpose": "report", "machine": "m", "tokens": 1000.0,
        "train_seconds": 1.0, "finished_at": "", "trial_id": [f"t{i}" for i in range(len(frame))],
    }  # fmt: skip
    task = [f"{s}-{r:g}x" for s, r in zip(frame["scale"], frame["chinchilla_ratio"], strict=True)]
    return frame.assign(task=task, **{**base, **columns})


CROSSING = {("a", 1.0): 3.00, ("b", 1.0): 3.05, ("a", 4.0): 2.85, ("b", 4.0): 2.80}


# --- contrasts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [6.0, 15.0, np.inf])
@pytest.mark.parametrize("groups", [2, 5, 12])
def test_the_level_of_a_pair_is_that_of_the_studentized_range(groups: int, df: float) -> None:
    q = stats.studentized_range.ppf(0.95, groups, df) / np.sqrt(2)
    theirs = 2 * (stats.norm.sf(q) if np.isinf(df) else stats.t.sf(q, df))
    assert pair_level(0.05, groups, df) == pytest.approx(theirs, rel=2e-3)


def test_tukey_s_intervals_by_hand_where_the_noise_is_stated() -> None:
    frame = losses({(n, 1.0): 3.0 for n in "abcd"}, seeds=1)
    model = fit_scale(check_losses(frame), noise_sd=0.01)
    for frames in (1, 10):
        half = stats.studentized_range.ppf(1 - 0.05 / frames, 4, np.inf) * 0.01
        found = contrasts(model, 1.0, frames).half_width[~np.eye(4, dtype=bool)]
        assert found == pytest.approx(half, rel=1e-3)


def test_a_louder_optimizer_has_wider_pairs() -> None:
    frame = losses({(n, r): 3.0 for n in "abcde" for r in (1.0, 2.0)}, seeds=6)
    loud = frame.optimizer == "e"
    frame.loc[loud, "val_loss"] += np.random.default_rng(1).normal(0, 0.02, loud.sum())
    half = contrasts(fit_scale(check_losses(frame)), 1.0).half_width
    quiet = half[:4, :4][~np.eye(4, dtype=bool)]
    assert half[4, :4].min() > 2 * quiet.max()  # the pool is in both, so not twenty times


# --- rank bands ------------------------------------------------------------------------------------------


def test_rank_bands_count_the_significantly_better_and_worse() -> None:
    frame = losses({("a", 1.0): 3.0, ("b", 1.0): 3.0001, ("c", 1.0): 3.1, ("d", 1.0): 3.2})
    frame = pd.concat([frame, frame.iloc[:3].assign(optimizer="lost", val_loss=np.inf)])
    table = rank_bands(frame).set_index("optimizer")
    assert list(rank_bands(frame).columns) == BAND_COLUMNS
    bands = {name: (row["rank_lo"], row["rank_hi"]) for name, row in table.iterrows()}
    assert bands == {"a": (1, 2), "b": (1, 2), "c": (3, 3), "d": (4, 4), "lost": (5, 5)}
    assert sorted(table["rank"]) == [1, 2, 3, 4, 5]


def test_rank_bands_of_one_seed_say_nothing_without_a_noise() -> None:
    frame = losses({("a", 1.0): 3.0, ("b", 1.0): 3.1}, seeds=1)
    assert rank_bands(frame)[["rank_lo", "rank_hi"]].to_numpy().tolist() == [[1, 2], [1, 2]]
    given = rank_bands(frame, noise_sd=0.001)
    assert given[["rank_lo", "rank_hi"]].to_numpy().tolist() == [[1, 1], [2, 2]]
    half = (
        stats.norm.ppf(0.975) * 0.001 * np.sqrt(2)
    )  # of two groups and known noise, Tukey is the normal interval
    assert contrasts(fit_scale(check_losses(frame), 0.001), 1.0).half_width[0, 1] == pytest.approx(half)


# --- flips between tasks ---------------------------------------------------------------------------------


def test_a_planted_flip_between_ratios_is_confirmed_with_both_sizes() -> None:
    table = flips(NO_CURVES, losses(CROSSING))
    assert list(table.columns) == COLUMNS
    row = table.iloc[0]
    assert len(table) == 1
    assert (row.kind, row.where_1, row.where_2, row.status) == ("ratio", "1x", "4x", "confirmed")
    assert (row.diff_1, row.diff_2) == pytest.approx((-0.05, 0.05), abs=0.005)
    assert row.lo_1 < row.diff_1 < row.hi_1 < 0 < row.lo_2 < row.diff_2 < row.hi_2


def test_a_flip_within_the_noise_is_only_possible() -> None:
    table = flips(NO_CURVES, losses(CROSSING, sd=0.1))
    assert set(table.status) <= {"possible"}
    one_seed = losses(CROSSING, seeds=1)
    assert flips(NO_CURVES, one_seed).status.tolist() == ["possible"]
    assert flips(NO_CURVES, one_seed, noise_sd=0.005).status.tolist() == ["confirmed"]


def test_the_same_order_everywhere_is_no_flip() -> None:
    assert flips(NO_CURVES, losses({("a", 1.0): 3.0, ("b", 1.0): 3.1, ("a", 4.0): 2.8, ("b", 4.0): 2.9})).empty


def test_a_planted_flip_between_scales_is_confirmed() -> None:
    small = losses({("a", 1.0): 3.0, ("b", 1.0): 3.1})
    large = losses({("a", 1.0): 2.6, ("b", 1.0): 2.5}, scale="t")
    row = flips(NO_CURVES, pd.concat([small, large])).iloc[0]
    assert (row.kind, row.where_1, row.where_2, row.chinchilla_ratio, row.status) == (
        "scale",
        "s",
        "t",
        1.0,
        "confirmed",
    )


@pytest.mark.parametrize("ratios", [2, 3])
def test_intervals_hold_for_all_pairs_and_all_tasks_at_once_by_hand(ratios: int) -> None:
    """Tukey within a task at 1 - .05 / tasks, so that all tasks together are at 95 %."""
    frame = losses(CROSSING | ({("a", 8.0): 2.7, ("b", 8.0): 2.75} if ratios == 3 else {}))
    table = flips(NO_CURVES, frame)
    wide = frame.pivot(index=["chinchilla_ratio", "seed"], columns="optimizer", values="val_loss")
    gap = wide.a - wide.b
    means = gap.groupby("chinchilla_ratio").mean()
    square = ((gap - means.reindex(gap.index, level=0)) ** 2).sum() / 2  # of residuals, half of it each
    half = stats.studentized_range.ppf(1 - 0.05 / ratios, 2, 2 * ratios) * np.sqrt(square / (2 * ratios) / 3)
    row = table[(table.where_1 == "1x") & (table.where_2 == "4x")].iloc[0]
    assert (row.lo_1, row.hi_1) == pytest.approx((means[1.0] - half, means[1.0] + half), rel=1e-5)
    assert (row.lo_2, row.hi_2) == pytest.approx((means[4.0] - half, means[4.0] + half), rel=1e-5)


def test_a_diverged_seed_is_named_as_the_mechanism() -> None:
    frame = losses(CROSSING)
    frame.loc[(frame.optimizer == "b") & (frame.chinchilla_ratio == 1.0) & (frame.seed == 2), "val_loss"] = (
        np.inf
    )
    assert flips(NO_CURVES, frame).mechanism.tolist() == ["diverged seeds of b"]


# --- along training --------------------------------------------------------------------------------------


def crossing_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """b leads by .05 until the last quarter; the end is the frame's."""
    rows = []
    for optimizer, scale, ratio, seed, final in frame.itertuples(index=False):
        for f in np.arange(1, 17) / 16:
            early = final + 1 / f - 1 - (0.1 if optimizer == "b" and f < 0.75 else 0.0)
            rows.append((optimizer, scale, ratio, seed, "report", f, early))
    return pd.DataFrame(rows, columns=[*frame.columns[:4], "use", "fraction", "val_loss"])


def test_a_flip_between_a_fraction_of_training_and_its_end_is_confirmed() -> None:
    frame = losses({("a", 1.0): 3.0, ("b", 1.0): 3.05})
    recipes = {"hp.decay_kind": "linear", "hp.decay_fraction": np.where(frame.optimizer == "b", 0.2, 1.0)}
    table = flips(crossing_curves(frame), frame, report_runs(frame, **recipes))
    assert table.where_1.tolist() == ["10%", "20%", "30%", "40%", "50%", "60%"] + ["70%"] * (len(table) - 6)
    assert set(table.kind) == {"fraction"} and set(table.where_2) == {"end"}
    assert set(table.status) == {"confirmed"}
    assert set(table.mechanism) == {"decay: linear throughout against linear over the last 20%"}


def test_fractions_are_interpolated_on_the_recorded_points() -> None:
    frame = losses({("a", 1.0): 3.0}, seeds=1)
    curves = crossing_curves(frame)
    at = along_training(curves, frame)
    points = curves.set_index("fraction").val_loss
    expected = points[1 / 16] + (0.1 - 1 / 16) * 16 * (points[2 / 16] - points[1 / 16])
    assert at[0.1].val_loss.item() == pytest.approx(expected)
    assert at[1.0].val_loss.item() == pytest.approx(frame.val_loss.item())


def test_a_run_that_diverged_is_infinite_beyond_its_last_point_and_a_failed_one_is_left_out() -> None:
    frame = losses({("a", 1.0): 3.0, ("b", 1.0): 3.0, ("c", 1.0): 3.0}, seeds=1)
    curves = crossing_curves(frame)
    curves = curves[(curves.optimizer == "a") | (curves.fraction <= 0.5)]
    frame.loc[frame.optimizer == "b", "val_loss"] = np.inf
    frame.loc[frame.optimizer == "c", "val_loss"] = np.nan
    late = along_training(curves, frame)[0.9].set_index("optimizer").val_loss
    assert np.isfinite(late["a"]) and np.isposinf(late["b"]) and "c" not in late
    assert np.isfinite(along_training(curves, frame)[0.3].set_index("optimizer").val_loss["b"])


def test_a_curve_is_of_the_searches_whose_report_run_it_is() -> None:
    """Two searches on the same seeds: by the run's id each keeps its own curve, and a run that both chose is in
    both; without an id or a search the two cannot be told apart."""
    first = losses({("a", 1.0): 3.00, ("b", 1.0): 3.05}).assign(search=0)
    first = first.assign(trial_id=[f"{o}0-{s}" for o, s in zip(first.optimizer, first.seed, strict=True)])
    again = first[first.optimizer == "b"].assign(search=1, val_loss=lambda f: f.val_loss + 0.2)
    again = again.assign(trial_id=[f"b1-{s}" for s in again.seed])
    both = first[first.optimizer == "a"].assign(search=1)
    runs = pd.concat([first, again], ignore_index=True)
    curves = pd.concat([runs.assign(fraction=f, val_loss=runs.val_loss + 1 - f) for f in (0.5, 1.0)])
    frame = pd.concat([runs, both], ignore_index=True)
    at = along_training(curves.drop(columns="search"), frame)
    for fraction in (0.5, 1.0):
        found = at[fraction].merge(frame, on=["optimizer", "seed", "search"], suffixes=("", "_end"))
        assert len(found) == len(frame) == 12
        assert (found.val_loss - found.val_loss_end).to_numpy() == pytest.approx(1 - fraction)
    by_search = along_training(curves.drop(columns="trial_id"), frame.drop(columns="trial_id"))
    assert len(by_search[1.0]) == 9, "no curve says that it is of both"
    with pytest.raises(ValueError, match="was searched twice"):
        along_training(curves.drop(columns=["search", "trial_id"]), frame)


def test_tuning_curves_are_not_looked_at() -> None:
    frame = losses({("a", 1.0): 3.0, ("b", 1.0): 3.05})
    assert flips(crossing_curves(frame).assign(use="tuning"), frame).empty


# --- budgets and seconds ---------------------------------------------------------------------------------


def random_trials(scales: dict[str, tuple[float, float]], n: int = 40) -> pd.DataFrame:
    """Evenly spread losses per optimizer: (best, range)."""
    rows = []
    for name, (best, spread) in scales.items():
        rows += [(name, "s", 1.0, 0, best + spread * i / (n - 1)) for i in range(n)]
    frame = pd.DataFrame(rows, columns=["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"])
    return report_runs(frame, use="tuning", purpose="random")


def test_a_flip_between_tuning_budgets_needs_random_trials() -> None:
    runs = random_trials({"robust": (3.1, 0.02), "fussy": (3.0, 1.0)}, n=200)
    frame = losses({("robust", 1.0): 3.1, ("fussy", 1.0): 3.0})
    table = flips(NO_CURVES, frame, runs)
    assert set(table.kind) == {"budget"}
    first = table[table.where_1 == "best of 1"].iloc[0]
    assert first.status == "confirmed"
    assert (
        first.diff_1 == pytest.approx(3.5 - 3.11, abs=0.02) and first.diff_2 < 0
    )  # medians; fussy less robust
    assert flips(NO_CURVES, frame, runs.assign(purpose="peak_lr up")).empty


def test_a_method_that_leads_per_token_may_lose_per_second() -> None:
    truth = {"adamw": 1.0, "slow": 1.3, "quick": 1.2}
    frame = replication(LARGE.__class__("x", speedups=truth), 3, np.random.default_rng(0))
    seconds = frame.optimizer.map({"adamw": 1.0, "slow": 2.0, "quick": 1.0}) * frame.chinchilla_ratio
    runs = report_runs(frame, train_seconds=seconds, tokens=1000 * frame.chinchilla_ratio)
    table = flips(NO_CURVES, frame, runs)
    pairs = set(zip(table.optimizer_a, table.optimizer_b, strict=True))
    assert set(table.kind) == {"seconds"} and pairs == {("adamw", "slow"), ("quick", "slow")}
    assert set(table[table.optimizer_a == "adamw"].status) == {"confirmed"}
    assert flips(NO_CURVES, frame, runs.assign(machine=frame.optimizer)).empty  # never on one machine


def test_at_equal_time_a_diverged_run_stays_infinite_and_one_below_the_floor_is_left_out() -> None:
    frame = replication(LARGE, 2, np.random.default_rng(0))
    lost = (frame.optimizer == "a") & (frame.seed == 0)
    below = (frame.optimizer == "e") & (frame.seed == 1)
    frame.loc[lost, "val_loss"], frame.loc[below, "val_loss"] = np.inf, 1.0
    runs = report_runs(frame, status=np.where(lost, "diverged", "finished"))
    table = in_seconds(frame, runs, "adamw")["m"]
    assert np.isposinf(table.val_loss).sum() == lost.sum() == 4
    assert set(table[np.isposinf(table.val_loss)].optimizer) == {"a"}
    assert len(table) == len(frame) - below.sum()


def test_losses_at_equal_time_are_those_of_the_planted_law() -> None:
    frame = replication(
        LARGE.__class__("x", residual_sd=0, seed_sd=0, shared_sd=0, speedups={"adamw": 1.0, "slow": 1.5}),
        2,
        np.random.default_rng(0),
    )
    runs = report_runs(frame, train_seconds=np.where(frame.optimizer == "slow", 2.0, 1.0))
    table = in_seconds(frame, runs, "adamw")["m"]
    alpha, exponent, beta = LARGE.curve
    slow = table[table.optimizer == "slow"]
    expected = alpha * (slow.chinchilla_ratio * 1.5 / 2) ** -exponent + beta
    assert slow.val_loss.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)
    base = table[table.optimizer == "adamw"].val_loss
    assert base.to_numpy() == pytest.approx(frame[frame.optimizer == "adamw"].val_loss.to_numpy(), abs=1e-6)


# --- how often wrong, how fast ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPLICATIONS)
def test_replications_without_a_flip_seldom_show_a_confirmed_one(name: str) -> None:
    """The bench asks for 5 % of 1,000 replications; at 5 % more than 2 of 20 have a chance of one in
    thirteen."""
    shares = false_flips(name, seeds=3, replications=20)
    assert set(shares) == set(REPLICATIONS[name][0])
    assert max(shares.values()) <= 0.1, shares


def test_the_replications_that_invite_false_flips_have_significant_differences_on_one_side() -> None:
    curves, frame = tied_replication(3, np.random.default_rng(0))
    bands = rank_bands(frame).set_index(["scale", "chinchilla_ratio", "optimizer"])
    for task in (("small", 1.0), ("large", 2.0)):
        assert (bands.loc[task, "rank_lo"] == bands.loc[task, "rank_hi"]).sum() >= 6
    table = flips(curves, frame)
    assert table.kind.value_counts().min() > 20  # many orders change; none may be confirmed but by chance
    assert set(table.kind) == {"fraction", "ratio", "scale"}


@pytest.mark.parametrize("planted", [(1.0, 2.0), (1.4, 1.4)])
def test_true_differences_stand_against_the_equal_ones_in_time_or_tokens(planted) -> None:
    losses, runs = timed_replication(5, np.random.default_rng(1), {"adamw": (1.0, 1.0), "x": planted})
    sides = {"tokens": losses, "seconds": in_seconds(losses, runs, "adamw")["m"]}
    gap = {
        name: f.groupby("optimizer").val_loss.mean()["x"] - f.groupby("optimizer").val_loss.mean()["adamw"]
        for name, f in sides.items()
    }
    apart, equal = ("seconds", "tokens") if planted[0] == 1.0 else ("tokens", "seconds")
    assert abs(gap[apart]) > 0.05 > 0.02 > abs(gap[equal])


def test_searches_are_equal_at_one_budget_and_apart_at_another() -> None:
    table = budget_medians(searched_replication(np.random.default_rng(0), level_at=1, trials=400))
    wide = table[table.chinchilla_ratio == 1.0].set_index(["k", "optimizer"])
    best = {k: wide.loc[k] for k in (1, 8)}
    assert best[1]["lo"].max() < 3.0 < best[1]["hi"].min()
    assert best[8].loc["o10", "hi"] < best[8].loc["o00", "lo"] - 0.5


def test_order_of_rows_does_not_matter() -> None:
    curves, frame = tied_replication(3, np.random.default_rng(0), optimizers=4)
    shuffled = flips(curves.sample(frac=1, random_state=1), frame.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(flips(curves, frame), shuffled)


def test_10_000_report_runs_with_curves_take_less_than_ten_seconds() -> None:
    parts = []
    for i in range(8):
        names = {f"o{k}": 1 + k / 50 for k in range(10)} | {"adamw": 1.0}
        parts.append(
            replication(LARGE.__class__("x", speedups=names), 29, np.random.default_rng(i)).assign(
                scale=f"s{i}"
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    assert len(frame) > 10_000
    curves = frame.loc[frame.index.repeat(16)].assign(fraction=np.tile(np.arange(1, 17) / 16, len(frame)))
    curves["val_loss"] += 1 / curves.fraction - 1
    began = time.process_time()
    flips(curves, frame, report_runs(frame))
    rank_bands(frame)
    assert time.process_time() - began < 10
