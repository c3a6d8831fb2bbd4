"""A cell's command brings the cell again: as a sweep's own parser and naming understand it."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import store
from benchmark.report.pages import cells
from benchmark.studies import studies
from sweeps import get
from sweeps.run import options, wanted

MINE = {"rule": "mine#0123abcd", "family": "scalar", "space": {}}
POLICIES = [
    ("quick", {"search": "gp"}, []),
    ("quick-coordinate", {"search": "coordinate"}, ["--search", "coordinate"]),
    ("quick-random", {"search": "random"}, ["--search", "random"]),
    ("quick-width", {"search": "gp"}, ["--transfer", "width"]),
    ("quick-law-random", {"search": "random"}, ["--transfer", "law", "--search", "random"]),
]


@pytest.fixture
def command(tmp_path: Path, study_of: Callable[..., list], writer: Callable[..., Path]) -> Callable[..., str]:
    def told(optimizer: str, **manifest: Any) -> str:
        results = writer(tmp_path, "mine", study_of(("adamw", "muon")), **manifest)
        return cells.command(studies(store.load(results))[0], optimizer, "27k-2x")

    return told


@pytest.mark.parametrize(("name", "protocol", "words"), POLICIES)
def test_a_policy_is_named(
    command: Callable[..., str], name: str, protocol: dict[str, Any], words: list[str]
) -> None:
    how = ["--corpus", "apidocs", "--backend", "torch", "--precision", "bfloat16"]
    given = {"name": name, "protocol": protocol, "corpus": how[1], "backend": how[3], "precision": how[5]}
    got = shlex.split(command("muon", **given))
    assert got == [
        *("python", "-m", "sweeps", "quick", "--optimizers", "muon", "--tasks", "27k-2x"), *words, *how,
    ]  # fmt: skip
    asked = options.parser().parse_args(got[3:])
    assert wanted._policy(get(asked.name), asked).name == name


def test_a_sweep_cut_to_hours_names_all_that_its_trials_were_shared_among(command: Callable[..., str]) -> None:
    got = command("muon", name="quick-2.5h", protocol={"search": "coordinate", "max_hours": 2.5})
    assert got.startswith(
        "python -m sweeps quick --optimizers adamw,muon --tasks 27k-0.5x,27k-1x,27k-2x,27k-4x "
    )
    assert "--max-hours 2.5" in got


def test_a_rule_from_a_file_is_named_by_its_file(command: Callable[..., str]) -> None:
    facts = {"adamw": {"rule": "adamw@1", "family": "scalar", "space": {}}, "muon": MINE}
    got = command("muon", name="quick", optimizers=facts)
    assert "--optimizers adamw --optimizer path/to/muon.py --tasks 27k-2x" in got
    assert "--optimizer path" not in command("adamw", name="quick", optimizers=facts)


def test_a_users_sweep_is_named_by_its_file(command: Callable[..., str]) -> None:
    got = command("muon", name="ladder-random", protocol={"search": "random"}, file="ladder.py")
    assert got.startswith("python -m sweeps path/to/ladder.py --optimizers muon --tasks 27k-2x --search random")
