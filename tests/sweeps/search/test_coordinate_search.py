"""Properties of the search within one cell, on simulated loss surfaces."""

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizers.base import Axis
from sweeps.search.space import Grid, key

PROPERTY = settings(
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RATE = Axis((0.008, 0.016, 0.032, 0.064), 0.016, "log")


@st.composite
def bowls(draw, least_axes=1):
    """Axes with a separable bowl over them: (axes, surface, the best setting). Optima lie on grid points, up to
    two steps beyond the ends of grids that go on; words have a price each."""
    axes, best, prices = {}, {}, {}
    for index in range(draw(st.integers(least_axes, 5))):
        name = f"h{index}"
        kind = draw(st.sampled_from(["rate", "beta", "fixed", "word"])) if index else "rate"
        weight = draw(st.floats(0.01, 1.0))
        if kind == "word":
            words = ("a", "b", "c")
            costs = draw(st.permutations([0.0, weight, 2 * weight]))
            axes[name] = Axis(words, draw(st.sampled_from(words)))
            prices[name] = dict(zip(words, costs, strict=True))
            best[name] = words[costs.index(0.0)]
            continue
        grid = {"rate": (0.01, 0.02, 0.04, 0.08), "beta": (0.8, 0.9, 0.95), "fixed": (4, 8, 16, 32)}[kind]
        spacing = {"rate": "log", "beta": "log1m", "fixed": "fixed"}[kind]
        axes[name] = Axis(grid, draw(st.sampled_from(grid)), spacing, high=1.0 if kind == "beta" else math.inf)
        reach = list(grid)
        for _ in range(2 if spacing != "fixed" else 0):
            reach = [*filter(None, [axes[name].beyond(tuple(reach), False)]), *reach]
            reach = [*reach, *filter(None, [axes[name].beyond(tuple(reach), True)])]
        best[name] = draw(st.sampled_from(reach))
        prices[name] = (kind, weight, best[name])

    def surface(setting, seed):
        return math.fsum(_price(prices[name], value) for name, value in setting.items())

    return axes, surface, best


def _price(price, value):
    if isinstance(price, dict):
        return price[value]
    kind, weight, best = price
    flip = (lambda x: 1 - x) if kind == "beta" else (lambda x: x)
    return weight * math.log(flip(value) / flip(best)) ** 2


def _rough(salt):
    """A surface without structure, part of which diverges: searches must end and keep their books on it too."""

    def surface(setting, seed):
        value = random.Random(f"{salt} {sorted(setting.items())} {seed}").random()
        return math.inf if value > 0.8 else value

    return surface


@PROPERTY
@given(bowls())
def test_finds_the_optimum_of_separable_bowls_and_brackets_it(search, bowl):
    axes, surface, best = bowl
    found, history = search(surface, axes, 80)
    assert found.winner == best
    for name in (n for n, axis in axes.items() if not isinstance(axis.start, str)):
        whole = [e.setting for e in history.entries if "refinement" not in e.purpose]
        line = {s[name] for s in whole if {**s, name: 0} == {**found.winner, name: 0}}
        grid = Grid(axes[name], tuple(sorted({*axes[name].grid, *line})))
        if grid.step(found.winner[name], upward=False):
            assert min(line) < found.winner[name]
        if grid.step(found.winner[name], upward=True):
            assert max(line) > found.winner[name]


@PROPERTY
@given(bowls(), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([(0,), (0, 1, 2)]))
def test_keeps_to_its_budget_and_never_asks_twice(search, bowl, budget, salt, seeds):
    axes, _, _ = bowl
    _, history = search(_rough(salt), axes, budget, seeds=seeds)
    asked = [(key(entry.setting), entry.seed) for entry in history.entries]
    assert len(asked) == len(set(asked)) <= budget


@PROPERTY
@given(bowls(least_axes=3), st.integers(1, 40), st.sampled_from([(0,), (0, 1, 2)]))
def test_spends_its_budget_to_the_last_trial(search, bowl, budget, seeds):
    axes, surface, _ = bowl
    _, history = search(surface, axes, budget, seeds=seeds)
    assert len(history.entries) == budget


@pytest.mark.parametrize("best", [0.002, 0.016, 0.0226, 0.5])
def test_six_trials_of_one_rate_are_all_spent(search, best):
    _, history = search(lambda s, _: math.log(s["peak_lr"] / best) ** 2, {"peak_lr": RATE}, 6)
    assert len(history.entries) == 6


@PROPERTY
@given(bowls(), st.integers(1, 40), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_order_in_which_answers_arrive_does_not_matter(search, bowl, budget, salt, arrival):
    axes, _, _ = bowl
    one, first = search(_rough(salt), axes, budget, seeds=(0, 1, 2))
    other, second = search(_rough(salt), axes, budget, seeds=(0, 1, 2), arrival=arrival)
    assert one == other
    assert first.entries == second.entries  # settings, seeds, purposes and losses, in order


@PROPERTY
@given(bowls(), st.integers(3, 60), st.integers(0, 10**6))
def test_the_winner_is_the_best_of_all_that_was_tried(search, bowl, budget, salt):
    """Extensions, restarts and refinements included; without a winner nothing that was tried has trained."""
    axes, _, _ = bowl
    found, history = search(_rough(salt), axes, budget)
    lowest = min(entry.loss for entry in history.entries)
    assert (found.winner is None) == (lowest == math.inf)
    if found.winner is not None:
        assert history.loss(found.winner) == lowest


@PROPERTY
@given(bowls(), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_what_a_seed_does_to_every_setting_does_not_mislead_it(search, bowl, luck):
    """Seeds of very different luck, up to ten nats apart; replicates on some of them for some settings."""
    axes, surface, best = bowl
    found, _ = search(lambda setting, seed: surface(setting, seed) + luck[seed], axes, 120, seeds=(0, 1, 2))
    assert found.winner == best


def test_the_first_round_asks_for_the_start_and_both_neighbours_at_once(search):
    asked = []

    def surface(setting, seed):
        asked.append(setting["peak_lr"])
        return 0.0

    search(surface, {"peak_lr": RATE}, 3)
    assert sorted(asked) == [0.008, 0.016, 0.032]


def test_a_divergent_side_is_a_bracket(search):
    def surface(setting, seed):
        return math.inf if setting["peak_lr"] > 0.016 else 1 / setting["peak_lr"]

    found, history = search(surface, {"peak_lr": RATE}, 3)
    assert found.winner == {"peak_lr": 0.016}
    assert len(history.entries) == 3


def test_where_nothing_trains_it_goes_down(search):
    def surface(setting, seed):
        return math.inf if setting["peak_lr"] > 0.003 else setting["peak_lr"]

    found, _ = search(surface, {"peak_lr": RATE}, 8)
    assert found.winner is not None
    assert found.winner["peak_lr"] <= 0.002


def test_a_search_that_never_trains_spends_its_budget_and_has_no_winner(search):
    found, history = search(lambda *_: math.inf, {"peak_lr": RATE}, 9)
    assert found.winner is None
    assert len(history.entries) == 9


def test_ties_stay_at_the_start(search):
    found, _ = search(
        lambda *_: 1.0, {"peak_lr": RATE, "clip": Axis((0.0, 1.0, 2.0), 1.0)}, 30, seeds=(0, 1, 2)
    )
    assert found.winner == {"peak_lr": 0.016, "clip": 1.0}


def test_an_impossible_setting_is_never_asked_for(search):
    axes = {"peak_lr": RATE, "batch_size": Axis((4, 8, 16, 32), 8)}
    _, history = search(
        lambda s, _: -s["batch_size"], axes, 30, possible=lambda setting: setting["batch_size"] <= 16
    )
    assert max(entry.setting["batch_size"] for entry in history.entries) == 16


def test_extensions_leave_trials_for_the_other_essential_hyperparameters(search):
    axes = {"peak_lr": RATE, "weight_decay": Axis((0.0, 0.1, 0.2, 0.4), 0.1, "log")}
    _, history = search(lambda s, _: -math.log(s["peak_lr"]), axes, 6)
    purposes = [entry.purpose for entry in history.entries]
    assert sum(purpose.startswith("weight_decay") for purpose in purposes) == 2
    assert history.entries[3].purpose == "peak_lr up"  # one trial could be spared to go on


def test_comparisons_at_different_seeds_cannot_keep_it_going_round(search):
    """Four settings in a square, each of which loses to the next at the seeds that the two share."""
    losses = {
        ("a", "p"): [1.0, 0.9, -2.0],
        ("b", "p"): [0.5, 0.7, 9.0],
        ("b", "q"): [0.46, 0.5, 2.0],
        ("a", "q"): [0.45, 0.45, 1.9],
    }
    axes = {name: Axis((*words,), words[0]) for name, words in {"z": "01", "x": "ab", "y": "pq"}.items()}

    def surface(setting, seed):
        return losses[setting["x"], setting["y"]][seed] if setting["z"] == "0" else 9.0 + seed

    found, _ = search(surface, axes, 40, seeds=(0, 1, 2), band=0.1)
    assert found.winner is not None


def test_most_sensitive_hyperparameters_come_first_after_the_first_pass(search):
    """An interaction moves the optimum of the first axis, so a second visit is needed; the budget allows one
    axis only, and the one with the largest swing must get it."""
    axes = {"flat": Axis((1, 2, 3), 2), "steep": Axis((1, 2, 3, 4, 5), 2), "last": Axis((1, 2), 1)}

    def surface(setting, seed):
        target = 2 if setting["last"] == 1 else 3
        return 0.001 * abs(setting["flat"] - 2) + abs(setting["steep"] - target) - 5 * (setting["last"] == 2)

    found, history = search(surface, axes, 9)
    revisits = [entry.purpose for entry in history.entries[6:]]
    assert revisits[0].startswith("steep")
    assert found.winner == {"flat": 2, "steep": 3, "last": 2}


def test_what_is_left_over_starts_again_elsewhere(search):
    """Coordinate descent alone stops at (1, 1): the better (3, 3) is not one change away."""
    losses = {(1, 1): 1.0, (3, 3): 0.0, (2, 1): 1.2, (1, 2): 1.2, (3, 1): 1.1, (1, 3): 1.1}
    axes = {"a": Axis(("1", "2", "3"), "1"), "b": Axis(("1", "2", "3"), "1")}

    def surface(setting, seed):
        return losses.get((int(setting["a"]), int(setting["b"])), 1.5)

    found, history = search(surface, axes, 20)
    assert any(entry.purpose == "restart" for entry in history.entries)
    assert found.winner == {"a": "3", "b": "3"}
