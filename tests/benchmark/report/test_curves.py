"""Curves of single runs: one specification, their numbers on the page for the script and for every reader."""

import json
import re
from pathlib import Path

import pytest

from benchmark.report import interactive
from benchmark.report.curves import Curves, Run

POINTS = [(100.0 * k, 5.0 - 0.1 * k) for k in range(1, 9)]


def test_the_first_quarter_is_in_the_table_and_not_in_the_chart() -> None:
    curves = Curves("Curves", [Run("seed 1", POINTS, "#123456")], [Run("AdamW, seed 1", POINTS[:4], "")])
    assert [row["tokens"] for row in curves.data["runs"]] == [100.0 * k for k in range(2, 9)]
    assert len(curves.data["beside"]) == 3
    assert [r["seed 1"] for r in curves.table.shown()] == [f"{loss:.4f}" for _, loss in POINTS]


def test_runs_with_other_points_leave_gaps_in_the_table() -> None:
    table = Curves("Curves", [Run("a", POINTS[:2], ""), Run("b", POINTS[1:3], "")]).table
    assert [(r["a"], r["b"]) for r in table.shown()] == [("4.9000", "–"), ("4.8000", "4.8000"), ("–", "4.7000")]


def test_one_point_or_none_is_no_curve() -> None:
    assert not Curves("None", [])
    assert not Curves("One", [Run("a", POINTS[-1:], "")])
    assert Curves("Two", [Run("a", POINTS[-2:], "")])


def test_the_specification_takes_its_numbers_by_the_names_that_pages_give(site: Path) -> None:
    spec = interactive.run_curves()
    named = {layer["data"]["name"] for layer in spec["layer"]}
    fields = {e["field"] for layer in spec["layer"] for e in layer["encoding"].values() if "field" in e}
    assert (site / "assets" / "charts.js").read_text().endswith("};\n")
    seen = 0
    for page in (*(site / "records").iterdir(), *(site / "quick" / "cells").glob("*.html")):
        for figure in re.findall(
            r'<figure class="chart curves">.*?</figure>', page.read_text(), flags=re.DOTALL
        ):
            given = json.loads(re.findall(r'json">(.*?)</script>', figure)[0])
            assert set(given) == named
            assert all(fields <= set(row) for rows in given.values() for row in rows)
            told = re.findall(r'<td class="num">([\d.]+)</td>', figure)
            assert float(told[-1]) == pytest.approx(given["runs"][-1]["loss"], abs=1e-4), "without scripts"
            assert "charts.js" in page.read_text()
            seen += 1
    assert seen == 3 * 10 + 10  # report runs and cells
