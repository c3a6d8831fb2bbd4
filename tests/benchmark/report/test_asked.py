"""The line about an optimizer of one's own: verdict, what would settle it, or why there is none."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from benchmark import store
from benchmark.frames import rows
from benchmark.report import answer, nothing_known, sentence
from benchmark.report.asked import _beside, searches_wanted, wanted
from benchmark.report.sentence import _ties
from benchmark.report.sentence import study_of as study_of_name
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
    assert "above Muon" in first and "n\u00a0=\u00a03 runs" in first
    assert second.startswith("Tuned AdamW needs")
    beside = answer(results, "quick", against=["soap"])[0]
    assert "above Soap" in beside and "Muon" not in beside
    assert not nothing_known(results, "quick")


def test_a_page_begins_with_the_verdict_alone_and_says_the_rest_below(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    """A heading is one short sentence: verdict, speedup and interval. Together they are the command's lines."""
    study = study_of_name(asked(writer, tmp_path, study_of(("adamw", "muon", "nadamw")), "nadamw"), "quick")
    first, paragraphs = sentence.headline(study)
    assert first.startswith(
        "nadamw is undecided against tuned AdamW at 27k-2x: AdamW needs 1.12 times the tokens"
    )
    assert "95\u00a0% interval" in first and len(first) < 150 and first.count(". ") == 0
    assert paragraphs[0].startswith("From n\u00a0=\u00a03 runs over 1 search.")
    assert "known to within" in paragraphs[0] and paragraphs[1].startswith("Tuned AdamW needs")
    assert " ".join([first, *paragraphs]) == " ".join(filter(None, sentence.lines(study)))


def test_no_line_tells_apart_what_the_verdict_does_not(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    """Early looks ask more of a verdict than of the interval of a pair."""
    study = study_of_name(asked(writer, tmp_path, study_of(("adamw", "lion", "nadamw")), "nadamw"), "quick")
    assert study.headline is not None
    table = {row["optimizer"]: row for row in rows(study.results_for(study.headline.name))}
    base = table["adamw"]
    open_ = {**table["lion"], "val_loss": base["val_loss"] + 0.04, "verdict": "undecided"}
    open_ |= {"gap": 0.04, "gap_lo": -0.01, "gap_hi": 0.09}
    assert _beside(study, open_, base).startswith(
        "It ends 0.0400 nats [−0.0100, 0.0900] above AdamW, which the"
    )
    found = {**open_, "gap": -0.04, "gap_lo": -0.07, "gap_hi": -0.01, "val_loss": base["val_loss"] - 0.04}
    assert (
        _beside(study, found, base) == "It ends 0.0400 nats [0.0100, 0.0700] below AdamW, which is told apart."
    )
    last = {(name, study.headline.name): (place, place) for place, name in enumerate(("adamw", "lion"), 1)}
    study.__dict__["bands"] = last  # as the pairs' intervals would have it
    assert _ties(study, [base, open_], study.headline.name) == "The runs do not separate AdamW from Lion."
    slower = {**open_, "verdict": "slower"}
    assert "separate AdamW from every other" in _ties(study, [base, slower], study.headline.name)


def test_without_an_optimizer_of_ones_own_nothing_changes(results: Path) -> None:
    assert answer(store.load(results), "quick")[0].startswith("Tuned AdamW needs")


def test_an_undecided_verdict_says_what_would_settle_it(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    line = answer(asked(writer, tmp_path, study_of(("adamw", "lion", "nadamw")), "nadamw"), "quick")[0]
    assert line.startswith("nadamw is undecided against tuned AdamW at 27k-2x: AdamW needs 1.12 times")
    assert "known to within 0.0" in line and "a run by 0.0" in line
    assert line.endswith(
        "2 searches in place of 1 would tell it from AdamW, about 32 more runs and 5 minutes of one core"
        " (--searches 2)."
    )
    assert (
        wanted(study_of_name(asked(writer, tmp_path, study_of(), "lion"), "quick")) is None
    )  # slower: decided


@pytest.mark.parametrize(
    ("gap", "half", "ends", "looks", "expected"),
    [
        (0.03, 0.04, (0.9, 1.2, 1.6), [], (8, "tell it from AdamW")),  # a root of 2 narrower, and a little
        (0.03, 0.04, (0.9, 1.2, 1.6), [2, 4], (8, "tell it from AdamW")),
        (0.034, 0.04, (0.9, 1.25, 1.6), [], (6, "tell it from AdamW")),
        (0.034, 0.04, (0.9, 1.25, 1.6), [2, 4], (7, "tell it from AdamW")),  # a third look has its price
        (0.0, 0.03, (0.8, 1.0, 1.25), [], (6, "show that it is inseparable from AdamW")),
        (0.0, 0.03, (0.5, 1.0, 2.0), [], (None, "")),
        (0.001, 0.03, (math.nan, math.nan, math.nan), [], (None, "")),
    ],
)
def test_how_many_searches_would_decide(gap: float, half: float, ends: Any, looks: Any, expected: Any) -> None:
    """Of four searches with two report seeds each: the noise falls with their root."""
    row: dict[str, Any] = dict(zip(("lo", "speedup", "hi"), ends, strict=True))
    row |= {"searches": 4, "n": 8, "gap": gap, "gap_lo": gap - half, "gap_hi": gap + half}
    row |= {"scale": "27k", "chinchilla_ratio": 1.0}
    manifest = {"own_looks": looks, "protocol": {"searches": 4}}

    def wanted_beside(searches: int) -> tuple[int | None, str]:
        of = {"optimizer": "adamw", "scale": "27k", "chinchilla_ratio": 1.0, "search": range(searches)}
        study: Any = SimpleNamespace(
            manifest=manifest, baseline="adamw", baseline_title="AdamW", losses=pd.DataFrame(of)
        )
        return searches_wanted(study, row)

    number, outcome = wanted_beside(4)
    assert number == expected[0] and outcome.startswith(expected[1])
    if number is not None:  # what the baseline has already is there for nothing, and what it lacks is not
        fewer, more = wanted_beside(2)[0], wanted_beside(40)[0]
        assert fewer is not None and fewer <= number and (more is None or more >= number)


def test_failures_are_the_answer_where_there_is_no_verdict(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    runs = [
        dataclasses.replace(r, status="failed", reason="mine.py:7: TypeError: no", val_loss=None)
        if r.trial.optimizer == "lion"
        else r
        for r in study_of()
        if (r.trial.optimizer, r.trial.use) != ("lion", "report")
    ]
    results = asked(writer, tmp_path, runs, "lion")
    first = answer(results, "quick")[0]
    assert first == "Lion has no verdict: of 10 trials 10 failed. Most often: mine.py:7: TypeError: no."
    assert nothing_known(results, "quick")
