"""What pages say of a comparison without a speedup or an interval, or with a diverged run: the same on all."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from benchmark import store
from benchmark.analysis.evidence import Judgement
from benchmark.report import answer, charts
from benchmark.report.board import board
from benchmark.report.pages import claims, optimizers, progress, speedup
from benchmark.studies import studies
from benchmark.study import Study

Writer = Callable[..., Path]
Records = Callable[..., list]
PAIRED = "▲ faster (paired test, no speedup)"


def only(results: Path) -> Study:
    return studies(store.load(results))[0]


def shown(study: Study, name: str) -> list[str]:
    """The verdict on an optimizer at the last task, as every page with one shows it."""
    found = progress.page(study)
    row = next(r for r in board(study, study.tasks[-1]).rows if r.optimizer == name)
    title = study.titles[name]
    return [
        row.speedups["tokens"].verdict,
        *(r["verdict"] for r in speedup.page(study)["speedups"].shown() if r["optimizer"] == title),
        *(
            r["verdict"]
            for t in (found["settled"], found["open"])
            for r in t.shown()
            if r["optimizer"] == title
        ),
        *(r["verdict"] for r in optimizers.page(study, name)["results"].shown()),
    ]


def test_one_baseline_ratio_is_judged_by_the_paired_test_on_every_page(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    runs = study_of(("adamw", "muon"), {"adamw": ["1"], "muon": ["1"]})
    study = only(writer(tmp_path, "quick", runs))
    assert shown(study, "muon") == ["paired faster", PAIRED, PAIRED, PAIRED]
    settled = progress.page(study)["settled"].shown()[0]
    assert [settled[name] for name in ("task", "speedup", "interval")] == ["27k-1x", "–", "–"]
    assert answer(store.load(tmp_path), "quick")[2] == "Every other optimizer is separable from tuned AdamW."


def test_a_sweep_without_a_speedup_comes_last_and_draws_none(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    writer(tmp_path, "alone", study_of(("adamw", "muon"), {"adamw": ["4"], "muon": ["4"]}))
    writer(tmp_path, "reference", study_of(("adamw", "muon"), {"adamw": ["1", "2"], "muon": ["1", "2"]}))
    found = studies(store.load(tmp_path))
    assert [s.name for s in found] == ["reference", "alone"]
    assert [charts.speedup_by_ratio(s, "27k") is None for s in found] == [False, True]
    assert not [f for f in speedup.page(found[1])["figures"] if f is not None]


def test_nothing_is_called_inseparable_where_the_noise_is_not_known(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    for name, ratios in (("two", ["1", "2"]), ("one", ["1"])):
        runs = study_of(("adamw", "muon"), {"adamw": ratios, "muon": ratios[-1:]})
        results = writer(tmp_path / name, "quick", [r for r in runs if r.trial.seed in (0, 101)])
        assert shown(only(results), "muon") == ["", "–", "–", "–"]
        last = answer(store.load(results), "quick")[2]
        assert last == "Not known to be separable from tuned AdamW, for want of an interval: Muon."


def test_a_ratio_that_the_baseline_lacks_is_not_compared(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    study = only(writer(tmp_path, "quick", study_of(("adamw", "muon"), {"adamw": ["1"], "muon": ["2"]})))
    assert shown(study, "muon") == ["", "–", "–", "–"]


def test_an_optimizer_with_a_diverged_run_is_not_named_as_the_best(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    gone = {"status": "diverged", "reason": "loss is not finite at step 40", "val_loss": None, "curve": ()}
    places = [("muon", "27k-2x", 101)]
    runs = [_lost(r, places, gone) for r in study_of(("adamw", "muon", "lion"))]
    first = answer(store.load(writer(tmp_path / "some", "quick", runs)), "quick")[0]
    assert first.startswith(
        "Tuned AdamW has the lowest test loss of 2 optimizers without a diverged run at 27k-2x"
    )
    assert "Lion" in first
    places += [("lion", "27k-2x", 101), ("adamw", "27k-2x", 101)]
    runs = [_lost(r, places, gone) for r in runs]
    first = answer(store.load(writer(tmp_path / "all", "quick", runs)), "quick")[0]
    assert "Muon's loss, the lowest test loss of 3 optimizers" in first
    assert re.search(r"n\s=\s2 runs over 1 search; 1 of 3 runs diverged\)", first)


def _lost(record, places: list[tuple[str, str, int]], gone: dict):
    here = (record.trial.optimizer, record.trial.task, record.trial.seed)
    return dataclasses.replace(record, **gone) if here in places else record


def test_a_number_that_is_not_known_is_a_dash() -> None:
    told = Judgement(
        "a claim", "undecided", "", {"speed_up": float("nan"), "most": float("inf"), "least": -0.5}
    )
    assert claims.numbers(told) == [("speed up", "–"), ("most", "∞"), ("least", "−0.5")]
