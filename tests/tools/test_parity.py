"""The committed parity table covers the committed board and holds what it claims; how oracles are collected."""

import json
from pathlib import Path
from types import SimpleNamespace

import optimizers
from benchmark.kit import conformance
from tools import parity, readme

TABLE = Path(__file__).parents[2] / "results" / "reference" / "parity.json"


def test_committed_table_has_a_row_for_everyone_on_the_committed_board() -> None:
    """An optimizer that is new to the registry has none until it was run for the board."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert table["schema"] == parity.SCHEMA
    measured = {row["optimizer"] for row in table["rows"]}
    assert set(readme.contestants()) & set(optimizers.entrants()) <= measured <= set(optimizers.names())
    assert len(measured) == len(table["rows"]) > 1
    for row in table["rows"]:
        assert 0 <= row["max_abs_deviation_per_step"] <= conformance.TWIN_TOLERANCE
        assert row["oracle"] and 0 <= row["oracle_deviation"] <= row["oracle_tolerance"]
        assert row["lm_curve_deviation"] <= parity.CURVE_TOLERANCE or row["note"].startswith("rounding")


def test_note_tells_rounding_from_a_real_difference() -> None:
    assert parity.CurveGap(9e-4).note == ""
    assert parity.CurveGap(2e-2, rounding=4e-2, nearest=1e-2).note.startswith("rounding: ")
    assert parity.CurveGap(2e-2, rounding=1e-7, nearest=2e-2).note == "more than rounding explains"


def test_the_worst_oracle_of_an_optimizer_counts() -> None:
    seen = parity._Oracles()
    for gap, when in ((1e-9, "call"), (3e-7, "call"), (2e-8, "call"), (1.0, "setup")):
        report = SimpleNamespace(
            when=when,
            nodeid="tests/optimizers/test_lion.py::test_agrees",
            user_properties=[("oracle", ("lion-pytorch", gap, 1e-6)), ("other", 1)],
        )
        seen.pytest_runtest_logreport(report)
    assert seen.rows == {"lion": {"oracle": "lion-pytorch", "oracle_deviation": 3e-7, "oracle_tolerance": 1e-6}}
