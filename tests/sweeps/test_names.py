"""Sweeps are found by looking: those of the project by name, a user's own by its path."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sweeps
from sweeps.__main__ import main
from sweeps.run.options import parser
from sweeps.search import aa
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan

MINE = '''
"""Mine."""
from sweeps.search.sweep import Sweep, stage

SWEEP = Sweep({name!r}, "A sweep of my own", (stage("13k-0.25x", "I", 2, tune="essential"),))
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "ladder.py"
    path.write_text(MINE.format(name="own"))
    return path


def test_every_file_with_a_sweep_is_found_and_has_its_name():
    assert sweeps.names() == ["gpu", "micro", "paper", "quick", "schedules", "smoke", "transfer"]
    assert [sweeps.get(name).name for name in sweeps.names()] == sweeps.names()
    there = str(Path(sweeps.__file__).parent / "quick.py")
    assert sweeps.get(there) is sweeps.get("quick") and not sweeps.get("quick").file


def test_a_new_file_is_found_without_an_edit(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("SWEEP = 1")
    (tmp_path / "_draft.py").write_text("SWEEP = 1")
    (tmp_path / "command.py").write_text("def main():\n    SWEEP = 1")
    monkeypatch.setattr(sweeps, "_HERE", tmp_path)
    assert sweeps.names() == ["mine"]


def test_listing_names_imports_no_framework():
    code = "import sys, sweeps; sweeps.names(); print({'jax', 'torch', 'ray', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_an_unknown_sweep_is_one_clear_line():
    with pytest.raises(
        ValueError,
        match=r"unknown sweep 'quik' \(did you mean 'quick'\?\); choose from gpu, micro, .*a file: quik\.py",
    ):
        sweeps.get("quik")


def test_a_users_sweep_is_its_path_and_its_records_know_no_more_than_the_file(mine, pair):
    sweep = dataclasses.replace(sweeps.get(str(mine)), contestants=pair)
    assert (sweep.name, sweep.file) == ("own", "ladder.py")
    told = manifest(sweep, plan(sweep, {}))
    assert told["file"] == "ladder.py" and str(mine.parent) not in json.dumps(told)
    builtin = dataclasses.replace(sweeps.get("smoke"), contestants=pair)
    assert "file" not in manifest(builtin, plan(builtin, {}))


def test_copies_go_through_a_users_sweep_too(mine):
    sweep = aa.sweep(parser().parse_args(["aa", "--copies", "2", "--sweep", str(mine)]))
    assert (sweep.name, sweep.file) == ("aa-own-1", "ladder.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("SWEEP = Sweep(", "syntax error in line 1"),
        ("import no_such_package", "ladder.py:1: no_such_package is not installed here"),
        ("from sweeps.search.sweep import stage\nstage('27k')", "ladder.py:2: cannot be imported: TypeError"),
        ("sweep = 1", "holds no SWEEP"),
        ("SWEEP = 'quick'", "holds no SWEEP"),
        (MINE.format(name="quick"), "'quick' is the name of a built-in sweep"),
        (MINE.format(name="a/b"), "becomes a folder's"),
        (MINE.format(name="aa-own-1"), "becomes a folder's"),
    ],
)
def test_a_file_that_is_none_gets_one_line(mine, text, message, capsys):
    mine.unlink() if text is None else mine.write_text(text)
    assert main([str(mine), "--dry-run"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0] and lines[0].startswith(f"sweeps: {mine}")
