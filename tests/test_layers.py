"""Arrows point one way, frameworks stay in their places, the README tells the truth."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import optimizers
from tools import readme

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for package in ("optimizers", "benchmark", "sweeps", "tools")
    for path in sorted((ROOT / package).rglob("*.py"))
]
OURS = {"optimizers": {"optimizers"}, "benchmark": {"optimizers", "benchmark"}}
OURS["sweeps"] = OURS["benchmark"] | {"sweeps"}
ALLOWED_RAY = {f"sweeps/run/ray_{name}.py" for name in ("tune", "group", "barrier")}
OURS["tools"] = OURS["sweeps"] | {"tools"}


def imports(path: Path, top_level: bool = False) -> set[str]:
    """Names of the packages that a file imports, anywhere in it or only when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_layers(path):
    package = path.relative_to(ROOT).parts[0]
    used = imports(path)
    assert used & OURS["tools"] <= OURS[package]
    if path.relative_to(ROOT).as_posix() not in ALLOWED_RAY:
        assert "ray" not in used
    if package == "sweeps":
        assert not used & {"jax", "optax", "torch"}
    if package in ("benchmark", "tools") and not path.stem.endswith(("_jax", "_torch")):
        assert not imports(path, top_level=True) & {"jax", "optax", "torch"}
    if package == "benchmark" and {"analysis", "report", "published"} & set(path.relative_to(ROOT).parts):
        assert not used & {"jax", "optax", "torch"}
    if package == "optimizers" and not path.stem.endswith("_torch"):
        assert "torch" not in imports(path, top_level=True)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_files_import_each_other_in_a_circle():
    """Wherever in a file the import stands: at its top, in a function, or for types alone."""
    known = {module_of(path): path for path in FILES}
    needs: dict[str, set[str]] = {}
    for module, path in known.items():
        needs[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[module] |= {name if name in known else node.module for name in named} & known.keys()
            elif isinstance(node, ast.Import):
                needs[module] |= {alias.name for alias in node.names} & known.keys()
    assert len(known) > 200 and "benchmark.store" in needs["benchmark.studies"]
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_no_file_is_long_and_none_is_a_drawer():
    long = [path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert not long
    assert not {p.stem for p in FILES} & {"utils", "helpers", "common"}


def test_listing_names_imports_no_framework():
    code = "import sys, optimizers; optimizers.names(); print({'jax', 'torch', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_unknown_optimizer_lists_the_names():
    with pytest.raises(ValueError, match="adamw, "):
        optimizers.get("moun")


def test_readme_table_is_generated():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme.updated(text), "run `python -m tools.readme`"
    assert len(readme.contestants()) > 1


def test_results_and_reports_hold_no_python():
    tracked = subprocess.check_output(["git", "ls-files", "results", "reports"], cwd=ROOT, text=True)
    assert not [line for line in tracked.splitlines() if line.endswith(".py")]
