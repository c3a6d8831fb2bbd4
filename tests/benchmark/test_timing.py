"""Step times measured in turns: kept, found again on the same machine, and read for the pages."""

from pathlib import Path

import pytest

from benchmark import timing
from benchmark.measurements import measurement
from benchmark.timing import Timed
from benchmark.train import environment

BASE = Timed("27k", 8, "jax", "float32", "adamw@1")
MINE = Timed("27k", 8, "jax", "float32", "my rule#01ab")
SIX = Timed("27k", 8, "jax", "float32", "kron@1", '{"block":6}')


def written(folder: Path, *timed: Timed, **where: object) -> Path:
    figures = [
        measurement(timing.GROUP, t.name, "ms", [2.0, 3.0, 2.2], [2.0, 2.0, 2.0], BASE.name) for t in timed
    ]
    timing.write(folder, figures, {**environment.describe("cpu"), "load": 0.5, **where})
    return folder


@pytest.mark.parametrize("timed", [BASE, MINE, SIX])
def test_a_figures_name_says_what_was_timed(timed: Timed) -> None:
    assert timing.parse(timed.name) == timed


def test_step_times_are_kept_beside_the_records_and_read(tmp_path: Path) -> None:
    damaged: list[str] = []
    table = timing.read(written(tmp_path, MINE, SIX), damaged).set_index("rule")
    assert not damaged and sorted(table.index) == ["kron@1", "my rule#01ab"]
    row = table.loc["my rule#01ab"]
    assert (row["versus"], row["n"]) == ("adamw@1", 3)
    assert [row["lo"], row["step_overhead"], row["hi"]] == pytest.approx([0.0, 0.1, 0.5])


def test_what_was_timed_here_with_these_versions_is_not_timed_again(tmp_path: Path) -> None:
    assert [f.name for f in timing.known(written(tmp_path / "here", MINE))] == [MINE.name]
    assert not timing.known(written(tmp_path / "later", MINE, packages={"jax": "99"}))
    assert not timing.known(written(tmp_path / "elsewhere", MINE, cpu_model=1))
    assert not timing.known(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"schema": 2}',
        '{"schema": 2, "environment": 3, "rows": [4]}',
        "ratio",
        "name",
    ],
)
def test_a_damaged_file_is_named_and_made_anew(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path, MINE) / timing.FILE
    changes = {"ratio": ('"ratio": 1.1', '"ratio": "x"'), "name": (MINE.name, "x")}
    path.write_text(path.read_text().replace(*changes[damage]) if damage in changes else damage)
    damaged: list[str] = []
    assert timing.read(tmp_path, damaged).empty
    assert len(damaged) == 1 and str(path) in damaged[0]
    if damage not in changes:
        assert not timing.known(tmp_path)
        assert len(timing.read(written(tmp_path, MINE), [])) == 1
