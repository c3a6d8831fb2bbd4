"""What messages and pages tell one to do can be done: options parse, targets, modules and extras exist."""

import ast
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import extras
from benchmark.extras import install

ROOT = Path(__file__).parents[1]
FILES = [
    path for p in ("optimizers", "benchmark", "sweeps", "tools") for path in sorted((ROOT / p).rglob("*.py"))
]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
# whose options a message names: the first that fits where it stands
OPTIONS = {
    "benchmark/published": ["benchmark.published.__main__"],
    "benchmark/store.py": ["sweeps.__main__", "benchmark.report.__main__"],
    "benchmark/studies.py": ["sweeps.__main__", "benchmark.report.__main__"],
    "benchmark/report/place.py": ["sweeps.__main__", "benchmark.report.__main__"],
    "tools/bench": ["tools.bench.__main__"],
    "tools/": [],
    "benchmark/extras.py": [],  # of pip and uv
    "": ["sweeps.__main__"],
}


def messages(path: Path) -> Iterator[str]:
    """The strings of a file that are prose for a user: not docstrings, and more than a word."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        prose = isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
        if prose and id(node) not in documentation:
            yield node.value


def helped(module: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    return {*re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out), "--help"}


def test_every_option_that_a_message_names_is_one_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    known = {module: helped(module, capsys) for module in {m for found in OPTIONS.values() for m in found}}
    seen = 0
    for path in FILES:
        where = path.relative_to(ROOT).as_posix()
        commands = next(found for start, found in OPTIONS.items() if where.startswith(start))
        for message in messages(path) if commands else []:
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*(?![\w=]*=[\w/])", message):
                assert all(option in known[command] for command in commands), (
                    f"{where}: {option} in {message!r}"
                )
                seen += 1
    assert seen > 30


def test_every_command_that_a_message_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in [*FILES, *sorted((ROOT / "benchmark" / "report" / "templates").glob("*.html"))]:
        said = messages(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
        for message in said:
            for target in re.findall(r"(?:`|<code>)make ([a-z-]+)", message):
                assert target in targets, f"{path}: make {target}"
            for module in re.findall(r"python -m ([\w.]+)", message):
                assert importlib.util.find_spec(module), f"{path}: python -m {module}"
            for command in re.findall(r"`optimizer-benchmark ([a-z]+)", message):
                assert command in importlib.import_module("sweeps.command").COMMANDS, f"{path}: {command}"


def test_nothing_says_how_to_install_but_one_function() -> None:
    for path in [*FILES, *TEXTS]:
        text = path.read_text(encoding="utf-8")
        assert path.name == "extras.py" or not re.search(r"pip install", text), (
            f"{path}: say benchmark.extras.install"
        )
        named = re.findall(r"EXTRAS=(\w+)|install\(['\"](\w+)['\"]\)|extra=['\"](\w+)['\"]", text)
        assert {name for found in named for name in found if name} <= EXTRAS, path
    assert set(extras.known()) == EXTRAS


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone under a path with a blank, with an environment that make made and that this seems to run in."""
    folder = tmp_path / "my clone"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / ".ready").touch()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    monkeypatch.setattr(extras, "ROOT", folder)
    monkeypatch.setattr(sys, "prefix", str(folder / ".venv"))
    monkeypatch.chdir(folder)
    return folder


def test_in_an_environment_of_make_it_is_make(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (install("hub"), install()) == ("make setup EXTRAS=hub", "make clean setup")
    monkeypatch.chdir("/")
    assert install("hub") == f"make -C '{clone}' setup EXTRAS=hub"
    other = clone / "an env"
    (other / "bin").mkdir(parents=True)
    (other / "bin" / ".ready").touch()
    monkeypatch.setattr(sys, "prefix", str(other))
    assert install("hub") == f"make -C '{clone}' setup EXTRAS=hub 'VENV={other}'"
    for command in (install("hub"), install()):
        done = subprocess.run(f"{command} -n", shell=True, capture_output=True, text=True)
        assert done.returncode == 0 and "install" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("pip", "uv", "start"),
    [
        (True, True, "{python} -m pip install"),
        (False, True, "uv pip install --python {python}"),
        (False, False, "{python} -m ensurepip && {python} -m pip install"),
    ],
)
def test_in_any_other_environment_it_is_what_is_there(
    clone: Path, monkeypatch: pytest.MonkeyPatch, pip: bool, uv: bool, start: str
) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "executable", "/usr/my python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there" if pip else None)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/uv" if uv else None)
    start = start.format(python="'/usr/my python'")
    assert install("torch") == f"{start} -e '{clone}[torch]'"
    (clone / "pyproject.toml").unlink()  # not a clone: installed from a wheel
    assert install("torch") == f"{start} {shlex.join(extras.needed('torch'))}"
    assert any("torch" in requirement for requirement in extras.needed("torch"))
    assert {re.split("[<>=]", r)[0] for r in extras.needed()} >= {"jax", "pandas"}


def test_an_extra_that_there_is_not_is_one_line() -> None:
    assert extras.check(" hub, torch,") == ["hub", "torch"]
    with pytest.raises(
        ValueError, match=r"there is no extra 'Hub' \(did you mean 'hub'\?\); choose from apidocs, cuda"
    ):
        extras.check("Hub")
