"""Report seeds: the sweep's own, dealt out to its searches, and added where a verdict is open."""

import dataclasses
import json
import math
import random

import pytest

from benchmark.spec import Outcome
from sweeps.search import looks, seeds
from sweeps.search.manifest import manifest
from sweeps.search.plan import Memory, plan
from sweeps.search.sweep import Protocol, Sweep, stage


@pytest.fixture
def three(pair, contestant):
    """The baseline, one that is far better, and one like the baseline; two looks."""
    equal = dataclasses.replace(pair[0], name="adamw~2")
    stages = (
        stage("27k-1x", "I", 6, tune="essential"),
        stage("27k-2x", "I", 6, tune="essential"),
        stage("27k-4x", "baseline", 2, start="winner", tune="essential", after=("27k-2x",)),
    )
    return Sweep("three", "", stages, Protocol(looks=(4, 8)), contestants=(*pair, equal))


def outcome(trial):
    """Lion .5 nats better; noise of .01 by trial; what a seed does to all alike."""
    level = 3.5 - 0.5 * (trial.optimizer == "lion") - 0.1 * math.log2(trial.chinchilla_ratio)
    coins, shared = random.Random(trial.trial_id), random.Random(trial.seed)
    return Outcome("finished", val_loss=level + coins.gauss(0, 0.01) + shared.gauss(0, 0.02))


def reported(done, name):
    return [trial.seed for trial, _ in done.solved[name].reports]


def test_each_search_reports_on_its_share_of_the_seeds(three, finish):
    done, _ = finish(three, outcome)
    every = seeds.report_seeds(three)
    assert len(every) == len(set(every)) == 8
    for optimizer in ("adamw", "adamw~2"):
        assert reported(done, f"{optimizer}/27k-1x") == [every[0], every[2], every[4], every[6]]
        assert reported(done, f"{optimizer}/27k-1x#1") == [every[1], every[3], every[5], every[7]]
    frame = looks.losses(done.solved, done.due, done.known)
    assert list(frame.columns) == looks.COLUMNS
    assert len(frame) == sum(done.due.values())
    assert frame[frame.optimizer == "lion"].groupby("chinchilla_ratio").seed.nunique().tolist() == [4, 4]


def test_what_is_decided_stops_and_the_baseline_goes_on_with_what_is_not(three, finish, monkeypatch):
    """Told what is open: at the first look both tasks, for one contestant each."""
    asked = []

    def told(sweep, frame):
        asked.append(frame)
        return {("lion", "27k-1x"), ("adamw~2", "27k-2x")}

    monkeypatch.setattr(looks, "still_open", told)
    done, _ = finish(dataclasses.replace(three, protocol=Protocol(looks=(2, 4, 8))), outcome)
    counts = {name: 2 * done.due[name] for name in done.due if "#" not in name}
    assert counts == {
        "adamw/27k-1x": 8,
        "adamw/27k-2x": 8,
        "adamw/27k-4x": 2,
        "lion/27k-1x": 8,
        "lion/27k-2x": 2,
        "adamw~2/27k-1x": 2,
        "adamw~2/27k-2x": 8,
    }
    assert len(asked) == 2  # once a look, however often the plan was made
    assert asked[0].groupby(["optimizer", "chinchilla_ratio"]).size().tolist() == [2] * 7


def test_a_cell_that_has_stopped_stays_stopped(three, finish, monkeypatch):
    open_ = iter([{("lion", "27k-1x")}, {("lion", "27k-1x"), ("adamw~2", "27k-2x")}])
    monkeypatch.setattr(looks, "still_open", lambda *_: next(open_))
    done, _ = finish(dataclasses.replace(three, protocol=Protocol(looks=(2, 4, 8))), outcome)
    assert (done.due["lion/27k-1x"], done.due["adamw~2/27k-2x"]) == (4, 1)


def test_nobody_looks_before_all_have_reported(three, finish, monkeypatch):
    def refuse(*_):
        pytest.fail("looked too early")

    monkeypatch.setattr(looks, "still_open", refuse)
    known, memory = {}, Memory()
    while len((now := plan(three, known, memory)).ready) > 1 or now.remaining > 1:
        trial = now.ready[0]
        known[trial.trial_id] = outcome(trial)
    assert now.purposes[now.ready[0].trial_id] == "report"


def test_replaying_the_records_gives_the_same_trials(three, finish):
    first, known = finish(three, outcome)
    again, others = finish(three, outcome, arrival=7)
    assert others == known and again.cells == first.cells
    assert plan(three, known).cells == first.cells


def test_a_diverged_report_is_infinite_and_a_failed_one_missing(three, finish):
    def broken(trial):
        if trial.optimizer == "lion" and trial.use == "report":
            return Outcome("diverged" if trial.task == "27k-1x" else "failed")
        return outcome(trial)

    done, _ = finish(three, broken)
    frame = looks.losses(done.solved, done.due, done.known)
    lion = frame[frame.optimizer == "lion"]
    assert (lion[lion.chinchilla_ratio == 1].val_loss == math.inf).all()
    assert lion[lion.chinchilla_ratio == 2].val_loss.isna().all()


def test_seeds_follow_from_all_that_makes_the_sweep(three):
    base = seeds.report_seeds(three)
    assert base == seeds.report_seeds(dataclasses.replace(three, title="another title"))
    others = (
        dataclasses.replace(three, name="other"),
        dataclasses.replace(three, corpus_hash="c"),
        dataclasses.replace(three, backend="torch"),
        dataclasses.replace(three, precision="bfloat16"),
        dataclasses.replace(three, stages=three.stages[:2]),
        dataclasses.replace(three, contestants=three.contestants[:2]),
        dataclasses.replace(three, protocol=Protocol(looks=(4, 8), salt="1")),
    )
    found = {seeds.report_seeds(sweep) for sweep in others}
    assert len({base, *found}) == len(others) + 1
    edited = (dataclasses.replace(three.contestants[1], rule="lion#edited"), *three.contestants[2:])
    assert base != seeds.report_seeds(dataclasses.replace(three, contestants=(three.contestants[0], *edited)))
    assert min(base) >= seeds.LOWEST


def write(sweep, folder):
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(manifest(sweep, plan(sweep, {}))))


def test_a_sweep_that_is_resumed_or_extended_keeps_its_seeds(three, tmp_path):
    first = seeds.settled(dataclasses.replace(three, contestants=three.contestants[:2]), tmp_path)
    assert first.protocol.report_seeds == seeds.report_seeds(first)
    write(first, tmp_path / "three")
    more = seeds.settled(three, tmp_path)
    assert more.protocol.report_seeds == first.protocol.report_seeds != seeds.report_seeds(three)
    assert seeds.settled(three, tmp_path / "elsewhere").protocol.report_seeds == seeds.report_seeds(three)
    for root in (tmp_path, tmp_path / "three"):
        reused = seeds.settled(three, tmp_path / "elsewhere", [root])
        assert reused.protocol.report_seeds == first.protocol.report_seeds
    longer = dataclasses.replace(three, protocol=Protocol(looks=(4, 16)))
    assert seeds.settled(longer, tmp_path).protocol.report_seeds == seeds.report_seeds(longer)


def test_sealed_seeds_are_new_and_kept_for_the_same_contestants(three, tmp_path):
    write(seeds.settled(three, tmp_path), tmp_path / "three")
    sealed = seeds.settled(three, tmp_path, sealed=True)
    another = seeds.settled(three, tmp_path, sealed=True)
    assert len({sealed.protocol.report_seeds, another.protocol.report_seeds, seeds.report_seeds(three)}) == 3
    assert sealed.protocol.sealed
    (tmp_path / "three" / "sweep.json").unlink()
    (tmp_path / "three").rmdir()
    write(sealed, tmp_path / "three")
    assert seeds.settled(three, tmp_path, sealed=True).protocol == sealed.protocol  # resumed
    assert seeds.settled(three, tmp_path / "new", [tmp_path], sealed=True).protocol != sealed.protocol
    edited = dataclasses.replace(three.contestants[1], rule="lion#edited")
    contestants = (three.contestants[0], edited, three.contestants[2])
    resubmitted = seeds.settled(dataclasses.replace(three, contestants=contestants), tmp_path, sealed=True)
    assert resubmitted.protocol.report_seeds != sealed.protocol.report_seeds


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"protocol": {"report_seeds": "x"}}', "null"])
def test_a_damaged_manifest_is_no_memory(three, tmp_path, text):
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "sweep.json").write_text(text)
    assert seeds.settled(three, tmp_path).protocol.report_seeds == seeds.report_seeds(three)
