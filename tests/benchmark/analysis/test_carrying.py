"""Regret of carried settings on made-up losses with answers known by arithmetic."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis.carrying import COLUMNS, regrets
from benchmark.analysis.residuals import by_scale

SEEDS, SEARCHES = range(4), range(2)


def losses(levels, spread=0.002):
    """(optimizer, scale) -> level: two searches of four seeds each, alike but for `spread` at one seed."""
    rng = np.random.default_rng(1)
    rows = [
        (name, scale, 1.0, search, seed, level + 0.05 * seed + spread * rng.standard_normal())
        for (name, scale), level in levels.items()
        for search in SEARCHES
        for seed in SEEDS
    ]
    columns = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


PLANTED = {
    ("adamw", "55k"): 3.5,
    ("adamw@mup", "55k"): 3.5,
    ("adamw@constant", "55k"): 3.6,
    ("muon", "55k"): 3.4,
    ("muon@mup", "55k"): 3.3,
    ("adamw", "100k"): 3.2,
    ("adamw@mup", "100k"): 3.25,
}


def test_regret_is_against_the_same_optimizer_tuned_on_the_task():
    table = regrets(losses(PLANTED)).set_index(["optimizer", "scale"])
    expected = {
        ("adamw@mup", "55k"): (0.0, "undecided"),
        ("adamw@constant", "55k"): (0.1, "costs"),
        ("muon@mup", "55k"): (-0.1, "saves"),
        ("adamw@mup", "100k"): (0.05, "costs"),
    }
    assert set(table.index) == set(expected)
    for key, (regret, verdict) in expected.items():
        row = table.loc[key]
        assert row["regret"] == pytest.approx(regret, abs=0.004) and row["verdict"] == verdict, key
        assert row["lo"] < row["regret"] < row["hi"] and row["n"] == 8
    assert table.loc[("muon@mup", "55k"), "tuned"] == "muon"


def test_intervals_hold_for_all_rows_at_once():
    """Each at the level divided by the number of rows, with the error and degrees of freedom of its scale."""
    rules = ("mup", "constant", "law", "width")
    frame = losses({("adamw", "100k"): 3.2, **{(f"adamw@{rule}", "100k"): 3.25 for rule in rules}})
    ((_, model),) = by_scale(frame)
    error, df = model.differences()
    row = regrets(frame, alpha=0.08).set_index("optimizer").loc["adamw@mup"]
    at = list(model.optimizer).index("adamw@mup"), list(model.optimizer).index("adamw")
    half = error[at] * stats.t.isf(0.08 / len(rules) / 2, df[at])
    assert [row["lo"], row["hi"]] == pytest.approx([row["regret"] - half, row["regret"] + half])


def test_what_diverged_costs_and_what_was_not_tuned_is_left_out():
    frame = losses(PLANTED)
    frame.loc[frame["optimizer"] == "adamw@constant", "val_loss"] = np.inf
    frame = frame.query("optimizer != 'muon'")
    table = regrets(frame).set_index(["optimizer", "scale"])
    row = table.loc[("adamw@constant", "55k")]
    assert np.isposinf(row["regret"]) and row["verdict"] == "costs" and row["diverged"] == 8
    assert not np.isfinite(row["lo"])
    assert ("muon@mup", "55k") not in table.index


def test_nothing_is_carried_and_names_of_others_mean_nothing():
    levels = {("adamw", "55k"): 3.5, ("me@home", "55k"): 3.4}
    table = regrets(losses(levels))
    assert list(table.columns) == COLUMNS and table.empty
