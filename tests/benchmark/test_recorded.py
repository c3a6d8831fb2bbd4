"""Records, manifests and measurements of any content: each is taken, or refused with one line that names it."""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmark
from benchmark import manifests, measurements, store, studies, validate
from benchmark.recorded import record_from_json
from benchmark.report.__main__ import main as report
from benchmark.spec import canonical
from tools.fuzz import _tree

DEEP: Any = [1]
for _ in range(300):
    DEEP = [DEEP]
WRONG: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**400, 1e300, math.nan, math.inf, "1", [], {}, [1], {"a": 1}, DEEP),
    *("nul\0", "line\nbreak", "\x1b[2J", "\u202eexe", "\ud800", "x" * 200_000),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole") / "results"
    _tree.write(results)
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


@pytest.fixture(scope="module")
def line(whole: Path) -> str:
    """A report record with a curve."""
    return (whole / "quick" / "trials.jsonl").read_text().splitlines()[5]


def fitting(body: Any) -> str:
    """A record with the id that its content hashes to, as whoever means harm would write it."""
    with contextlib.suppress(ValueError, TypeError, OverflowError, AttributeError):
        body["trial_id"] = hashlib.sha256(canonical(body["trial"]).encode()).hexdigest()[:16]
    return json.dumps(body)


def places(body: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in some JSON; of a list its first entry stands for all."""
    for key in body if isinstance(body, dict) else range(min(len(body), 1)) if isinstance(body, list) else ():
        yield (*way, key)
        yield from places(body[key], (*way, key))


def changed(text: str, way: tuple[Any, ...], new: Any) -> Any:
    body = inside = json.loads(text)
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = new
    return body


def test_every_wrong_value_in_every_field_is_one_line_or_does_no_harm(line: str) -> None:
    for way in places(json.loads(line)):
        for new in WRONG:
            try:
                taken = record_from_json(fitting(changed(line, way, new)))
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 400, way
            else:  # a free fact, a missing loss, a word among hyperparameters; else of the type that it was
                free = (
                    {"facts", "environment", "trial_id"} & {way[0]} or "hyperparameters" in way or new is None
                )
                assert free or kind(new) == kind(found(line, way)), (way, new)
                assert record_from_json(taken.to_json()) == taken


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def found(text: str, way: tuple[Any, ...]) -> Any:
    inside = json.loads(text)
    for key in way:
        inside = inside[key]
    return inside


@pytest.mark.parametrize(
    ("way", "new", "says"),
    [
        (("val_loss",), math.nan, "NaN is no number"),
        (("val_loss",), None, "it is finished and has no val_loss"),
        (("val_loss",), "3.5", "val_loss: '3.5' is not a number"),
        (("val_loss",), -1.0, "val_loss: -1.0 is not from 0"),
        (("status",), "diverged", "it is diverged and has a val_loss"),
        (("trial", "steps"), True, "trial.steps: True is not a whole number"),
        (("trial", "steps"), -5, "trial.steps: -5 is not from 0"),
        (("trial", "steps"), 10, "its curve goes to step"),
        (("trial", "seed"), 1.5, "trial.seed: 1.5 is not a whole number"),
        (("trial", "hyperparameters"), [1], "trial.hyperparameters: [1] is not an object"),
        (
            ("trial", "hyperparameters", "peak_lr"),
            "0.1",
            "trial.hyperparameters.peak_lr: '0.1' is not a number",
        ),
        (("trial", "hyperparameters", "beta1"), None, "trial.hyperparameters.beta1: None is not a number"),
        (("trial", "optimizer"), "a\nb", "control characters"),
        (("trial", "evaluation", "split"), "train", "trial.evaluation.split: 'train' is not one of"),
        (("trial", "colour"), "red", "trial.'colour': unknown field"),
        (("curve", 0, "val_loss"), math.inf, "Infinity is no number"),
        (("curve", 0, "step"), "8", "curve.0.step: '8' is not a whole number"),
        (("facts", "space"), [], "facts.space: [] is not an object"),
        (("facts", "note"), DEEP, "facts.note: nested too deeply"),
        (("environment", "machine"), ["m"], "environment.machine: ['m'] is not a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(line: str, way: tuple[Any, ...], new: Any, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        record_from_json(fitting(changed(line, way, new)))
    assert says in str(refused.value)


def test_a_diverged_run_has_no_loss_and_is_a_row(results: Path) -> None:
    body = json.loads((results / "quick" / "trials.jsonl").read_text().splitlines()[5])
    body |= {"status": "diverged", "reason": "loss is not finite", "val_loss": None, "bits_per_byte": None}
    assert record_from_json(fitting(body)).status == "diverged"


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=10)


@settings(max_examples=40, deadline=None)
@given(JSON)
def test_any_json_is_a_value_or_one_line(value: Any) -> None:
    for read in (record_from_json, lambda text: manifests.read(text.encode())):
        for body in (value, {"schema": 1, "trial_id": "x", "trial": value, "cells": value, "name": value}):
            with contextlib.suppress(ValueError):
                read(json.dumps(body))


def test_a_manifest_takes_no_wrong_value(whole: Path) -> None:
    """What it takes has the types that pages rely on; a damaged cell is left out and named."""
    text = (whole / "quick" / "sweep.json").read_text()
    for way in places(json.loads(text)):
        for new in WRONG:
            with contextlib.suppress(ValueError):
                manifest, without = manifests.read(json.dumps(changed(text, way, new)).encode())
                assert all("\n" not in problem for problem in without)
                assert len(manifest.get("cells", ())) + len(without) == 6 or way == ("cells",)


def test_cells_that_start_from_each_other_end() -> None:
    cells = {"a/t": {"from": "b/t"}, "b/t": {"from": "a/t"}}
    read, _ = manifests.read(json.dumps({"schema": 1, "cells": cells}).encode())
    assert [sorted(c) for c in read["cells"].values()].count(["from", "reports", "tuning"]) == 1


def spoil_line(results: Path) -> str:
    path = results / "quick" / "trials.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], fitting(changed(lines[4], ("val_loss",), math.nan)), *lines[5:]]))
    return "trials.jsonl: line 5: not a record (NaN is no number)"


def empty_trials(results: Path) -> str:
    shutil.rmtree(results / "fresh" / "trials")
    return "sweep fresh: left out: none of its records is here"


def every_record(results: Path) -> str:
    for path in (results / "fresh" / "trials").iterdir():
        path.write_bytes(b"\0\xff")
    return "skipped 13 "


def endless_line(results: Path) -> str:
    with (results / "quick" / "trials.jsonl").open("ab") as file:
        file.truncate(file.tell() + (20 << 20))
    return "line 37: longer than 8 MiB"


def pipe(results: Path) -> str:
    os.mkfifo(results / "fresh" / "trials" / "p.json")
    return "p.json: cannot be read (it is no plain file)"


def loop(results: Path) -> str:
    (results / "fresh" / "trials" / "l.json").symlink_to("l.json")
    return "l.json: cannot be read (Too many levels of symbolic links)"


def folder(results: Path) -> str:
    (results / "fresh" / "trials" / "d.json").mkdir()
    return "d.json: cannot be read (it is no plain file)"


def odd_name(results: Path) -> str:
    (results / "a\x1b[2Jb").mkdir()
    return "a\\x1b[2Jb: the folder's name"


def deep(results: Path) -> str:
    (results / "fresh" / "sweep.json").write_text('{"a":' * 10_000)
    return "not a sweep manifest (nested too deeply)"


def other_outcome(results: Path) -> str:
    path = results / "quick" / "trials.jsonl"
    first = path.read_text().splitlines()[0]
    with path.open("a") as file:
        file.write(json.dumps(changed(first, ("val_loss",), 1.0)))
    return "another outcome of record"


def figures(results: Path) -> str:
    path = results / "bench" / "throughput.json"
    path.write_text(path.read_text().replace("2.0", '"2.0"'))
    return "rows.0.median: '2.0' is not a number"


def parity(results: Path) -> str:
    (results / "quick" / "parity.json").write_text('{"rows": [{"steps": 1}]}')
    return "not a parity table"


@pytest.mark.parametrize(
    "spoil",
    [spoil_line, empty_trials, every_record, endless_line, pipe, loop, folder, odd_name, deep, other_outcome],
)
def test_one_bad_thing_is_named_and_hides_nothing_else(results: Path, spoil: Callable[[Path], str]) -> None:
    says = spoil(results)
    with pytest.warns(UserWarning, match="skipped") as warned:
        found = benchmark.load(results)
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert says in str(warned[0].message) or any(says in problem for problem in found.results.damaged)
    assert "quick" in found.names
    assert len(found.only("quick").speedups()) == 6


@pytest.mark.parametrize("spoil", [figures, parity])
def test_other_files_of_the_results_are_named_too(results: Path, spoil: Callable[[Path], str]) -> None:
    says, told = spoil(results), []
    measurements.machines(results / "bench", told)
    from benchmark.report import parity as table

    table.load(results, told)
    assert len(told) == 1 and says in told[0]


def test_where_nothing_is_left_there_is_one_line(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(results / "quick")
    empty_trials(results)
    assert report(["--results", str(results), "--out", str(results.parent / "out")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "none of its records is here" in told
    assert not (results.parent / "out").exists()


def test_more_optimizers_than_can_be_shown_are_left_out(results: Path) -> None:
    lines = []
    for number in range(studies.MOST["optimizers"] + 1):
        body = json.loads((results / "quick" / "trials.jsonl").read_text().splitlines()[5])
        body["trial"] |= {"optimizer": f"o{number}", "rule": f"o{number}@1"}
        lines.append(fitting(body))
    (results / "fresh" / "sweep.json").unlink()
    (results / "fresh" / "trials.jsonl").write_text("\n".join(lines))
    found = studies.load(results)
    assert found.names == ["quick"] and "pages show at most 200" in found.results.damaged[0]


def test_a_byte_order_mark_and_other_line_ends_are_no_damage(results: Path) -> None:
    path = results / "quick" / "trials.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert not store.load(results).damaged


def test_the_record_of_another_trial_is_not_taken_for_this_ones(results: Path) -> None:
    one, other = sorted((results / "fresh" / "trials").iterdir())[:2]
    shutil.copy(one, other)
    with pytest.raises(ValueError, match="it holds the record"):
        store.read(other)


def test_no_field_of_a_record_lacks_a_check() -> None:
    with pytest.raises(TypeError, match="no check"):
        validate._by_hint(set[int], {})
