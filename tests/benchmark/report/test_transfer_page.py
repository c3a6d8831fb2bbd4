"""The page of carried settings, of a sweep that has them and of none other."""

import pytest

import benchmark
from benchmark.report import build
from benchmark.report.pages import transfer

NAMES = ("adamw", "adamw@mup", "adamw@constant")
RATIOS = dict.fromkeys(NAMES, ("0.5", "1"))


@pytest.fixture(scope="module")
def results(tmp_path_factory, writer, study_of):
    return writer(tmp_path_factory.mktemp("results"), "transfer", study_of(NAMES, RATIOS))


def test_it_says_what_every_rule_costs_and_what_it_saves(results):
    study = benchmark.load(results / "transfer").each[0]
    rows = transfer.regret(study).rows
    assert [(r["policy"], r["task"]) for r in rows] == [
        (rule, task) for task in ("27k-0.5x", "27k-1x") for rule in ("constant", "mup")
    ]
    assert all(r["tuned"] == "adamw" and r["saved"] == 5 for r in rows)
    for shown in transfer.regret(study).shown():
        assert shown["policy"] in ("unchanged", "by muP") and shown["verdict"] in (
            "costs",
            "saves",
            "undecided",
        )
        assert shown["interval"].startswith("[") and shown["regret"][0] in "+−"


def test_the_leaderboard_leads_there(results, tmp_path):
    site = build(results, tmp_path / "site").parent
    assert "Regret of carried settings" in (site / "transfer" / "transfer.html").read_text()
    assert 'href="../transfer/transfer.html"' in (site / "transfer" / "index.html").read_text()


def test_a_sweep_of_others_whose_names_hold_the_mark_has_no_such_page(writer, study_of, tmp_path):
    names = ("adamw", "me@home", "adam+me")
    study = benchmark.load(writer(tmp_path, "own", study_of(names))).each[0]
    assert not transfer.has(study) and not transfer.regret(study).rows
