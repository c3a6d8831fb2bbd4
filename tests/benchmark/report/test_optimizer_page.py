"""An optimizer's page: a column a task however many searches it has, and laws that say what they rest on."""

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import laws
from benchmark.analysis.law import fit
from benchmark.frames import rows
from benchmark.report.pages import optimizers
from benchmark.report.table import Column
from benchmark.study import Study

RATES = (0.02, 0.0334, 0.0224, 0.0271)


def study(searches: int = 4, tuned: tuple[str, ...] = ("27k-1x", "27k-2x", "27k-4x")) -> Study:
    """AdamW on four tasks, tuned on some and carried to the others; its rate differs by search, beta1 never."""
    ratios, kinds = (1, 2, 4, 8), ("linear", "linear", "cosine", "linear")
    cells = {
        f"adamw/27k-{ratio}x#{i}": {
            "winner": {"peak_lr": RATES[i] / ratio, "beta1": 0.9, "decay_kind": kinds[i]},
            "tuning": ["0" * 16] if f"27k-{ratio}x" in tuned else [],
        }
        for ratio in ratios
        for i in range(searches)
    }
    tasks = [
        {
            "name": f"27k-{r}x",
            "scale": "27k",
            "chinchilla_ratio": r,
            "tokens": 532_480 * r,
            "num_params": 26_624,
        }
        for r in ratios
    ]
    manifest = {"optimizers": {"adamw": {}}, "tasks": tasks, "cells": cells}
    nothing = pd.DataFrame()
    return Study("tuned", manifest, nothing, nothing, {})


def test_a_task_is_one_column_that_says_what_its_searches_agree_in() -> None:
    table = optimizers.settings(study(), "adamw")
    assert [c.name for c in table.columns] == ["hyperparameter", "27k-1x", "27k-2x", "27k-4x", "27k-8x"]
    assert {c.unit for c in table.columns[1:]} == {"4 searches"}
    shown = {row["hyperparameter"]: row["27k-1x"] for row in table.shown()}
    assert shown == {"beta1": "0.9", "decay_kind": "linear 3×, cosine 1×", "peak_lr": "0.0248 (0.02 to 0.0334)"}


def test_what_each_search_chose_is_below_and_only_where_they_differ() -> None:
    table = optimizers.choices(study(), "adamw")
    assert [c.name for c in table.columns] == ["task", "search", "decay_kind", "peak_lr"]
    assert [row["search"] for row in table.shown()] == ["1", "2", "3", "4"] * 4
    assert table.shown()[2] == {"task": "27k-1x", "search": "3", "decay_kind": "cosine", "peak_lr": "0.0224"}
    assert not optimizers.choices(study(searches=1), "adamw").rows


def test_laws_count_tasks_that_were_tuned_and_their_searches_apart() -> None:
    (law,) = study().laws
    assert (law["key"], law["tasks"], law["searches"]) == (("adamw", "peak_lr"), 3, 12)
    (shown,) = optimizers.law_table("", Column("key", ""), [law], True).shown()
    assert (shown["tasks"], shown["searches"]) == ("3", "12")
    assert shown["B"] == shown["E"] == "not fitted" and shown["C"].startswith("−1.00 [")
    assert shown["search_sd"] == "×1.25"  # the sd of the logarithms of RATES is .222


@pytest.mark.parametrize("tuned", [("27k-1x",), ("27k-1x", "27k-8x")])
def test_searches_do_not_make_a_law_of_too_few_tasks(tuned: tuple[str, ...]) -> None:
    found = study(tuned=tuned).laws
    assert all(law["tasks"] == len(tuned) for law in found)
    assert not optimizers.law_table("", Column("key", ""), found, True).rows


def test_no_number_stands_for_what_is_not_known() -> None:
    one = fit("loss", np.array([(3e4, r, 3 * r**-0.1) for r in (1.0, 2.0, 4.0, 8.0)]))
    (shown,) = optimizers.law_table("", Column("key", ""), rows(laws.summary({"a": one})), False).shown()
    assert shown["B"] == "not fitted" and shown["E"] == "not fitted" and shown["C"].startswith("−0.10 [")
    assert shown["search_sd"] == shown["held_out"] == "–"
