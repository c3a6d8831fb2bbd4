"""CONTRIBUTING.md, executed in a copy of the project: its Python blocks are written, its shell blocks run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FOLDERS = ("optimizers", "benchmark", "sweeps", "tools", "tests")
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (?P<path>\S+\.py)(, in `(?P<constant>\w+)`)?\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, with an environment that runs this Python, for make too."""
    folder = tmp_path / "project"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "results").symlink_to(ROOT / "results")
    commands = tmp_path / "environment" / "bin"
    commands.mkdir(parents=True)
    python = commands / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for made in (".ready", ".ready-dev"):
        (commands / made).touch()
    return folder


def run(copy: Path, commands: str, **environment: str) -> str:
    """What the commands print; every one must succeed."""
    place = copy.parent / "environment"
    known = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "VENV": str(place),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        **environment,
    }
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=copy, env=known, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(copy: Path, section: str, **environment: str) -> str:
    """Do what a section says, block by block, and return what its commands printed."""
    body = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (text,) = (part for part in body if part.startswith(f"{section}\n"))
    blocks, printed = BLOCK.findall(text), ""
    assert blocks, f"section {section!r} has no block to run"
    for language, block in blocks:
        if language == "bash":
            printed += run(copy, block, **environment)
        else:
            write(copy, block)
    return printed


def write(copy: Path, block: str) -> None:
    """Write a Python block to the file that its first line names, or into a constant of that file."""
    head = FILE.match(block)
    assert head, f"a Python block must begin with the file that it belongs to:\n{block}"
    path, rest = copy / head["path"], block[head.end() :]
    if head["constant"]:
        start = f"{head['constant']} = (\n"
        text = path.read_text(encoding="utf-8")
        assert text.count(start) == 1
        rest = text.replace(start, start + rest)
    else:
        assert not path.exists(), f"{path} would be overwritten"
    path.write_text(rest, encoding="utf-8")


def test_add_an_optimizer(copy: Path) -> None:
    printed = follow(copy, "Add an optimizer")
    assert "every check passed" in printed and "FAIL" not in printed
    assert "trials: those still to run" in printed
    assert "tiger" in run(copy, 'python -c "import optimizers; print(optimizers.names())"')
    rest = ["tests/test_layers.py", "tests/tools/test_parity.py", "tests/sweeps/search/test_freedoms.py"]
    asked = [
        ["-n0", "--collect-only", "tests/optimizers/test_contract.py", "-k", "tiger"],
        ["-n0", *rest, "-k", "tiger or readme or board or unknown or grids"],
    ]
    code = f"import pytest, sys; sys.exit(max(map(pytest.main, {asked})))"  # in one process: torch comes once
    collected = run(copy, f'python -c "{code}"')
    assert collected.count("tiger-jax") >= 9 and collected.count("tiger-torch") >= 7
    assert "passed" in collected


def test_add_a_corpus(copy: Path, tmp_path: Path) -> None:
    printed = follow(copy, "Add a corpus", OPTIMIZER_BENCHMARK_CACHE=str(tmp_path / "cache"))
    assert re.search(r"pysource:asyncio: corpus [0-9a-f]{16}, tokenizer [0-9a-f]{16}", printed)
    unknown = run(copy, "python -m benchmark.data.corpora nothing 2>&1 || true")
    assert "pysource:PACKAGE" in unknown
    missing = run(copy, "python -m benchmark.data.corpora pysource:nothing 2>&1 || true")
    assert missing.strip() == "corpus pysource:nothing: no such package is installed"


def test_add_a_scale(copy: Path) -> None:
    printed = follow(copy, "Add a scale")
    assert "3 passed" in printed and printed.strip().endswith("finished")


def test_add_a_sweep(copy: Path) -> None:
    assert "trials: those still to run" in follow(copy, "Add a sweep")


def test_add_a_statistic(copy: Path) -> None:
    assert "1 passed" in follow(copy, "Add a statistic")


def test_whatever_can_be_added_is_one_file() -> None:
    table = TEXT.split("## Where things go")[1]
    rows = re.findall(r"^\| (an? \w+) \| .*`(\S+)` \| (\d+) \|$", table, flags=re.MULTILINE)
    sections = re.findall(r"^## Add (an? \w+)$", TEXT, flags=re.MULTILINE)
    assert sorted(what for what, _, _ in rows) == sorted(sections)
    assert {count for _, _, count in rows} == {"1"}
