"""The Makefile with a stand-in for Python that says what it was called with: every value arrives whole."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = """#!/bin/sh
exec {python} -c 'import json, sys; print("called " + json.dumps(sys.argv[1:]))' "$@"
"""
OURS = (
    "SWEEP",
    "OPTIMIZERS",
    "OPTIMIZER",
    "TASKS",
    "RESULTS",
    "OUT",
    "FILE",
    "EXTRAS",
    "ARGS",
    "PYTHON",
    "VENV",
)
ODD = [
    "a b",
    "it's",
    'a "b"',
    "größe",
    "-dash",
    "a$b",
    "a;b&c",
    "a*b",
    "~x",
    "100%",
    "a#b",
    "a\\b",
    "$(shell touch pwned)",
    "a) $(error b",
    "${x}$$y`touch pwned`",
    "two\nlines",
]


@pytest.fixture(scope="module", params=["clone", "my 'clone' ü (1)/proj $x"])
def clone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with an environment whose Python says what it was called with."""
    folder = tmp_path_factory.mktemp("make") / request.param
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (commands / "python").write_text(STAND_IN.format(python=shlex.quote(sys.executable)))
    (commands / "python").chmod(0o755)
    for made in (".ready", ".ready-dev"):
        (commands / made).touch()
    return folder


def make(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k not in OURS and not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=clone, env={**env, **environment}, capture_output=True, text=True, timeout=60
    )


def called(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """What Python was called with, call by call."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line.removeprefix("called ")) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("odd", ODD)
def test_every_value_arrives_whole(clone: Path, odd: str) -> None:
    words = [f"OPTIMIZERS={odd}", f"OPTIMIZER={odd}.py", f"TASKS={odd}", f"RESULTS={odd}", f"OUT={odd}"]
    (call,) = called(make(clone, "sweep", *words, f"SWEEP={odd}.py", "ARGS=--corpus 'local:my texts'"))
    expected = [f"--optimizers={odd}", f"--optimizer={odd}.py", f"--tasks={odd}", f"--results={odd}"]
    assert call[2:] == [*expected, f"--out={odd}", "--corpus", "local:my texts", "--", f"{odd}.py"]
    (call,) = called(make(clone, "check-optimizer", f"FILE={odd}.py"))
    assert call == ["-m", "benchmark.kit", "--", f"{odd}.py"]


def test_nothing_in_a_value_is_run_or_put_in_the_environment_otherwise(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    before = python.read_text()
    python.write_text("#!/bin/sh\nenv\n")
    try:
        value = "a$b $(shell touch pwned) ${c} `touch pwned`"
        done = make(
            clone, "sweep", f"RESULTS={value}", f"TMPDIR={value}", f"JAX_CACHE={value}", "RAY_ADDRESS=x"
        )
        more = make(clone, "faults", "FAULTS=7", "ARGS=-k x")
    finally:
        python.write_text(before)
    found = done.stdout.splitlines()
    assert {f"TMPDIR={value}", f"JAX_CACHE={value}", f"GIVEN_RESULTS={value}", "RAY_ADDRESS=x"} <= set(found)
    assert not any(line.startswith(("RESULTS=", "ARGS=")) for line in found)
    assert "FAULTS=7" in more.stdout.splitlines() and not (clone / "pwned").exists()


def test_what_is_not_given_is_not_said(clone: Path) -> None:
    assert called(make(clone, "sweep")) == [["-m", "sweeps", "--", "quick"]]
    assert called(make(clone, "report")) == [["-m", "benchmark.report"]]
    both = make(clone, "-j4", "sweep", "report", "RESULTS=r")  # at once, so their lines may run together
    assert both.returncode == 0 and both.stdout.count("--results=r") == 2
    assert called(make(clone, "challenge")) == [["-m", "sweeps", "challenge"]]
    calls = called(make(clone, "setup", "EXTRAS=hub, torch"))
    assert calls[0] == ["-m", "benchmark.extras", "hub, torch"]
    assert called(make(clone, "setup")) == []


# words, what the one line says
REFUSED = [
    (
        "sweep optimizers=adamw",
        "'make sweep' does not read optimizers (did you mean OPTIMIZERS?): it reads SWEEP",
    ),
    ("sweep OPTIMISERS=adamw", "does not read OPTIMISERS (did you mean OPTIMIZERS?)"),
    ("sweep SEEDS=3", "does not read SEEDS : it reads SWEEP OPTIMIZERS OPTIMIZER TASKS RESULTS OUT ARGS"),
    ("report OPTIMIZERS=adamw", "'make report' does not read OPTIMIZERS"),
    ("check-optimizer OPTIMIZER=mine.py", "it reads FILE"),
    ("challenge FILE=mine.py", "does not read FILE : it reads OPTIMIZER"),
    ("test result=x", "'make test' does not read result"),
    ("help WHAT=x", "does not read WHAT"),
    ("sweep it's=x", "does not read it's"),
    ("sweeps", "there is no target 'sweeps' (did you mean sweep?): there are sweep challenge"),
    ("sweep OPTIMIZERS=adamw, muon", "no target 'muon' : there are"),
    ("check-optimizer", "name what to check: make check-optimizer FILE=mine.py"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_is_not_known_is_refused_in_one_line(clone: Path, words: str, message: str) -> None:
    done = make(clone, *words.split(), PYTHON=sys.executable)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert done.returncode == 2 and done.stdout == ""
    assert len(lines) == 1 and message in lines[0], done.stderr


def test_the_environment_counts_and_is_named(clone: Path) -> None:
    done = make(clone, "sweep", SWEEP="micro", RESULTS="their s", OUT="/theirs", EXTRAS="x", FILE="theirs")
    assert called(done) == [["-m", "sweeps", "--results=their s", "--", "micro"]]
    named = re.findall(r"(\w+=.*) is taken from the environment; unset", done.stderr)
    assert named == ["SWEEP=micro", "RESULTS=their s"] and len(done.stderr.splitlines()) == 2
    assert called(make(clone, "sweep", "RESULTS=mine", RESULTS="theirs")) == [
        ["-m", "sweeps", "--results=mine", "--", "quick"]
    ]
    assert make(clone, "sweep", "JAX_PLATFORMS=cpu", "RAY_ADDRESS=auto").returncode == 0


def test_help_says_what_there_is_and_a_dry_run_runs_nothing(clone: Path) -> None:
    told = make(clone)
    assert told.stdout == make(clone, "help").stdout and told.returncode == 0
    for target in re.findall(
        r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert re.search(rf"^{target} +\w", told.stdout, re.MULTILINE)
    for name in OURS:
        assert re.search(rf"\b{name}\b", told.stdout)
    assert "called" not in make(clone, "-n", "sweep").stdout


@pytest.mark.parametrize("venv", ["theirs", "-theirs", "{}/theirs"])
def test_folders_that_are_not_ours_are_left_alone(clone: Path, venv: str) -> None:
    place = clone / venv.format(clone)
    place.mkdir(exist_ok=True)
    (place / "thesis.tex").write_text("mine")
    (clone / "reports").mkdir(exist_ok=True)
    (clone / "reports" / "own.txt").write_text("mine")
    done = make(clone, "setup", f"VENV={str(place) if venv.startswith('{') else venv}", PYTHON=sys.executable)
    assert done.returncode != 0 and "holds other files and is left as it is" in done.stderr
    assert make(clone, "clean", f"VENV={venv.format(clone)}").returncode == 0
    assert (place / "thesis.tex").is_file() and (clone / "reports" / "own.txt").is_file()
    assert (clone / ".venv" / "bin" / "python").is_file()


@pytest.mark.parametrize(
    ("smi", "hidden", "extra"),
    [
        ("echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'", None, True),
        ("echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'", "0", True),
        ("echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'", "", False),
        ("echo 'NVIDIA-SMI has failed: no driver'; exit 9", None, False),
        ("echo 'No devices were found'", None, False),
    ],
)
def test_jax_for_a_gpu_is_installed_where_there_is_one(
    clone: Path, tmp_path: Path, smi: str, hidden: str | None, extra: bool
) -> None:
    for name, does in (("nvidia-smi", smi), ("uv", 'echo "installs $@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    ready, unready = clone / ".venv" / "bin" / ".ready", clone / ".venv" / "bin" / ".unready"
    ready.rename(unready)
    try:
        (clone / ".venv" / "pyvenv.cfg").touch()
        said = {} if hidden is None else {"CUDA_VISIBLE_DEVICES": hidden}
        done = make(clone, "setup", f"PYTHON={sys.executable}", PATH=f"{tmp_path}:{os.environ['PATH']}", **said)
        assert done.returncode == 0, done.stderr
        (installed,) = [line for line in done.stdout.splitlines() if line.startswith("installs pip")]
        assert installed.endswith("-e .[cuda]" if extra else "-e .")
        assert ("nvidia-smi finds a GPU: adding jax for CUDA" in done.stdout) == extra
    finally:
        unready.rename(ready)
