"""The page of schedules and averages, of a sweep that has them and of none other."""

import dataclasses
from pathlib import Path

import pytest

import benchmark
from benchmark.report import build
from benchmark.report.pages import schedules

NAMES = ("adamw", "adamw+wsd", "adamw+cosine")


@pytest.fixture(scope="module")
def results(tmp_path_factory, writer, study_of) -> Path:
    runs = study_of(NAMES, dict.fromkeys(NAMES, ("0.5", "1", "2", "4")))
    kept = [
        dataclasses.replace(r, averages={"ema2": r.val_loss + 0.02, "tail": r.val_loss - 0.01})
        if r.trial.use == "report"
        else r
        for r in runs
    ]
    folder = writer(tmp_path_factory.mktemp("results"), "schedules", kept)
    return writer(folder, "quick", study_of(("adamw", "muon")))


def test_it_says_what_each_schedule_is_worth_and_what_a_long_run_saves(results):
    study = benchmark.load(results / "schedules").each[0]
    worth = schedules.worth(study)
    assert {(r["optimizer"], r["task"]) for r in worth.rows} == {
        (name, f"27k-{ratio}x") for name in NAMES[1:] for ratio in ("0.5", "1", "2", "4")
    }
    (long,) = schedules.long_runs(study).shown()
    assert long["optimizer"] == "adamw+wsd" and long["budgets"] == "0.5x, 1x, 2x, 4x"
    assert long["share"] == f"{(4 + 0.2 * 3.5) / 7.5:.2f}" and long["verdicts"].count("x ") == 4
    gains = {(r["optimizer"], r["task"], r["average"]): r for r in schedules.averages(study).rows}
    assert len(gains) == 24
    assert gains["adamw+wsd", "27k-1x", "tail"]["gain"] == pytest.approx(0.01)
    shown = schedules.averages(study).shown()
    assert not [r for r in shown if r["verdict"] != "undecided" and "0.0000" in r["interval"]]
    assert [r["task"] for r in shown] == sorted(r["task"] for r in shown)
    assert {r["verdict"] for (_, _, average), r in gains.items() if average == "ema2"} == {"loses"}


def test_other_sweeps_have_none_and_the_leaderboard_leads_there(results, tmp_path):
    site = build(results, tmp_path / "site").parent
    assert not (site / "quick" / "schedules.html").exists()
    assert (site / "schedules" / "schedules.html").exists()
    link = 'href="../schedules/schedules.html"'
    assert link in (site / "schedules" / "index.html").read_text()
    assert link not in (site / "quick" / "index.html").read_text()
