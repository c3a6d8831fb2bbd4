"""Tuning statistics against made-up searches with known answers, and against brute force.

Over 400 lines, because every test is made of the runs below and one test file cannot import from another.
"""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis import best_of_k, edges, settings, tuning, whatif
from benchmark.analysis.edges import unbracketed
from benchmark.analysis.speedup import speedups


def runs(*rows: dict[str, Any]) -> pd.DataFrame:
    """Tuning runs of adamw on 27k-1x unless a row says otherwise, tried in the order given."""
    given_rows = [
        {
            "trial_id": f"id{i:04d}",
            "optimizer": "adamw",
            "task": "27k-1x",
            "scale": "27k",
            "chinchilla_ratio": 1.0,
            "seed": 0,
            "use": "tuning",
            "status": "finished" if math.isfinite(row.get("val_loss", 0.0)) else "diverged",
            "purpose": "peak_lr up",
            "finished_at": f"2026-01-01T00:00:{i:02d}.{i:06d}",
            **row,
        }
        for i, row in enumerate(rows)
    ]
    return pd.DataFrame(given_rows)


def point(lr: float, loss: float, wd: float = 0.1, **more: Any) -> dict[str, Any]:
    return {"hp.peak_lr": lr, "hp.weight_decay": wd, "val_loss": loss, **more}


LINE = [point(0.01, 3.5), point(0.02, 3.4), point(0.04, 3.45), point(0.08, math.inf), point(0.02, 3.43, wd=0.2)]


def test_best_so_far_counts_diverged_trials_and_keeps_the_lowest() -> None:
    frame = runs(point(0.08, math.inf), point(0.01, 3.5), point(0.04, 3.6), point(0.02, 3.4))
    got = best_of_k.best_so_far(frame.sample(frac=1, random_state=0))
    assert got.trial.tolist() == [1, 2, 3, 4]
    assert math.isnan(got.best[0]) and got.best[1:].tolist() == [3.5, 3.5, 3.4]


def test_best_so_far_keeps_searches_apart_and_leaves_out_what_has_no_time() -> None:
    frame = runs(point(0.01, 3.5), point(0.02, 3.1, purpose="random"), point(0.04, 3.0, finished_at=""))
    got = best_of_k.best_so_far(frame).set_index("search")
    assert got.best.to_dict() == {"coordinate": 3.5, "random": 3.1}


@drawn(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=7), st.integers(0, 3))
def test_expected_best_of_k_is_the_mean_over_all_subsets(values: list[int], diverged: int) -> None:
    losses = [3 + v / 100 for v in values]
    frame = runs(
        *[point(0.01 * (i + 1), x, purpose="random") for i, x in enumerate([*losses, *[math.inf] * diverged])]
    )
    got = best_of_k.expected_best_of_k(frame)
    counted = losses + [max(losses)] * diverged
    for row in got.itertuples():
        subsets = [min(s) for s in itertools.combinations(counted, int(row.k))]
        assert row.expected == pytest.approx(np.mean(subsets))
        lowest = sorted(min(s) for s in itertools.combinations([*losses, *[math.inf] * diverged], int(row.k)))
        assert row.median == lowest[math.ceil(len(lowest) / 2) - 1]
        assert row.lo <= row.median <= row.hi
    assert got.expected.is_monotonic_decreasing or got.expected.diff().max() < 1e-12
    assert set(got.diverged) == {diverged}


def test_the_interval_for_the_median_best_of_k_covers() -> None:
    """Simulated searches of 40 trials: the 95 % interval holds the true median at least 95 % of the time."""
    rng = np.random.default_rng(0)
    k = np.array([1, 3, 8, 20])
    truth = stats.expon.ppf(1 - 0.5 ** (1 / k))
    inside = np.zeros(len(k))
    for _ in range(120):
        draws = rng.exponential(size=40)
        frame = runs(*[point(0.01, x, purpose="random", trial_id=str(i)) for i, x in enumerate(draws)])
        got = best_of_k.expected_best_of_k(frame).set_index("k").loc[k]
        inside += (got.lo.to_numpy() <= truth) & (truth <= got.hi.to_numpy())
    assert (inside / 120).min() > 0.91  # exact at 0.95 or more; 120 studies give a standard error of .02
    assert np.isneginf(got.lo[20])  # 40 trials do not bound the best of 20 from below


def test_a_run_that_is_there_twice_counts_once_in_what_a_budget_buys() -> None:
    frame = runs(*[point(0.01 * i, 3 + 0.1 * i, purpose="random") for i in range(1, 8)])
    twice = pd.concat([frame, frame.iloc[2:5]]).sample(frac=1, random_state=0)
    for function in (best_of_k.best_so_far, best_of_k.expected_best_of_k, best_of_k.budget_medians):
        pd.testing.assert_frame_equal(function(frame), function(twice))


def test_where_every_trial_diverged_the_best_of_any_number_is_infinite() -> None:
    lost = [point(0.01 * i, math.inf, purpose="random", optimizer="lost") for i in range(1, 4)]
    alone = best_of_k.expected_best_of_k(runs(*lost))
    assert np.isposinf(alone.expected).all() and (alone.diverged == 3).all()
    beside = best_of_k.expected_best_of_k(runs(*lost, point(0.01, 3.5, purpose="random")))
    assert beside[beside.optimizer == "lost"].expected.tolist() == pytest.approx([3.5] * 3)  # the task's worst


def test_budget_medians_hold_all_at_once() -> None:
    """By hand: 12 intervals (4 searches, k = 1, 2 and 4) and the most that is bounded makes 16, so each is at
    1 - .05 / 16; and the medians are those of `expected_best_of_k`."""
    rng = np.random.default_rng(0)
    names = [f"o{i}" for i in range(4)]
    frame = runs(*[point(0.01, rng.random(), purpose="random", optimizer=n) for n in names for _ in range(40)])
    got = best_of_k.budget_medians(frame)
    assert sorted(set(got.k)) == [1, 2, 4]
    for row in got.itertuples():
        own = np.sort(frame[frame.optimizer == row.optimizer].val_loss.to_numpy(float))
        below = stats.binom(40, 1 - 0.5 ** (1 / row.k))
        low = max(j for j in range(1, 41) if below.cdf(j - 1) <= 0.05 / 32)
        high = min(j for j in range(1, 41) if below.sf(j - 1) <= 0.05 / 32)
        assert (row.lo, row.hi) == (own[low - 1], own[high - 1])
    wide = best_of_k.expected_best_of_k(frame).set_index(["optimizer", "k"])
    assert got["median"].tolist() == [wide.loc[(r.optimizer, r.k), "median"] for r in got.itertuples()]
    assert best_of_k.budget_medians(runs(*LINE)).empty


def test_only_random_trials_say_what_a_budget_is_worth() -> None:
    assert best_of_k.expected_best_of_k(runs(*LINE)).empty


def test_budget_swaps_finds_the_budget_where_the_order_turns() -> None:
    """A is good at once and never better, B is usually bad and sometimes very good."""
    a = [point(0.01 * i, 3.40 + 0.001 * i, purpose="random", optimizer="a") for i in range(1, 21)]
    b = [point(0.01 * i, 3.30 + 0.02 * i, purpose="random", optimizer="b") for i in range(1, 21)]
    expected = best_of_k.expected_best_of_k(runs(*a, *b))
    swap = best_of_k.budget_swaps(expected).iloc[0]
    assert (swap.leader_before, swap.leader_after) == ("a", "b")
    wide = expected.pivot(index="k", columns="optimizer", values="expected")
    assert swap.k == wide.index[(wide.b < wide.a).to_numpy().argmax()] and 1 < swap.k < 20
    assert swap.gap_after == pytest.approx(wide.a[20] - wide.b[20])
    assert len(best_of_k.budget_swaps(expected)) == 1 and not swap.clear, (
        "20 trials bound no budget beyond the swap"
    )
    # 64 each: b is at 3.3 in three of ten trials, else at 4, so that its median turns between k = 1 and 2
    a = [point(0.01 * i, 3.40 + 1e-5 * i, purpose="random", optimizer="a") for i in range(1, 65)]
    b = [
        point(0.01 * i, (3.3 if i % 10 < 3 else 4) + 1e-5 * i, purpose="random", optimizer="b")
        for i in range(1, 65)
    ]
    assert best_of_k.budget_swaps(best_of_k.expected_best_of_k(runs(*a, *b))).clear.tolist() == [True]


def test_sensitivity_reads_the_neighbours_of_the_best() -> None:
    got = tuning.sensitivity(runs(*LINE)).set_index("hyperparameter")
    lr = got.loc["peak_lr"]
    assert (lr.best_value, lr.n, lr.diverged) == (0.02, 2, 1)
    assert (lr.min_rise, lr.median_rise, lr.max_rise) == pytest.approx((0.05, 0.075, 0.1))
    assert got.loc["weight_decay"].min_rise == pytest.approx(0.03)


def test_two_changes_at_once_are_no_neighbour() -> None:
    got = tuning.sensitivity(runs(*LINE, point(0.01, 3.9, wd=0.2))).set_index("hyperparameter")
    assert got.loc["peak_lr"].max_rise == pytest.approx(0.1)


def test_seeds_are_shifted_to_one_level_before_they_are_averaged() -> None:
    """Seed 1 is 0.1 worse everywhere. The setting that ran on it alone must not look worse for that."""
    frame = runs(
        point(0.01, 3.50),
        point(0.02, 3.40),
        point(0.02, 3.50, seed=1),
        point(0.01, 3.60, seed=1),
        point(0.04, 3.48, seed=1),
        point(0.16, 3.70),
        point(0.32, math.inf),
        point(0.08, 3.0, seed=9),  # no setting shared with seed 0: nothing to compare it with
    )
    (cell,) = settings.tuned(frame)
    assert dict(zip(cell.column("peak_lr"), cell.loss, strict=True)) == pytest.approx(
        {0.04: 3.38, 0.02: 3.40, 0.01: 3.50, 0.16: 3.70, 0.32: math.inf}
    )
    assert cell.seeds.tolist() == [1, 2, 2, 1, 1]


def test_one_and_one_point_zero_are_one_setting_and_missing_equals_missing() -> None:
    frame = runs({**point(1, 3.0), "hp.x": None}, {**point(1.0, 3.2, seed=1), "hp.x": np.nan, "hp.y": "a"})
    frame["hp.y"] = "a"
    (cell,) = settings.tuned(frame)
    assert len(cell.loss) == 1 and cell.names == ("peak_lr", "weight_decay", "y")


def test_a_search_that_only_diverged_has_no_best() -> None:
    frame = runs(point(0.01, math.inf), point(0.02, math.inf))
    for empty in (tuning.sensitivity(frame), tuning.lr_curves(frame), tuning.lr_tolerance(frame, 0.01)):
        assert empty.empty and "task" in empty


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match="lack the columns status, trial_id"):
        tuning.sensitivity(runs(*LINE).drop(columns=["status", "trial_id"]))


def test_scaling_sensitive_needs_one_value_that_serves_every_task() -> None:
    other = {"task": "27k-2x", "chinchilla_ratio": 2.0}
    frame = runs(
        point(0.01, 3.5), point(0.02, 3.4), point(0.02, 3.402, wd=0.2), point(0.02, 3.6, wd=0.4),
        point(0.01, 3.1, wd=0.2, **other), point(0.02, 3.2, wd=0.2, **other), point(0.01, 3.3, wd=0.1, **other),
    )  # fmt: skip
    got = tuning.scaling_sensitive(frame, band=0.003).set_index("hyperparameter")
    assert got.sensitive.to_dict() == {"peak_lr": True, "weight_decay": False}
    assert got.agreed["weight_decay"] == (0.2,) and got.tasks.to_dict() == {"peak_lr": 2, "weight_decay": 2}
    assert tuning.scaling_sensitive(frame, band=0.0).sensitive.all()


def test_near_the_best_is_by_the_seeds_that_both_ran_on() -> None:
    """By hand: 0.04 is 0.02 above the best on the seed they share; 0.01 is ahead on seed 0 and 0.03 behind
    on average; a seed on which the best diverged says nothing."""
    frame = runs(
        point(0.02, 3.40), point(0.02, 3.50, seed=1), point(0.04, 3.52, seed=1), point(0.08, 3.42, seed=1),
        point(0.01, 3.39), point(0.01, 3.57, seed=1), point(0.16, math.inf), point(0.02, math.inf, seed=7),
        point(0.32, 3.0, seed=7),
    )  # fmt: skip
    (cell,) = settings.tuned(frame)
    best = cell.index({"peak_lr": 0.02, "weight_decay": 0.1})
    assert best is not None and cell.index({"peak_lr": 0.03, "weight_decay": 0.1}) is None
    near = {band: set(cell.column("peak_lr")[cell.near(best, band)]) for band in (0.0, 0.021, 0.031)}
    assert near == {0.0: {0.02, 0.08}, 0.021: {0.02, 0.08, 0.04}, 0.031: {0.02, 0.08, 0.04, 0.01}}


def grid(*values: float, **how: Any) -> dict[str, Any]:
    return {"grid": values, **how}


def test_edges_tells_brackets_from_ends() -> None:
    spaces = {"adamw": {"peak_lr": grid(0.01, 0.02, 0.04, 0.08), "weight_decay": grid(0.0, 0.1, 0.2)}}

    def sides(*rows: dict[str, Any], axes: dict[str, Any] = spaces) -> dict[str, str]:
        return edges.edges(runs(*rows), axes, {}).set_index("hyperparameter").side.to_dict()

    assert sides(*LINE) == {"weight_decay": "down"}, "a diverged rate is a bracket; no decay of 0 was tried"
    row = edges.edges(runs(*LINE), spaces, {}).iloc[0]
    assert (row.best_value, row.low, row.high, row.search, row.searches) == (0.1, 0.0, 0.2, 1, 1)
    assert sides(LINE[1], LINE[3], LINE[0]) == {}, "a decay that nobody varied is not judged"
    assert sides(point(0.02, 3.3, wd=0.0), *LINE) == {}, "nothing lies below 0"
    beside = point(0.04, 3.5, wd=0.2)
    assert sides(*LINE[:2], beside)["peak_lr"] == "up", "above, but not in this alone"
    short = {"adamw": {"peak_lr": grid(0.01, 0.02)}}
    assert sides(*LINE[:2], axes=short) == {"peak_lr": "up"}, "a grid of which no more is known"
    assert sides(*LINE[:2], axes={"adamw": {"peak_lr": grid(0.01, 0.02, scale="fixed")}}) == {}
    assert sides(*LINE[:2], axes={"adamw": {"peak_lr": grid(0.01, 0.02, scale="log")}}) == {"peak_lr": "up"}


def test_edges_takes_a_searchs_own_word_and_judges_the_others() -> None:
    spaces = {"adamw": {"peak_lr": grid(0.01, 0.02, 0.04, 0.08), "weight_decay": grid(0.0, 0.1, 0.2)}}
    again = [point(0.02, 3.6, seed=100), point(0.04, 3.2, seed=100)]
    frame = runs(*LINE, *again)
    ids = frame.trial_id.tolist()
    first = {"winner": {"peak_lr": 0.01, "weight_decay": 0.1}, "unbracketed": {"peak_lr": "down"}}
    cells = {"adamw/27k-1x": {**first, "tuning": ids[:5]}, "adamw/27k-1x#1": {"tuning": ids[5:]}}
    got = edges.edges(frame, spaces, cells)
    columns = ["search", "searches", "hyperparameter", "best_value", "side"]
    assert got[columns].to_numpy().tolist() == [[1, 2, "peak_lr", 0.01, "down"], [2, 2, "peak_lr", 0.04, "up"]]


def test_a_model_s_winner_is_bracketed_by_any_trial_beyond() -> None:
    """A trial beyond that differs in more than one hyperparameter says something to a model, nothing to a
    search that moves one at a time; one that is better than its neighbour brackets nothing."""
    best, both, below = {"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"a": 0.5, "b": 1.0}
    tried = [(best, {0: 3.0}), (both, {0: 3.5}), (below, {0: 3.1})]

    def sides(trials: list, paired: bool) -> dict[str, str]:
        return unbracketed(best, trials, ["a", "b"], lambda name, upward: upward or name == "a", paired)

    assert sides(tried, paired=False) == {} and sides(tried, paired=True) == {"a": "up", "b": "up"}
    worse = [*tried[:2], (below, {0: 2.9})]
    assert sides(worse, paired=True) == {"a": "down, up", "b": "up"}
    other_seed = [*tried[:2], (below, {1: 3.1})]
    assert sides(other_seed, paired=True)["a"] == "down, up"


def test_lr_curve_is_aligned_at_its_optimum() -> None:
    got = tuning.lr_curves(runs(*LINE))
    assert got.octaves.tolist() == [-1, 0, 1, 2]
    assert got.rise.tolist()[:3] == pytest.approx([0.1, 0.0, 0.05]) and got.diverged.tolist()[3]


def test_lr_tolerance_interpolates_and_says_where_it_could_not() -> None:
    crossed = tuning.lr_tolerance(runs(*LINE), 0.025).iloc[0]
    # left: rise 0.1 one octave down, so 0.25 octaves; right: 0.05 one octave up, so 0.5
    assert crossed.octaves == pytest.approx(0.75) and not crossed.at_least
    assert (crossed.low_lr, crossed.high_lr) == pytest.approx((0.02 * 2**-0.25, 0.02 * 2**0.5))
    wide = tuning.lr_tolerance(runs(*LINE), 0.2).iloc[0]
    assert (wide.low_end, wide.high_end, wide.octaves) == ("censored", "diverged", pytest.approx(2.0))
    assert wide.at_least
    with pytest.raises(ValueError, match="positive number of nats"):
        tuning.lr_tolerance(runs(*LINE), 0.0)


@drawn(deadline=None, derandomize=True, max_examples=40)
@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=5),
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=5),
    st.floats(0.01, 0.4),
)
def test_lr_tolerance_equals_a_fine_scan(down: list[float], up: list[float], gap: float) -> None:
    """Of numpy's interpolation, for curves that only rise away from the optimum."""
    left, right = np.cumsum(down), np.cumsum(up)
    x = np.arange(-len(down), len(up) + 1)
    rise = np.concatenate([left[::-1], [0.0], right])
    frame = runs(*[point(0.01 * 2.0**o, 3 + r) for o, r in zip(x, rise, strict=True)])
    scan = np.linspace(x[0], x[-1], 20001)
    share = (np.interp(scan, x, rise) <= gap).mean() * (x[-1] - x[0])
    assert tuning.lr_tolerance(frame, gap).octaves[0] == pytest.approx(share, abs=2e-3)


def test_transfer_cost_is_read_from_a_trial_that_was_run() -> None:
    lion = {"optimizer": "lion"}
    frame = runs(
        *LINE,  # adamw's best: 0.02, 0.1
        point(0.002, 3.3, wd=0.6, **lion), point(0.02, 3.9, wd=0.6, **lion), point(0.002, 3.35, wd=0.1, **lion),
    )  # fmt: skip
    both = whatif.transfer_cost(frame).set_index(["source", "target"])
    assert math.isnan(both.cost["adamw", "lion"]) and both.cost["lion", "lion"] == 0
    rate = whatif.transfer_cost(frame, ["peak_lr"]).set_index(["source", "target"])
    assert rate.cost["adamw", "lion"] == pytest.approx(0.6) and rate.others["adamw", "lion"] == 0
    assert math.isnan(rate.cost["lion", "adamw"]) and rate.changed["lion", "adamw"] == 1
    decay = whatif.transfer_cost(frame, ["weight_decay"]).set_index(["source", "target"])
    assert decay.cost["adamw", "lion"] == pytest.approx(0.05)
    joint = whatif.transfer_cost(pd.concat([frame, runs(point(0.02, 4.0, **lion, trial_id="joint"))]))
    joint = joint.set_index(["source", "target"])
    assert joint.cost["adamw", "lion"] == pytest.approx(0.7) and joint.trial_id["adamw", "lion"] == "joint"


def test_transfer_takes_the_trial_nearest_in_what_is_not_shared() -> None:
    extra = {"optimizer": "muon", "hp.momentum": 0.95}
    frame = runs(
        *LINE,
        point(0.04, 3.2, **extra),
        point(0.02, 3.25, **extra),
        point(0.02, 3.22, **{**extra, "hp.momentum": 0.9}),
    )
    row = whatif.transfer_cost(frame).set_index(["source", "target"]).loc[("adamw", "muon")]
    assert row.cost == pytest.approx(0.05) and row.others == 0 and row.carried == 2
    diverged = runs(*LINE, point(0.04, 3.2, **extra), point(0.02, math.inf, **extra))
    assert math.isinf(whatif.transfer_cost(diverged).set_index(["source", "target"]).cost["adamw", "muon"])


def _losses() -> pd.DataFrame:
    """AdamW: 3 + 0.5 r**-0.5 exactly; muon reaches at r what AdamW reaches at 1.3 r."""
    grid = itertools.product((1.0, 2.0, 4.0, 8.0), (("adamw", 1.0), ("muon", 1.3)), (0, 1, 2))
    rows = [
        (name, "27k", ratio, seed, 3 + 0.5 * (factor * ratio) ** -0.5 + 0.01 * seed)
        for ratio, (name, factor), seed in grid
    ]
    return pd.DataFrame(rows, columns=["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"])


def test_claimed_is_the_speedup_over_the_under_tuned_baseline() -> None:
    """AdamW left at a rate where it needs 1.5 times the tokens: muon would have claimed 1.3 x 1.5."""
    ratio = 4.0
    best, poor = 3 + 0.5 * ratio**-0.5, 3 + 0.5 * (ratio / 1.5) ** -0.5
    task = {"task": "27k-4x", "chinchilla_ratio": ratio}
    frame = runs(
        point(0.02, 9.0, **task), point(0.02, 1.0, wd=0.2, **task), point(0.001, 1.0 + poor - best, **task),
        point(0.001, 5.0, wd=0.3, **task), point(0.5, math.inf, **task),
    )  # fmt: skip
    got = whatif.claimed(frame, _losses()).set_index(["optimizer", "peak_lr"])
    assert got.claimed["muon", 0.001] == pytest.approx(1.3 * 1.5, rel=1e-3)
    assert got.claimed["adamw", 0.001] == pytest.approx(1.5, rel=1e-3)
    tuned = speedups(_losses()).set_index(["optimizer", "chinchilla_ratio"]).speedup["muon", ratio]
    assert got.claimed["muon", 0.02] == pytest.approx(tuned) and got.tuned["muon", 0.02] == tuned
    assert got.best["muon", 0.02] and not got.best["muon", 0.001]
    assert got.inflation["muon", 0.001] == pytest.approx(1.5, rel=1e-3)
    assert got.reference["muon", 0.001] and not got.reference["muon", 0.02]
    assert set(got.reset_index().peak_lr) == {0.001, 0.02}  # the rate that diverged claims nothing


def test_a_rate_with_everything_else_changed_claims_nothing() -> None:
    """A model's search moves all at once: what a poor setting lost is not what its rate cost."""
    task = {"task": "27k-4x", "chinchilla_ratio": 4.0}
    poor = {"hp.beta1": 0.8, "hp.head_lr_ratio": 4.0}
    frame = runs(
        point(0.02, 1.0, **task, **{"hp.beta1": 0.9, "hp.head_lr_ratio": 1.0}),
        point(0.001, 2.0, wd=0.3, **task, **poor),
        point(0.002, 1.5, wd=0.3, **task, **{"hp.beta1": 0.9, "hp.head_lr_ratio": 1.0}),
    )
    assert set(whatif.claimed(frame, _losses()).peak_lr) == {0.02, 0.002}


@drawn(deadline=None, derandomize=True, max_examples=15)
@given(st.randoms(use_true_random=False), st.floats(0.5, 2.0))
def test_row_order_repeats_and_a_shift_of_all_losses_change_nothing(coins: Any, shift: float) -> None:
    rows = [*LINE, point(0.04, 3.6, wd=0.2, seed=1), point(0.02, 3.5, wd=0.2, seed=1)]
    frame = runs(*rows, *[{**row, "optimizer": "lion", "val_loss": row["val_loss"] + 0.1} for row in rows])
    order = list(range(len(frame)))
    coins.shuffle(order)
    other = pd.concat([frame, frame.head(3)]).iloc[[*order, len(frame)]]
    other = other.assign(val_loss=other.val_loss + shift)
    for function in (
        tuning.sensitivity,
        lambda r: edges.edges(r, {"adamw": {"peak_lr": grid(0.02)}}, {}),
        lambda r: tuning.lr_tolerance(r, 0.03),
        lambda r: whatif.transfer_cost(r, ["peak_lr"]).drop(columns="loss"),
        lambda r: tuning.scaling_sensitive(r, 0.01),
    ):
        pd.testing.assert_frame_equal(function(frame), function(other), rtol=1e-9, atol=1e-9)


def test_ten_thousand_runs_take_seconds() -> None:
    import time

    rng = np.random.default_rng(0)
    rows = [
        {
            **point(0.01 * 2.0 ** rng.integers(5), 3 + rng.random(), wd=0.1 * rng.integers(4)),
            "optimizer": f"o{i % 11}", "task": f"t{i % 15}", "trial_id": str(i), "seed": 0,
            "hp.beta1": 0.9 + 0.01 * rng.integers(5), "purpose": "random" if i % 3 else "lr",
        }
        for i in range(10_000)
    ]  # fmt: skip
    frame = runs(*rows)
    start = time.process_time()
    tuning.sensitivity(frame), tuning.lr_tolerance(frame, 0.01), tuning.scaling_sensitive(frame, 0.01)
    best_of_k.best_so_far(frame), best_of_k.expected_best_of_k(frame), whatif.transfer_cost(frame)
    assert time.process_time() - start < 10
