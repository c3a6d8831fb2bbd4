"""What a sweep takes: registered optimizers by name, users' own by file, each of them admitted first."""

import dataclasses
from pathlib import Path

import pytest

import optimizers
from benchmark.train import runner
from sweeps.search.contestants import contestants
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan

FILE = """
import optax
space = {{"peak_lr": (0.01, 0.02)}}

def jax_optimizer(learning_rate):
    rule = optax.sgd(learning_rate)
    def update(grads, state, params=None, **extra):
        return {update}(grads, state, params)
    return optax.GradientTransformationExtraArgs(rule.init, update)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


def test_a_file_that_runs_takes_part(mine):
    mine.write_text(FILE.format(update="rule.update"))
    first, own = contestants(("adamw",), [mine])
    assert (first.name, own.name, own.source) == ("adamw", "mine", str(mine))
    assert own.rule.startswith("mine#")


@pytest.mark.parametrize(
    ("update", "backend", "message"),
    [
        ("rule.updaet", "jax", r"mine\.py:8: AttributeError: .*updaet"),
        ("rule.update", "torch", "no torch build; run it with --backend jax"),
    ],
)
def test_one_that_does_not_is_refused_before_a_trial_fails(mine, update, backend, message):
    mine.write_text(FILE.format(update=update))
    with pytest.raises(ValueError, match=message) as caught:
        contestants(("adamw",), [mine], backend)
    assert "\n" not in str(caught.value)


def test_two_of_one_name_are_refused(mine, tmp_path):
    mine.write_text(FILE.format(update="rule.update"))
    with pytest.raises(ValueError, match="in the sweep already; rename the file"):
        contestants(("adamw",), [mine, mine])


def test_records_and_the_manifest_say_the_same_of_an_optimizer(small):
    sweep = dataclasses.replace(small, contestants=contestants(("adamw", "adamw~2", "lion")))
    now = plan(sweep, {})
    told = manifest(sweep, now)["optimizers"]
    for trial in now.ready:
        facts = runner.facts(optimizers.get(trial.optimizer), trial)
        assert facts.items() >= runner.about(sweep.contestant(trial.optimizer).info).items()
        shared = facts.keys() & told[trial.optimizer].keys()
        assert shared == {"title", "paper", "url", "family", "summary", "ablation_of"}
        assert all(facts[name] == told[trial.optimizer][name] for name in shared)
