"""Properties of the search by a model, on simulated loss surfaces."""

import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizers.base import Axis
from sweeps.search.box import Line
from sweeps.search.gp_search import RULES, gp_search
from sweeps.search.history import History, Waiting
from sweeps.search.proposals import Space, bad_as_the_worst, opening
from sweeps.search.space import key

PROPERTY = settings(
    derandomize=True,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RATE = Axis((0.008, 0.016, 0.032, 0.064), 0.016, "log")
MIXED = {
    "peak_lr": RATE,
    "beta": Axis((0.8, 0.9, 0.95), 0.9, "log1m", high=0.9999),
    "weight_decay": Axis((0.0, 0.1, 0.2), 0.1, "log"),
    "batch_size": Axis((4, 8, 16, 32), 8),
    "kind": Axis(("a", "b", "c"), "a"),
}
SEEDS = (0, 1, 2)


def run(surface, axes, budget, *, arrival=None, seeds=SEEDS, possible=lambda s: True, start=None, **how):
    """A search run to its end; with `arrival`, answers come one at a time in an order drawn from it."""
    begin = start or {name: axis.start for name, axis in axes.items()}
    answers, coins = {}, random.Random(arrival)
    for _ in range(10_000):
        history = History(lambda s, seed, _: answers.get((key(s), seed)), budget, seeds, possible)
        try:
            return gp_search(history, axes, begin, "test", **how), history
        except Waiting:
            waiting = [e for e in history.entries if e.loss is None]
            for entry in waiting if arrival is None else [coins.choice(waiting)]:
                answers[key(entry.setting), entry.seed] = surface(entry.setting, entry.seed)
    raise AssertionError("the search does not end")


def bowl(best, noise=0.0):
    """A loss in octaves of the rate around a best one; other axes matter less."""

    def surface(setting, seed):
        loss = 3.5 + 0.03 * math.log2(setting["peak_lr"] / best) ** 2
        loss += 0.1 * (setting.get("weight_decay", 0.1) - 0.1) ** 2 + 0.02 * (setting.get("kind", "b") != "b")
        return loss + random.Random(f"{sorted(setting.items())} {seed}").gauss(0, noise)

    return surface


def rough(salt):
    """A surface without structure, part of which diverges."""

    def surface(setting, seed):
        value = random.Random(f"{salt} {sorted(setting.items())} {seed}").random()
        return math.inf if value > 0.8 else value

    return surface


@PROPERTY
@given(st.integers(2, 24), st.integers(0, 10**6), st.sampled_from([SEEDS, (0,)]))
def test_spends_exactly_its_budget_and_never_asks_twice(budget, salt, seeds):
    _, history = run(rough(salt), MIXED, budget, seeds=seeds)
    asked = [(key(entry.setting), entry.seed) for entry in history.entries]
    assert len(asked) == len(set(asked)) == budget


@PROPERTY
@given(st.integers(3, 20), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_order_in_which_answers_arrive_does_not_matter(budget, salt, arrival):
    one, first = run(rough(salt), MIXED, budget)
    other, second = run(rough(salt), MIXED, budget, arrival=arrival)
    assert one == other and first.entries == second.entries


@PROPERTY
@given(st.floats(-4.5, 4.5))
def test_a_best_rate_is_bracketed_wherever_it_lies(octaves):
    """Up to 22 times the start, or a 22nd of it, in nine trials, with another axis to search."""
    axes = {"peak_lr": RATE, "weight_decay": MIXED["weight_decay"]}
    found, history = run(bowl(0.016 * 2**octaves), axes, 9)
    assert found.winner is not None
    tried = [entry.setting["peak_lr"] for entry in history.entries]
    assert Line(RATE).open_sides(found.winner["peak_lr"], tried) == []
    assert abs(math.log2(found.winner["peak_lr"] / (0.016 * 2**octaves))) < 1.5


def test_an_edge_at_the_end_of_the_budget_is_left_where_trials_beyond_it_are_allowed():
    def falling(setting, seed):
        return -min(math.log2(setting["peak_lr"]), 0.0)

    within, history = run(falling, {"peak_lr": RATE}, 4)
    assert len(history.entries) == 4 and within.winner["peak_lr"] == max(
        e.setting["peak_lr"] for e in history.entries
    )
    beyond, history = run(falling, {"peak_lr": RATE}, 4, beyond=6)
    assert 4 < len(history.entries) <= 10
    assert beyond.winner["peak_lr"] < max(entry.setting["peak_lr"] for entry in history.entries)
    assert {entry.purpose for entry in history.entries[4:]} == {"peak_lr bracket"}


def test_it_finds_a_valley_in_several_axes():
    """Regret below that of the start by a factor of five, on a surface with noise."""
    surface, truth = bowl(0.05, noise=0.005), bowl(0.05)
    found, _ = run(surface, MIXED, 24)
    lowest = truth({"peak_lr": 0.05, "kind": "b"}, 0)
    begin = truth({name: axis.start for name, axis in MIXED.items()}, 0)
    assert truth(found.winner, 0) - lowest < (begin - lowest) / 5


def test_the_opening_is_counted_and_fills_the_box():
    space = Space(tuple(MIXED), tuple(MIXED.values()))
    start = tuple(axis.start for axis in MIXED.values())
    points = opening(space, start, 9, "salt", carried=False)
    assert points[0] == start and len(set(points)) == 9
    assert points != opening(space, start, 9, "other salt", carried=False)
    assert {p[4] for p in points} == {"a", "b", "c"} and len({p[0] for p in points}) >= 8
    near = opening(space, start, 9, "salt", carried=True)
    assert all(0.008 <= p[0] <= 0.032 and p[3] in (4, 8, 16) for p in near)


def test_the_opening_is_asked_for_at_once():
    history = History(lambda *_: None, 10, SEEDS)
    with pytest.raises(Waiting):
        gp_search(history, MIXED, {name: axis.start for name, axis in MIXED.items()}, "test")
    purposes = [entry.purpose for entry in history.entries]
    assert purposes == ["start", *["opening"] * (round(RULES.opening * 10) - 1)]


def test_the_race_is_on_fresh_seeds_and_decides():
    """Two settings alike but for a seed's luck: at fresh seeds the unlucky one is far better."""
    rules = dataclasses.replace(RULES, race=0.4, fewest=0)
    axes = {"peak_lr": RATE, "kind": Axis(("a", "b"), "a")}

    def surface(setting, seed):
        loss = bowl(0.016)({"peak_lr": setting["peak_lr"]}, 0)
        return loss + (0.001 * (setting["kind"] == "b") if seed == 0 else 0.2 * (setting["kind"] == "a"))

    found, history = run(surface, axes, 12, rules=rules)
    raced = [entry for entry in history.entries if entry.purpose == "race"]
    assert {entry.seed for entry in raced} <= {1, 2} and len(raced) == 4
    if len({entry.setting["kind"] for entry in raced}) == 2:
        assert found.winner["kind"] == "b"


def test_the_winner_is_not_the_luckiest_run():
    """One run at the far end of the grid is lucky; its neighbours say that nothing good is there."""

    def surface(setting, seed):
        return 3.0 + 0.05 * math.log2(setting["peak_lr"] / 0.016) ** 2 - 0.12 * (setting["kind"] == "c")

    lucky = {"peak_lr": RATE, "kind": Axis(("a", "b", "c"), "a")}
    found, history = run(surface, lucky, 14, rules=dataclasses.replace(RULES, race=0.0))
    assert found.winner["kind"] == "c"
    chosen = history.loss(found.winner)
    assert chosen - min(entry.loss for entry in history.entries) < 0.02


def test_a_divergent_end_is_a_bracket_and_bad():
    def surface(setting, seed):
        return math.inf if setting["peak_lr"] > 0.04 else bowl(0.03)(setting, seed)

    found, _ = run(surface, {"peak_lr": RATE}, 8)
    assert 0.02 < found.winner["peak_lr"] <= 0.04


def test_where_nothing_trains_it_goes_down():
    def surface(setting, seed):
        return math.inf if setting["peak_lr"] > 0.003 else 3.0

    found, _ = run(surface, {"peak_lr": RATE}, 8)
    assert found.winner is not None and found.winner["peak_lr"] <= 0.003


def test_a_search_that_never_trains_has_no_winner():
    found, history = run(lambda *_: math.inf, {"peak_lr": RATE}, 9)
    assert found.winner is None and len(history.entries) == 9


def test_an_impossible_setting_is_never_asked_for():
    _, history = run(bowl(0.02), MIXED, 20, possible=lambda setting: setting["batch_size"] <= 16)
    assert len(history.entries) == 20
    assert max(entry.setting["batch_size"] for entry in history.entries) == 16


def test_a_space_of_few_values_is_exhausted_and_then_raced():
    axes = {"kind": Axis(("a", "b"), "a")}
    found, history = run(lambda s, seed: 1.0 + (s["kind"] == "a"), axes, 9)
    assert found.winner == {"kind": "b"}
    assert [entry.purpose for entry in history.entries] == ["start", "opening", *["race"] * 4]


def test_nothing_to_search_is_one_trial():
    found, history = run(lambda *_: 1.0, {}, 9, start={"peak_lr": 0.1})
    assert found.winner == {"peak_lr": 0.1} and len(history.entries) == 1


def test_swings_and_what_is_near_come_from_the_model():
    axes = {"peak_lr": RATE, "kind": Axis(("a", "b"), "a"), "eps": Axis((1e-9, 1e-8, 1e-7), 1e-8, "log")}
    found, _ = run(bowl(0.016, noise=0.004), axes, 24)
    assert found.swings["peak_lr"] > 1.5 * found.swings["eps"]
    assert len({setting["eps"] for setting in found.near}) > 1
    assert 0.064 not in {setting["peak_lr"] for setting in found.near}
    assert found.noise is not None and 0.001 < found.noise.sd < 0.03


def test_losses_far_above_the_best_are_drawn_in_and_divergence_is_the_worst():
    seen = bad_as_the_worst([3.5, 3.51, 3.6, 9.0, math.inf])
    assert np.argsort(seen, kind="stable").tolist() == [0, 1, 2, 3, 4]
    assert seen[1] - seen[0] == pytest.approx(0.01, rel=0.1)
    assert seen[3] == seen[4] < 4.5
