"""What makes a rule another rule: a user's file with all that it uses, and the code behind a version."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import optimizers
from optimizers.user import files, identity

RULE = "import optax\ndef rule(rate): return optax.{}(rate)\n"
RATES = 'space = {"peak_lr": (0.1, 0.2, 0.4)}\n'
USES = "def jax_optimizer(learning_rate): return rule(learning_rate)\n"

# how a file reaches what it uses, and where that lies
REACHED = {
    "from a module beside it": ("from ulab_one import rule\n", "ulab_one.py"),
    "from a package beside it, which imports its own parts": (
        "from ulab_two import rule\n",
        "ulab_two/inner.py",
    ),
    "from a namespace package": ("from ulab_three.inner import rule\n", "ulab_three/inner.py"),
    "through importlib": (
        "import importlib\nrule = importlib.import_module('ulab_four').rule\n",
        "ulab_four.py",
    ),
    "from an installed package": ("from ulab_five import rule\n", "site/ulab_five/__init__.py"),
    "through another module": ("from ulab_six import rule\n", "ulab_seven.py"),
    "by executing a file": (
        "import pathlib\nexec((pathlib.Path(__file__).parent / 'ulab_eight.txt').read_text())\n",
        "ulab_eight.txt",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("ulab_"):
            del sys.modules[name]


@pytest.mark.parametrize("how", REACHED)
def test_what_a_file_uses_is_part_of_it(how: str, folder: Path) -> None:
    imports, place = REACHED[how]
    file, used = folder / "uses.py", folder / place
    used.parent.mkdir(parents=True, exist_ok=True)
    used.write_text(RULE.format("adam"))
    if "own parts" in how:
        (used.parent / "__init__.py").write_text("from .inner import rule\n")
    if "another" in how:
        (folder / "ulab_six.py").write_text("from ulab_seven import rule\n")
    file.write_text(imports + RATES + USES)
    files.load(file)
    first = files.rule(file)
    (folder / "unused.py").write_text("1")
    assert files.rule(file) == first
    if used.suffix == ".py":
        used.write_text("# the same\r\n" + RULE.format("adam").replace("\n", "\r\n"))
        assert files.rule(file) == first
    used.write_text(RULE.format("sgd"))
    assert files.rule(file) != first


def test_data_that_is_named_is_part_of_a_file(folder: Path) -> None:
    file, data = folder / "uses.py", folder / "table.json"
    data.write_text("[0.9]")
    text = "import json, pathlib, optax\nHERE = pathlib.Path(__file__).parent\n"
    text += "TABLE = json.loads((HERE / 'table.json').read_text())\n"
    file.write_text(
        f"{text}{RATES}def jax_optimizer(learning_rate): return optax.sgd(learning_rate, TABLE[0])\n"
    )
    files.load(file)
    first = files.rule(file)
    data.write_text("[0.8]")
    assert files.rule(file) != first


def test_an_import_without_a_package_is_one_line(folder: Path) -> None:
    (folder / "uses.py").write_text(f"from . import ulab_none\n{RATES}{USES}")
    with pytest.raises(ValueError, match=r"uses\.py:1: cannot be imported: .*relative import") as caught:
        files.load(folder / "uses.py")
    assert "\n" not in str(caught.value)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "optimizers"
    shutil.copytree(Path(optimizers.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "REGISTRY", copy)
    return copy


def changed(registry: Path, file: str, old: str, new: str) -> list[str]:
    """The optimizers whose code is another once a file is edited."""

    def codes() -> dict[str, str]:
        return {
            name: identity.registered.__wrapped__(f"optimizers.{name}") for name in ("lion", "muon", "sophia")
        }

    before, path = codes(), registry / file
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
    return [name for name, code in codes().items() if code != before[name]]


@pytest.mark.parametrize(
    ("file", "old", "new", "others"),
    [
        ("lion.py", "return", "return -1 *", ["lion"]),
        ("lion_torch.py", "lerp", "mul", ["lion"]),
        ("shared/newton_schulz.py", "def newton_schulz(", "def newton_schulz(unused, ", ["muon"]),
        ("shared/decoupled.py", '("hidden", "head")', '("hidden",)', ["lion", "muon", "sophia"]),
        ("lion.py", "\n", "\r\n", []),
        ("lion.py", "\n\n", "\n# a comment\n\n", []),
        ("lion.py", '"""Lion', '"""The Lion', []),
        ("lion.py", "arxiv.org", "example.org", []),
        ("shared/spaces.py", "return", "return None and", []),
        ("base.py", "RECIPE", "RECIPES", []),
    ],
)
def test_the_code_of_a_registered_optimizer(
    registry: Path, file: str, old: str, new: str, others: list[str]
) -> None:
    assert changed(registry, file, old, new) == others


def test_only_the_registry_s_modules_have_such_code() -> None:
    assert len(identity.registered("optimizers.lion")) == 12
    assert not identity.registered("user_optimizer_lion")
    assert not identity.registered("optimizers.none_such")


def test_the_tree_is_the_same_in_every_python(tmp_path: Path) -> None:
    """Python 3.11's text, which 3.12 and 3.13 write in another way."""
    path = tmp_path / "a.py"
    path.write_text("class A: pass\n")
    assert identity.tree(path) == (
        "Module(body=[ClassDef(name='A', bases=[], keywords=[], body=[Pass()], decorator_list=[])],"
        " type_ignores=[])"
    )
