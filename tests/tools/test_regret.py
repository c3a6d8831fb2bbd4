"""Simulated surfaces are what they say, and the model finds lower ones than the other searches do."""

import statistics

import numpy as np
import pytest

from tools import regret
from tools.regret import FAR, NEAR, axes, regrets, surface


def test_a_surface_has_one_lowest_point_where_it_says():
    bowl = surface(5, NEAR, 3)
    assert (np.linalg.eigvalsh(bowl.matrix) > 0).all()
    lines = axes(5)
    start = {name: axis.start for name, axis in lines.items()}
    at_start = bowl.optimum @ bowl.matrix @ bowl.optimum
    assert bowl.excess(start) == pytest.approx(at_start)
    best = {name: 0.02 * 2**step for name, step in zip(lines, bowl.optimum, strict=True)}
    assert bowl.excess(best) == pytest.approx(0, abs=1e-9)
    assert (surface(5, NEAR, 3).matrix == bowl.matrix).all() and (
        surface(5, NEAR, 4).matrix != bowl.matrix
    ).any()


def test_the_model_has_less_regret_at_equal_budget():
    """Forty trials in five axes from far starts."""
    means = {}
    for name in ("gp", "coordinate descent", "random"):
        search, searches, seeds = regret.VARIANTS[name]
        means[name] = statistics.fmean(regrets(search, 5, FAR, 0.012, 40, searches, seeds, 12))
    assert means["gp"] < 0.75 * means["coordinate descent"]
    assert means["gp"] < 0.3 * means["random"]


def test_the_table_names_every_search_and_regime(monkeypatch):
    monkeypatch.setattr(regret, "VARIANTS", {"random": regret.VARIANTS["random"]})
    lines = regret.table(2, budgets=(3,), noises=(0.01,)).splitlines()
    assert len([line for line in lines if line.startswith("random")]) == 4
    assert lines[0].startswith("5 axes, noise 0.010, near starts, 2 surfaces")
