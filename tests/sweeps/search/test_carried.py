"""Contestants that a rule carries to wider models: names, who starts from where, and the sweep `transfer`."""

import dataclasses

import pytest

import optimizers
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers.shared.carried import POLICIES, found_carried
from optimizers.shared.copies import rule_name, title_of
from sweeps.search import width
from sweeps.search.carried import with_policies
from sweeps.search.contestants import contestants
from sweeps.search.plan import plan
from sweeps.search.sweep import Policy, Protocol, Sweep, stage
from sweeps.transfer import SWEEP

SMALL = ("27k-0.5x", "55k-0.5x", "100k-0.5x")


def small(names, policies, **changes):
    """Tuned at three widths on few trials; the two larger start from the smallest."""
    how = {"start": "winner", "tune": "essential", "after": SMALL[:1]}
    stages = (stage(SMALL[0], "I", 8, tune="essential"), *(stage(n, "II", 8, **how) for n in SMALL[1:]))
    them = with_policies(contestants(names), policies)
    return Sweep("s", "", stages, Protocol(searches=2, looks=(4,)), contestants=them, **changes)


def flat(trial):
    """A loss that favours a rate and leaves what else there is to the search."""
    return Outcome("finished", val_loss=3.0 + abs(float(trial.hyperparameters["peak_lr"]) - 0.016))


def test_names_and_titles():
    assert rule_name("muon+wsd@mup-sqrt") == "muon"
    assert title_of("Muon", "muon+wsd@mup") == "Muon, wsd, carried by muP"
    assert contestants(["adamw@mup"])[0].info.title == title_of("AdamW", "adamw@mup")
    assert contestants(["adamw@mup"])[0].rule == contestants(["adamw"])[0].rule
    assert found_carried("adamw@mup") == ("adamw", "mup") and found_carried("me@home") == ("me@home", "")
    assert set(POLICIES) == set(Policy.__args__)


@pytest.mark.parametrize("name", ["adamw@", "adamw@mpu", "adamw@mup@mup", "adamw@mup~2"])
def test_what_there_is_not_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"choose from|drop ~2") as caught:
        contestants([name])
    assert "\n" not in str(caught.value)


def test_who_is_carried_must_be_tuned_too():
    sweep = small(["adamw"], ())
    alone = dataclasses.replace(sweep, contestants=contestants(["adamw", "muon@mup"]))
    with pytest.raises(ValueError, match="muon@mup is carried from muon, which does not take part; add it"):
        plan(alone, {})


def test_rules_that_do_the_same_with_a_contestant_are_one():
    found = [c.name for c in with_policies(contestants(["adamw", "muon", "adamw~2"]), SWEEP.policies)]
    assert [n for n in found if n.startswith("muon")] == ["muon", "muon@constant", "muon@law", "muon@mup"]
    assert [n for n in found if n.startswith("adamw~2")] == ["adamw~2"]
    assert len([n for n in found if n.startswith("adamw@")]) == len(SWEEP.policies)


def test_carried_settings_are_the_winner_s_of_the_same_search_changed_by_their_rule(finish):
    names = ["adamw", "muon"]
    done, _ = finish(small(names, ("constant", "law", "mup", "mup-sqrt", "mup-independent")), flat)
    for key, cell in done.cells.items():
        tuned, policy = found_carried(cell["optimizer"])
        if not policy:
            assert len(cell["tuning"]) >= 4, key
            continue
        assert cell["tuning"] == [] and len(cell["reports"]) == 2 and cell["complete"], key
        assert cell["start"] == policy and cell["from"].startswith(f"{tuned}/")
        assert cell["from"].partition("#")[2] == key.partition("#")[2]
        reports = [trial for trial, _ in done.solved[key].reports]
        assert {trial.optimizer for trial in reports} == {cell["optimizer"]}
        source, scale = done.cells[cell["from"]]["winner"], done.solved[key].cell.stage.task.scale
        if policy == "law":
            assert cell["task"] == SMALL[2]
            continue
        assert cell["from"].partition("#")[0] == f"{tuned}/{SMALL[0]}"
        free = contestants([tuned])[0].width_free
        by = width.setting(policy, scale.width / 32, free) if policy != "constant" else {}
        for name, value in cell["winner"].items():
            factor = by.get(name, 1.0)
            expected = source[name] * factor if factor != 1.0 else source[name]
            assert value == (pytest.approx(expected, rel=1e-5) if factor != 1.0 else expected), (key, name)
        ratios = {} if policy == "constant" else width.init_ratios(scale, scale.width / 32)
        assert all(trial.init_ratios == ratios for trial in reports)
    assert {c["optimizer"] for c in done.cells.values() if c["task"] == SMALL[0]} == set(names)


def test_a_fixed_part_of_the_recipe_stays_fixed(finish):
    sweep = small(["adamw", "adamw_one_rate"], ("mup",))
    done, _ = finish(sweep, flat)
    winner = done.cells["adamw_one_rate@mup/100k-0.5x"]["winner"]
    fixed = contestants(["adamw_one_rate"])[0].recipe_fixed
    assert fixed and {name: winner[name] for name in fixed} == fixed


def test_a_record_of_a_carried_contestant_has_its_title(finish):
    done, _ = finish(small(["adamw"], ("mup",)), flat)
    trial, _ = done.solved["adamw@mup/55k-0.5x"].reports[0]
    record = runner.record(trial, optimizers.get(trial.optimizer), Outcome("finished", val_loss=3.0))
    assert record.facts["title"] == "AdamW, carried by muP"


def test_the_sweep_carries_every_optimizer_to_two_widths_by_every_rule():
    widths = [s.task.scale.width for s in SWEEP.stages]
    assert widths == [32, 48, 64] and len({s.task.chinchilla_ratio for s in SWEEP.stages}) == 1
    assert set(SWEEP.policies) == set(POLICIES) - {"width"}
    assert all(s.budget for s in SWEEP.stages)


@pytest.mark.parametrize("rule", sorted(width.DECAY))
def test_the_option_transfer_has_them_too(rule, finish):
    from sweeps.search.transfer import transferred

    sweep = transferred(dataclasses.replace(small(["adamw"], ())), rule)
    assert sweep.name == f"s-{rule}"
    done, _ = finish(sweep, flat)
    cell, source = done.cells["adamw/100k-0.5x"], done.cells["adamw/27k-0.5x"]
    assert cell["winner"]["peak_lr"] == pytest.approx(source["winner"]["peak_lr"] / 2)
    assert {t.init_ratios["head"] for t, _ in done.solved["adamw/100k-0.5x"].reports} == {0.707107}
