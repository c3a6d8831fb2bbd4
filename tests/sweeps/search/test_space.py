"""Steps on a grid, beyond it and between its points; grids moved to a start; random draws."""

import math
import random

import pytest
from scipy import stats

from optimizers.base import Axis
from sweeps.search.random_search import draw
from sweeps.search.space import Grid, Step, anchored, key, snapped

RATE = Axis((0.008, 0.016, 0.032), 0.016, "log")
BETA = Axis((0.8, 0.9, 0.95), 0.9, "log1m", high=0.9999)
DECAY = Axis((0.0, 0.1, 0.2), 0.1, "log")
BATCH = Axis((4, 8, 16, 32), 8)
KIND = Axis(("cosine", "linear"), "cosine")


def test_steps_inside_a_grid():
    assert Grid.of(RATE).steps(0.016) == [Step(0.008, False, False), Step(0.032, True, False)]


def test_a_grid_goes_on_beyond_its_ends_where_its_scale_says_so():
    assert Grid.of(RATE).step(0.032, True) == Step(0.064, True, True)
    assert Grid.of(BETA).step(0.95, True) == Step(0.975, True, True)
    assert Grid.of(DECAY).step(0.0, False) is None
    assert Grid.of(BATCH).step(32, True) is None
    once = Grid.of(RATE).extended(0.064)
    assert once.step(0.064, True) == Step(0.128, True, True)
    assert once.step(0.032, True) == Step(0.064, True, True)  # still not one of the declared values


def test_words_have_no_order():
    assert Grid.of(KIND).steps("cosine") == [Step("linear", True, False)]
    assert Grid.of(KIND).step("cosine", True) is None


def test_a_grid_may_be_declared_in_any_order():
    assert Grid.of(Axis((0.032, 0.008, 0.016), 0.016, "log")).steps(0.016) == Grid.of(RATE).steps(0.016)


@pytest.mark.parametrize(
    ("axis", "value", "expected"),
    [(RATE, 0.016, 0.02263), (BETA, 0.9, 0.9293), (BATCH, 8, None), (DECAY, 0.2, 0.2828)],
)
def test_half_a_step_up(axis, value, expected):
    assert Grid.of(axis).between(value, True, 0.5) == expected


def test_between_a_value_and_zero_lies_nothing_on_a_logarithmic_scale():
    assert Grid.of(DECAY).between(0.1, False, 0.5) is None


def test_a_grid_moves_to_its_start_and_keeps_its_steps():
    assert anchored(RATE, 0.02).grid == (0.01, 0.02, 0.04)
    assert anchored(RATE, 0.5).grid == (0.125, 0.25, 0.5)
    assert anchored(RATE, 0.032).grid == RATE.grid
    assert anchored(DECAY, 0.14).grid == (0.0, 0.14, 0.28)
    assert anchored(BETA, 0.93).grid == (0.72, 0.86, 0.93)
    assert anchored(BATCH, 6).grid == (4, 8, 16, 32, 6)
    assert Grid.of(anchored(BATCH, 6)).steps(6) == [Step(4, False, False), Step(8, True, False)]


def test_a_moved_grid_stays_inside_the_limits_of_meaning():
    axis = Axis((0.1, 0.2, 0.4), 0.2, "log", high=0.5)
    assert anchored(axis, 0.28).grid == (0.14, 0.28)


def test_a_predicted_value_is_snapped_only_where_the_grid_is_fixed():
    assert snapped(BATCH, 11.0) == 8
    assert snapped(BATCH, 12.0) == 16
    assert snapped(RATE, 0.0123456) == 0.0123
    assert snapped(BETA, 1.2) == 0.9999


def test_settings_are_equal_whatever_the_order_of_their_names():
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})


def test_draws_are_uniform_on_the_scale_of_the_axis():
    coins = random.Random(0)
    logs = [math.log(draw(RATE, coins) / 0.008) / math.log(4) for _ in range(2000)]
    assert stats.kstest(logs, "uniform").pvalue > 0.01
    logs = [math.log((1 - draw(BETA, coins)) / 0.05) / math.log(4) for _ in range(2000)]
    assert stats.kstest(logs, "uniform").pvalue > 0.01
    zeros = sum(draw(DECAY, coins) == 0.0 for _ in range(3000))
    assert stats.binomtest(zeros, 3000, 1 / 3).pvalue > 0.01
    assert {draw(BATCH, coins) for _ in range(100)} == set(BATCH.grid)
