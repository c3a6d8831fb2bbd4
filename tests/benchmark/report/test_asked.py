"""The line about an optimizer of one's own: verdict, what would settle it, or why there is none."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark import store
from benchmark.report import answer, nothing_known
from benchmark.spec import Record

Writer = Callable[..., Path]
Records = Callable[..., list[Record]]


def asked(writer: Writer, folder: Path, runs: list[Record], name: str) -> store.Results:
    """The study with one optimizer under a user's rule."""
    changed = [
        dataclasses.replace(r, trial=dataclasses.replace(r.trial, rule=f"{name}#0123"))
        if r.trial.optimizer == name
        else r
        for r in runs
    ]
    facts: dict[str, Any] = {r.trial.optimizer: {**r.facts, "rule": r.trial.rule, "space": {}} for r in changed}
    return store.load(writer(folder, "quick", changed, optimizers=facts))


def test_the_verdict_on_ones_own_comes_first_with_the_leader_beside_it(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    results = asked(writer, tmp_path, study_of(), "lion")
    first, second, *_ = answer(results, "quick")
    assert first.startswith("Lion is ") and " tuned AdamW at 27k-2x" in first
    assert "above Muon" in first and "n\u00a0=\u00a03 seeds" in first
    assert second.startswith("Tuned AdamW needs")
    beside = answer(results, "quick", against=["soap"])[0]
    assert "above Soap" in beside and "Muon" not in beside
    assert not nothing_known(results, "quick")


def test_without_an_optimizer_of_ones_own_nothing_changes(results: Path) -> None:
    assert answer(store.load(results), "quick")[0].startswith("Tuned AdamW needs")


def test_an_undecided_verdict_says_what_would_settle_it(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    line = answer(asked(writer, tmp_path, study_of(("adamw", "lion", "nadamw")), "nadamw"), "quick")[0]
    assert line.startswith("nadamw is undecided against tuned AdamW at 27k-2x: AdamW needs 1.12 times")
    assert line.endswith("the same command with --searches 2.")


def test_failures_are_the_answer_where_there_is_no_verdict(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    runs = [
        dataclasses.replace(r, status="failed", reason="mine.py:7: TypeError: no", val_loss=None)
        if r.trial.optimizer == "lion"
        else r
        for r in study_of()
        if (r.trial.optimizer, r.trial.role) != ("lion", "report")
    ]
    results = asked(writer, tmp_path, runs, "lion")
    first = answer(results, "quick")[0]
    assert first == "Lion has no verdict: of 10 trials 10 failed. Most often: mine.py:7: TypeError: no."
    assert nothing_known(results, "quick")
