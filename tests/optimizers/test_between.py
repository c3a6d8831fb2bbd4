"""The spaces of the ladder between micro and paper: one rule for every optimizer, and a user's file too."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import optimizers
from benchmark import scales
from optimizers.base import Axis
from optimizers.shared.between import between
from optimizers.user import files

WEIGHT = scales.position("gpu")


def spaces(name: str) -> Any:
    cls = optimizers.get(name)
    defaults = {f.name: getattr(cls(), f.name) for f in dataclasses.fields(cls)}
    return cls.space["micro"], cls.space["paper"], defaults


def ends(axis: Axis) -> tuple[float, float]:
    """The smallest and the largest value that is not 0."""
    values = [float(v) for v in axis.grid if float(v) > 0]
    return min(values), max(values)


@pytest.mark.parametrize("name", optimizers.names())
def test_every_axis_lies_between_those_of_the_two_ladders(name):
    micro, paper, defaults = spaces(name)
    for weight in (0.02, 0.3, WEIGHT, 0.98):
        found = between(micro, paper, weight, defaults)
        assert {*found} == {*micro, *paper}
        for hyperparameter, axis in found.items():
            both = [s[hyperparameter] for s in (micro, paper) if hyperparameter in s]
            starts = [a.start for a in both] + [defaults[hyperparameter]] * (len(both) == 1)
            assert axis.start in axis.grid
            assert min(map(float, starts)) <= float(axis.start) <= max(map(float, starts))
            if len(both) == 2:
                for mine, others in zip(ends(axis), zip(*map(ends, both), strict=True), strict=True):
                    assert min(others) <= mine <= max(others), hyperparameter
                assert all(a.spacing == axis.spacing for a in both)
            else:
                assert axis.grid == (axis.start,)  # not searched by both, not searched here


@pytest.mark.parametrize("name", optimizers.names())
def test_the_ends_reproduce_the_two_ladders(name):
    micro, paper, defaults = spaces(name)
    assert between(micro, paper, 0.0, defaults) == micro
    assert between(micro, paper, 1.0, defaults) == paper


@pytest.mark.parametrize("name", optimizers.names())
def test_beside_an_end_what_changes_is_less_than_a_step(name):
    """No special case of the ends: the rule itself arrives there."""
    micro, paper, defaults = spaces(name)
    for weight, there in ((0.001, micro), (0.999, paper)):
        found = between(micro, paper, weight, defaults)
        for hyperparameter in {*micro} & {*paper}:
            mine, theirs = found[hyperparameter], there[hyperparameter]
            steps = [abs(math.log(a / b)) for a, b in zip(ends(mine), ends(theirs), strict=True)]
            assert max(steps) < math.log(2), hyperparameter


def test_adamw_s_space_by_hand():
    micro, paper, defaults = spaces("adamw")
    found = between(micro, paper, 0.5834, defaults)
    # .128 and .032 are two octaves apart: 1.17 of them down from .128, rounded to one
    assert found["peak_lr"] == Axis((0.004, 0.008, 0.016, 0.032, 0.064), 0.016, "log")
    # 0.05 to 0.1 and 0.4 to 0.2, each 0.58 of an octave
    assert found["weight_decay"] == Axis((0.0, 0.1, 0.2), 0.1, "log")
    # 1 - .6 to 1 - .9: .4 * .25**.5834 = .178, nearest to 1 - .8
    assert found["beta1"].grid == (0.8, 0.9, 0.95, 0.98)
    # 1e-10 and 1e-20 in steps of 1e-5: 10**-15.8
    assert found["eps"].grid == (1e-15,)


CASES = [  # micro, paper, the default, what lies half way
    (Axis((1.0, 2.0, 4.0), 2.0, "log"), Axis((16.0, 32.0, 64.0), 32.0, "log"), 0, ((4.0, 8.0, 16.0), 8.0)),
    (Axis((0.0, 1.0, 2.0), 0.0, "log"), Axis((0.0, 1.0, 2.0, 4.0, 8.0), 4.0, "log"), 0, ((0.0, 1, 2, 4), 4.0)),
    (Axis((1, 2), 1), Axis((4, 8), 4), 0, ((2, 4), 2)),
    (Axis(("a", "b"), "a"), Axis(("b", "c"), "c"), "a", (("b", "c"), "c")),
    (Axis((0, 1), 0), Axis((0, 1, 2, 4), 4), 0, ((0, 1, 2), 2)),
    (None, Axis((128, 256, 512), 256), 0, ((256,), 256)),
    (None, Axis((128, 256, 512), 512), 128, ((256,), 256)),
    (Axis((0.1, 0.2, 0.4), 0.4, "log"), None, 0.1, ((0.2,), 0.2)),
    (Axis(("on", "off"), "on"), None, "off", (("off",), "off")),
]


@pytest.mark.parametrize(("micro", "paper", "default", "expected"), CASES)
def test_kinds_of_axes(micro, paper, default, expected):
    lower, upper = ({"x": axis} if axis else {} for axis in (micro, paper))
    axis = between(lower, upper, 0.5, {"x": default})["x"]
    assert (axis.grid, axis.start) == expected
    assert [type(v) for v in axis.grid] == [type(v) for v in expected[0]] or axis.spacing == "log"


def test_a_user_s_short_file_has_the_axes_that_it_says(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(
        'space = {"peak_lr": (0.1, 0.2, 0.4), "beta": (0.8, 0.9)}\n'
        "def jax_optimizer(learning_rate, beta):\n    import optax\n    return optax.sgd(learning_rate, beta)\n"
    )
    cls = files.load(str(path))
    assert between(cls.space["micro"], cls.space["paper"], WEIGHT, {}) == cls.space["micro"]
