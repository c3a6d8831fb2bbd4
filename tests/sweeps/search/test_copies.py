"""Copies of a contestant: names and titles, one rule, and how often a comparison of them errs."""

import dataclasses
import random

import pytest

import optimizers
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers.shared.copies import copy_name, split, title_of
from sweeps.run.options import parser
from sweeps.search import aa
from sweeps.search.contestants import contestants, copy_of, optimizer_class
from sweeps.search.plan import plan
from sweeps.search.space import key


def test_names_and_titles():
    assert [copy_name("adamw", n) for n in (1, 2, 3)] == ["adamw", "adamw~2", "adamw~3"]
    assert (split("adamw"), split("adamw~10")) == (("adamw", 1), ("adamw", 10))
    titles = [title_of("AdamW", name) for name in ("adamw", "adamw~2", "adamw~3")]
    assert titles == ["AdamW", "AdamW, again", "AdamW, copy 3"]


@pytest.mark.parametrize("name", ["adamw~", "adamw~1", "adamw~x", "adamw~02", "~2", "adamw~2~3"])
def test_what_names_no_copy_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match="numbered from 2") as caught:
        optimizers.get(name)
    assert "\n" not in str(caught.value)


def test_a_copy_has_the_rule_and_the_class_of_the_first_and_a_name_of_its_own():
    first, again = contestants(("adamw", "adamw~2"))
    assert again == copy_of(first, 2) == dataclasses.replace(first, name="adamw~2", info=again.info)
    assert again.info == dataclasses.replace(first.info, title="AdamW, again")
    assert optimizers.get("adamw~2") is optimizers.get("adamw") is optimizer_class("adamw~2", "")
    assert "adamw~2" not in optimizers.names()


def test_a_copy_is_tuned_anew_and_says_so_in_its_records(small):
    sweep = dataclasses.replace(small, contestants=contestants(("adamw", "adamw~2")))
    ready = plan(sweep, {}).ready
    by_name = {}
    for trial in ready:
        by_name.setdefault(trial.optimizer, []).append(trial)
    first, again = by_name["adamw"], by_name["adamw~2"]
    assert {t.rule for t in ready} == {first[0].rule}
    assert not {t.trial_id for t in first} & {t.trial_id for t in again}
    rates = [{t.hyperparameters["peak_lr"] for t in trials} for trials in (first, again)]
    assert len(rates[0] & rates[1]) == 1  # the stated start alone
    record = runner.record(again[0], optimizers.get("adamw~2"), Outcome("finished", val_loss=3.0))
    assert record.facts["title"] == "AdamW, again"


def sweep_of(*arguments):
    return aa.sweep(parser().parse_args(["aa", *arguments]))


def test_aa_is_a_sweep_of_copies():
    sweep = sweep_of("--copies", "4")
    assert (sweep.name, sweep.baseline) == ("aa-quick-1", "adamw")
    assert [c.name for c in sweep.contestants] == ["adamw", "adamw~2", "adamw~3", "adamw~4"]
    other = sweep_of("--copies", "4", "--replication", "2", "--optimizer-name", "lion", "--sweep", "smoke")
    assert (other.name, other.baseline, len(other.contestants)) == ("aa-smoke-2", "lion", 4)


def test_another_replication_has_other_seeds_and_openings():
    one, two = sweep_of("--copies", "2"), sweep_of("--copies", "2", "--replication", "2")
    trials = [[t for t in plan(sweep, {}).ready if t.optimizer == "adamw~2"] for sweep in (one, two)]
    assert not {t.seed for t in trials[0]} & {t.seed for t in trials[1]}
    tried = [{key(t.hyperparameters) for t in found} for found in trials]
    assert len(tried[0] & tried[1]) == 1  # the stated start


def test_a_users_file_has_copies_too(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import optax\nspace = {'peak_lr': (0.01, 0.02)}\n"
        "def jax_optimizer(learning_rate):\n    return optax.sgd(learning_rate)\n"
    )
    sweep = sweep_of("--copies", "2", "--optimizer", str(mine))
    assert [c.name for c in sweep.contestants] == ["mine", "mine~2"]
    assert sweep.contestants[1].source == str(mine)
    assert optimizer_class("mine~2", str(mine)) is optimizer_class("mine", str(mine))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--copies", "1"], "nothing to compare"),
        (["--optimizers", "adamw,lion"], "--optimizer-name"),
        (["--optimizer-name", "moun"], "unknown optimizer 'moun'"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep_of(*arguments)


def test_false_verdicts_are_counted(finish):
    """A copy that is one nat worse is judged slower, and one in three such verdicts is said to be false."""
    sweep = sweep_of("--copies", "4", "--sweep", "smoke")

    def outcome(trial):
        level = 3.5 - 0.1 * trial.chinchilla_ratio + (trial.optimizer == "adamw~3")
        return Outcome("finished", val_loss=level + random.Random(trial.trial_id).gauss(0, 0.01))

    done, _ = finish(sweep, outcome)
    lines = aa.verdicts(sweep, done)
    assert [line.split()[-1] for line in lines[1:4]].count("slower") == 1
    assert lines[2].startswith("AdamW, copy 3")
    assert lines[-1].startswith("1 of 3 verdicts are false: 33% [1%, 91%]")
    assert aa.verdicts(sweep, plan(sweep, {}))[-1] == "No copy has a verdict yet."
