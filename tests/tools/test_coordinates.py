"""The check of muP: flat under it for rules of either kind, growing without it, and able to fail."""

import dataclasses

import pytest

from benchmark import scales
from benchmark.frames import rows, where
from sweeps.search import width
from tools import coordinates

SMALL = [dataclasses.replace(scales.get(name), layers=1, seq_len=32) for name in ("27k", "400k")]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_steps_do_as_much_in_a_wider_model_under_mup_and_more_without(name):
    table = coordinates.sizes(name, SMALL)
    assert set(table["width"]) == {32, 128}
    assert coordinates.apart(table)["mup"] <= coordinates.FLAT, table
    grown = rows(where(table, parametrization="standard", width=128))
    assert all(row["ratio"] > 1.2 for row in grown if row["activation"] != "embedding"), grown


def test_a_wrong_exponent_is_not_flat(monkeypatch):
    """As if AdamW's hidden matrices could keep their rate."""
    right = width.setting
    monkeypatch.setattr(width, "setting", lambda rule, ratio, free=(): right(rule, ratio, ("hidden",)))
    assert coordinates.apart(coordinates.sizes("adamw", SMALL))["mup"] > 2 * coordinates.FLAT


def test_an_unknown_name_is_one_line(capsys):
    with pytest.raises(SystemExit):
        coordinates.main(["muno"])
    assert "unknown optimizer 'muno' (did you mean 'muon'?)" in capsys.readouterr().err
