"""A trial on eight devices is the trial on one, with an eighth of the batch and of the state on each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import optimizers
from benchmark.train import devices_jax

ROOT = Path(__file__).parents[3]
WHOLE_MATRIX = ("muon", "scion", "soap", "kron")
OPTAX = '''
"""Adam with a clip by the block's norm, as optax has it. A test."""
import optax
space = {"peak_lr": (0.01, 0.02), "beta": (0.8, 0.9)}

def jax_optimizer(learning_rate, beta):
    return optax.chain(optax.clip_by_block_rms(1.0), optax.adam(learning_rate, b1=beta))
'''


def over_devices(job: str, *names: str) -> dict[str, Any]:
    words = [sys.executable, "-W", "ignore", "-m", "tests.benchmark.train.over_devices", job, *names]
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def optax_file(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(OPTAX)
    return str(tmp_path / "mine.py")


def resumed(name: str) -> list[float]:
    """Bytes of the state and of the parameters on one of eight devices over those on a single one, of a deep
    model's run that is alike on 8, 4 and 1."""
    found = over_devices("resumed", name)
    assert max(found[f"{name} 4"], found[f"{name} 1"]) < 1e-5, found
    part, whole = found[f"{name} logits"]
    assert part == whole / 8
    return [part / whole for part, whole in (found[f"{name} state"], found[f"{name} values"])]


def test_a_run_begun_on_eight_devices_goes_on_on_fewer():
    assert all(1 / 8 <= share < 1.15 / 8 for share in resumed("muon"))  # vectors are whole


@pytest.mark.slow
def test_the_state_of_a_users_optax_file_is_whole_on_every_device(optax_file):
    assert resumed(optax_file) == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "soap", "kron"])
def test_other_runs_go_on_on_fewer_devices_too(name):
    assert all(1 / 8 <= share < 1.15 / 8 for share in resumed(name))


def test_two_processes_train_as_one_does_and_go_on_together():
    found = over_devices("together", "muon")
    assert len(found["muon"]) == 2 and max(found["muon"]) < 1e-5, found


@pytest.mark.slow
def test_two_processes_train_every_optimizer(optax_file):
    found = over_devices("together", *optimizers.entrants(), optax_file)
    assert len(found) == 12 and max(max(each) for each in found.values()) < 1e-5, found


@pytest.mark.slow
@pytest.mark.parametrize("job", ["alike", "deep"])
def test_eight_devices_train_as_one_does(job, optax_file):
    found = over_devices(job, *optimizers.entrants(), optax_file)
    assert len(found) == 12 and max(found.values()) < 1e-5, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", *WHOLE_MATRIX])
def test_more_layers_are_no_more_exchanges(name):
    found = [sum(count.values()) for count in over_devices("collectives", name).values()]
    shallow, deep = found[:2], found[2:]
    assert shallow[0] >= shallow[1] > 0 and deep[0] >= deep[1] > 0, found


def test_devices_that_are_not_there_or_cannot_be_used_are_one_line():
    assert devices_jax.devices(1, 16, pack=8) is None
    with pytest.raises(ValueError, match="have 8 devices, but jax sees 1"):
        devices_jax.devices(8, 16)
