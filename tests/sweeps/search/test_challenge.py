"""`challenge`: whole searches of one's own are added where a verdict is open; what is committed is found."""

import dataclasses
import json
import math
import random
import shutil
from pathlib import Path

import pytest

import sweeps
from benchmark.spec import Outcome
from sweeps.search import challenge, committed, looks
from sweeps.search.cells import Solved
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan
from sweeps.search.sweep import Protocol, Sweep, stage
from sweeps.search.variants import extended

RESULTS = committed.ROOT.parent


@pytest.fixture
def four(pair):
    """The baseline, a fixed copy of it, and an optimizer of the user's own; looks after 2 and 4 searches."""
    mine = dataclasses.replace(pair[1], source="mine.py", name="mine", rule="mine#1")
    stages = (
        stage("27k-0.5x", "I", 16, tune="essential"),
        stage("27k-1x", "II", 0, start="winner", tune="essential", after=("27k-0.5x",)),
        stage("27k-2x", "baseline", 0, start="winner", tune="essential", after=("27k-0.5x",)),
    )
    contestants = (pair[0], dataclasses.replace(pair[0], name="adamw~2"), mine)
    protocol = Protocol(searches=4, looks=(8,), report_seeds=tuple(range(9_000_000, 9_000_008)))
    return Sweep("four", "", stages, protocol, contestants=contestants, search_looks=(2, 4))


def level(better):
    """Losses: what is one's own `better` nats below the baseline; what choosing adds, and noise, both small."""

    def outcome(trial):
        coins, shared = random.Random(trial.trial_id), random.Random(trial.seed)
        loss = 3.5 - better * (trial.optimizer == "mine") - 0.1 * math.log2(trial.chinchilla_ratio)
        return Outcome("finished", val_loss=loss + coins.gauss(0, 0.03) + shared.gauss(0, 0.02))

    return outcome


def searches(done, name, task):
    """The searches of a cell that report, and all report seeds."""
    states = [s for s in done.solved.values() if isinstance(s, Solved) and s.reports]
    own = [s for s in states if (s.cell.contestant.name, s.cell.stage.task.name) == (name, task)]
    return len(own), [trial.seed for s in own for trial, _ in s.reports]


@pytest.mark.parametrize(
    ("better", "limit", "expected"),
    [
        (0.5, (2, 4), 2),  # decided at the first look
        (0.03, (2, 4), 4),  # 1.2 times: neither told apart nor inseparable
        (0.03, (1,), 1),
    ],
)
def test_what_is_decided_at_a_look_ends_there(four, finish, better, limit, expected):
    """The real analysis says what is decided."""
    sweep = dataclasses.replace(four, search_looks=limit)
    done, known = finish(sweep, level(better))
    assert searches(done, "mine", "27k-1x")[0] == expected
    assert searches(done, "adamw", "27k-1x")[0] == 4
    assert max(s.cell.search for s in done.solved.values() if s.cell.contestant.name == "mine") == expected - 1
    assert sweep.looks == tuple(2 * n for n in limit) == tuple(manifest(sweep, done)["protocol"]["looks"])
    again = plan(sweep, known)
    assert again.cells == done.cells and again.done


def test_only_tasks_that_are_open_go_on_and_the_baseline_goes_with_them(four, finish, monkeypatch):
    """Told what is open: at first everything, then 27k-1x, then again everything."""
    both = {("mine", "27k-0.5x"), ("mine", "27k-1x"), ("adamw~2", "27k-1x")}
    told = iter([both, {("mine", "27k-1x")}, both, both])
    monkeypatch.setattr(looks, "still_open", lambda *_: next(told))
    done, known = finish(dataclasses.replace(four, search_looks=(2, 4, 8)), level(0))
    found = {n: [searches(done, n, t)[0] for t in ("27k-0.5x", "27k-1x", "27k-2x")] for n in ("mine", "adamw")}
    assert found == {"mine": [4, 8, 0], "adamw": [4, 8, 4]}
    assert searches(done, "adamw~2", "27k-1x")[0] == 4  # nobody but the user's own and the baseline goes on
    mine, base = searches(done, "mine", "27k-1x")[1], searches(done, "adamw", "27k-1x")[1]
    assert mine == base and sorted(mine) == sorted([*four.protocol.report_seeds] * 2)  # paired to the last
    assert [len(still) for still in done.reach.open] == [2, 1, 1]  # what has stopped stays stopped
    _, before = finish(dataclasses.replace(four, search_looks=()), level(0))
    assert set(before) <= set(known)  # what ran with the usual number of searches is part of it


def test_nothing_goes_on_where_nothing_finished(four, finish):
    def bad(trial):
        return Outcome("diverged", "the loss is not finite") if trial.optimizer == "mine" else level(0)(trial)

    done, _ = finish(four, bad)
    own = [s for s in done.solved.values() if s.cell.contestant.name == "mine"]
    assert {s.cell.search for s in own} == {0, 1}
    assert done.done and not any(done.reach.open)


@pytest.mark.parametrize(
    ("most", "expected"), [(1, (1,)), (2, (2,)), (3, (2, 3)), (4, (2, 4)), (5, (2, 4, 5)), (16, (2, 4, 16))]
)
def test_when_one_looks(most, expected):
    assert challenge.search_looks(most, 4) == expected


@pytest.mark.parametrize(
    ("at", "added"),
    [
        ([], {}),
        (["27k-1x"], {}),
        (["55k-1x"], {"55k-1x": "II", "55k-0.5x": "baseline", "55k-2x": "baseline"}),
        (["27k-2x"], {"27k-2x": "II", "27k-4x": "baseline"}),
        (["55k-1x", "55k-2x"], {"55k-1x": "II", "55k-2x": "II", "55k-0.5x": "baseline", "55k-4x": "baseline"}),
    ],
)
def test_further_tasks_are_carried_from_the_first_tuning(at, added):
    quick = sweeps.get("quick")
    found = {s.task.name: s for s in extended(quick, at).stages}
    before = {s.task.name: s.phase for s in quick.stages}
    assert {name: s.phase for name, s in found.items()} == {**before, **added}
    for name in added:
        assert (found[name].budget, found[name].start, found[name].after) == (0, "winner", ("27k-0.5x",))


@pytest.mark.parametrize(
    ("at", "said"), [("55k", "a task is SCALE-RATIOx"), ("130m-1x", "its own ladder only")]
)
def test_a_task_that_cannot_be_carried_to_is_one_line(at, said):
    with pytest.raises(ValueError, match=said) as caught:
        extended(sweeps.get("quick"), [at])
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def quick() -> Sweep:
    """The sweep with the corpus of the committed records."""
    facts = json.loads((committed.ROOT / "sweep.json").read_text())
    hashes = {name: facts[name] for name in ("corpus_hash", "tokenizer_hash")}
    return dataclasses.replace(sweeps.get("quick"), **hashes)


def test_the_committed_sweep_is_found_by_what_it_is(quick: Sweep):
    found = committed.reference(quick, (committed.ROOT, RESULTS))
    assert found.folders[0] == committed.ROOT
    facts = json.loads((committed.ROOT / "sweep.json").read_text())
    assert list(found.seeds) == facts["protocol"]["report_seeds"]
    assert {"adamw", "adamw~2", "muon"} <= found.reported["27k-1x"]
    assert found.reported["27k-2x"] == {"adamw"}
    torch = committed.reference(dataclasses.replace(quick, backend="torch"), (committed.ROOT, RESULTS))
    assert [folder.name for folder in torch.folders] == ["reference-torch"]
    assert torch.reported["27k-1x"] == {"adamw", "adamw~2"}
    for other in ({"precision": "bfloat16"}, {"corpus_hash": "of another"}):
        nothing = committed.reference(dataclasses.replace(quick, **other), (committed.ROOT, RESULTS))
        assert nothing.folders == () and not nothing.reported, other


def _other_rule(facts):
    facts["optimizers"]["muon"]["rule"] = "muon@0"


def _fewer_trials(facts):
    facts["tasks"][0]["budget"] = 8


def _sealed(facts):
    facts["protocol"]["sealed"] = True


def _a_report_is_missing(facts):
    facts["trial_ids"].remove(facts["cells"]["muon/27k-1x#2"]["reports"][0])


def _as_it_is(facts):
    pass


@pytest.mark.parametrize(
    ("change", "at_one"),
    [
        (_as_it_is, {"adamw", "muon"}),
        (_other_rule, {"adamw"}),
        (_a_report_is_missing, {"adamw"}),
        (_fewer_trials, set()),
        (_sealed, set()),
        (lambda facts: facts.pop("cells"), set()),
        (lambda facts: facts["protocol"].update(report_seeds=7), set()),
    ],
)
def test_what_does_not_fit_is_not_taken(quick: Sweep, tmp_path: Path, change, at_one):
    facts = json.loads((committed.ROOT / "sweep.json").read_text())
    change(facts)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "sweep.json").write_text(json.dumps(facts))
    found = committed.reference(quick, (tmp_path,))
    assert found.reported.get("27k-1x", set()) & {"adamw", "muon"} == at_one


def test_runs_on_other_seeds_are_not_paired_and_stay_out(quick: Sweep, tmp_path: Path):
    for name, first in (("a", None), ("b", 17)):
        (tmp_path / name).mkdir()
        shutil.copy(committed.ROOT / "sweep.json", tmp_path / name)
        if first:
            facts = json.loads((tmp_path / name / "sweep.json").read_text())
            facts["protocol"]["report_seeds"][0] = first
            (tmp_path / name / "sweep.json").write_text(json.dumps(facts))
    assert committed.reference(quick, (tmp_path,)).folders == ((tmp_path / "a").resolve(),)
