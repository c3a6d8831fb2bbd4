"""Positions on an axis and back, shares of a grid, open sides, and the points that a model sees."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizers.base import Axis
from sweeps.search.box import Line, coordinates, sobol

RATE = Line(Axis((0.008, 0.016, 0.032), 0.016, "log"))
BETA = Line(Axis((0.8, 0.9, 0.95), 0.9, "log1m", high=0.9999))
DECAY = Line(Axis((0.0, 0.1, 0.2), 0.1, "log"))
BATCH = Line(Axis((4, 8, 16, 32), 8))
KIND = Line(Axis(("cosine", "linear"), "cosine"))
ALL = (RATE, BETA, DECAY, BATCH, KIND)


def test_positions_are_grid_steps():
    assert [RATE.position(v) for v in (0.004, 0.008, 0.016, 0.064)] == pytest.approx([-1, 0, 1, 3])
    assert [BETA.position(v) for v in (0.8, 0.9, 0.95, 0.975)] == pytest.approx([0, 1, 2, 3])
    assert [DECAY.position(v) for v in (0.0, 0.1, 0.2)] == pytest.approx([-1, 0, 1])
    assert [BATCH.position(v) for v in (4, 8, 32)] == [0, 1, 3]


def test_a_step_goes_on_beyond_the_grid_where_the_axis_does():
    assert RATE.moved(0.032, 1) == 0.064 and RATE.moved(0.008, -1) == 0.004
    assert BETA.moved(0.95, 1) == 0.975 and BETA.moved(0.8, -1) == 0.6
    assert DECAY.moved(0.1, -1) == 0.0 and DECAY.moved(0.0, -1) is None and DECAY.moved(0.0, 1) == 0.1
    assert BATCH.moved(32, 1) is None and KIND.moved("cosine", 1) is None
    assert Line(Axis((0.1, 0.2, 0.4), 0.2, "log", high=0.4)).moved(0.4, 1) is None
    assert BETA.moved(0.9999, 1) is None


def test_values_of_the_grid_keep_their_spelling():
    assert [RATE.value(p) for p in (0, 1, 2)] == [0.008, 0.016, 0.032]
    odd = Line(Axis((0.01230001, 0.02460002), 0.01230001, "log"))
    assert odd.value(0) == 0.01230001
    assert RATE.value(0.5) == 0.0113  # three digits between them


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(ALL), st.floats(0, 1, exclude_max=True))
def test_a_share_of_the_grid_is_one_of_its_values_or_between(line, share):
    value = line.at(share)
    if line.ordered:
        assert float(line.values[0]) <= float(value) <= float(line.values[-1])
    if line.axis.spacing == "fixed":
        assert value in line.axis.grid


def test_words_fixed_values_and_zero_have_equal_shares():
    shares = [(i + 0.5) / 1200 for i in range(1200)]
    assert [[BATCH.at(s) for s in shares].count(v) for v in (4, 8, 16, 32)] == [300] * 4
    assert [[KIND.at(s) for s in shares].count(v) for v in ("cosine", "linear")] == [600] * 2
    assert [DECAY.at(s) for s in shares].count(0.0) == 400


def test_a_side_is_open_where_nothing_was_tried_and_the_axis_goes_on():
    assert RATE.open_sides(0.016, {0.008, 0.016, 0.032}) == []
    assert RATE.open_sides(0.032, {0.008, 0.016, 0.032}) == [True]
    assert RATE.open_sides(0.016, {0.016}) == [False, True]
    assert DECAY.open_sides(0.0, {0.0, 0.1}) == []  # nothing lies below none
    assert BATCH.open_sides(32, {16, 32}) == [] and BATCH.open_sides(16, {8, 16}) == [True]
    assert KIND.open_sides("cosine", {"cosine"}) == []


def test_around_a_value_lies_one_step_on_each_side():
    assert RATE.around(0.02).grid == (0.01, 0.02, 0.04)
    assert DECAY.around(0.1).grid == (0.0, 0.1, 0.2) and DECAY.around(0.0).grid == (0.0, 0.1)
    assert BATCH.around(32).grid == (16, 32)
    assert KIND.around("linear").grid == ("cosine", "linear")


def test_words_are_equally_far_from_each_other_and_grids_equally_long():
    words = Line(Axis(("a", "b", "c"), "a"))
    points, owners = coordinates([RATE, words], [(0.008, "a"), (0.032, "a"), (0.008, "b"), (0.008, "c")])
    assert owners == [0, 1, 1, 1]
    gaps = np.linalg.norm(points - points[0], axis=1)
    assert gaps.tolist() == pytest.approx([0, 1, 1, 1])
    assert np.linalg.norm(points[2] - points[3]) == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_sobol_points_are_as_many_as_asked_and_the_same_again(count):
    points = sobol(5, count, 7)
    assert points.shape == (count, 5) and (points >= 0).all() and (points < 1).all()
    assert (points == sobol(5, count, 7)).all()
    assert count == 1 or not (points == sobol(5, count, 8)).all()


def test_sobol_points_fill_the_box_better_than_draws_do():
    """Of 8 points every eighth of every axis has one."""
    assert all(sorted(np.floor(8 * column)) == list(range(8)) for column in sobol(5, 8, 3).T)


def test_a_single_value_is_an_axis_too():
    line = Line(Axis((0.1,), 0.1, "log"))
    assert line.at(0.99) == 0.1 and line.span == 1.0 and line.open_sides(0.1, {0.1}) == []
    assert math.isfinite(line.position(0.1))
