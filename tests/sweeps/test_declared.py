"""What a sweep declares holds unless the user says otherwise."""

from pathlib import Path
from typing import Any

import pytest

import sweeps
from sweeps.run import options, wanted
from sweeps.search import aa
from sweeps.search.plan import plan
from sweeps.search.sweep import Sweep

MINE = """
import dataclasses
from sweeps.paper import SWEEP as PAPER
SWEEP = dataclasses.replace(
    PAPER, name="mine", backend="torch", protocol=dataclasses.replace(PAPER.protocol, search="random")
)
"""


def asked(*words: str) -> Sweep:
    """The sweep that the command would price."""
    args = options.parser().parse_args([*words, "--dry-run", "--optimizers", "adamw,muon"])
    return wanted.prepared(wanted.named_sweep(args), args)


def trained(sweep: Sweep) -> tuple[set[str], set[str], str]:
    """Precisions and backends of all first trials, and the search."""
    ready = plan(sweep, {}).ready
    assert ready
    return {t.precision for t in ready}, {t.backend for t in ready}, sweep.protocol.search


@pytest.mark.parametrize(
    ("words", "precision", "backend", "search"),
    [
        ((), "bfloat16", "jax", "gp"),
        (("--precision", "float32"), "float32", "jax", "gp"),
        (("--backend", "torch", "--search", "random"), "bfloat16", "torch", "random"),
    ],
)
def test_paper_trains_as_it_declares(words, precision, backend, search):
    assert trained(asked("paper", *words)) == ({precision}, {backend}, search)


def test_a_sweep_of_ones_own_trains_as_it_declares(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    assert trained(asked(str(path))) == ({"bfloat16"}, {"torch"}, "random")
    assert asked(str(path)).name == "mine"  # its own search is no other policy
    assert asked(str(path), "--search", "gp").name == "mine-gp"


@pytest.mark.parametrize("name", sweeps.names())
def test_every_sweep_keeps_what_it_declares(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wanted, "_with_corpus", lambda sweep: sweep)
    declared, got = sweeps.get(name), asked(name)
    fields: Any = ("backend", "precision", "corpus", "protocol", "stages")
    assert {f: getattr(got, f) for f in fields} == {f: getattr(declared, f) for f in fields}
    copies = options.parser().parse_args(["aa", "--sweep", name, "--dry-run"])
    own = aa.sweep(copies)
    assert (own.backend, own.precision, own.protocol.search) == (
        declared.backend,
        declared.precision,
        declared.protocol.search,
    )
