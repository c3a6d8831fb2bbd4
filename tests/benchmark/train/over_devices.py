"""Run by test_devices.py in a process of its own, because jax makes its devices when it starts.

    python -m tests.benchmark.train.over_devices JOB NAME...

The last line of the output is the answer, as JSON. A NAME is a registered optimizer or a path.
"""

import dataclasses
import functools
import json
import math
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest.mock
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmark import scales
from benchmark.data import batches
from benchmark.spec import Trial
from benchmark.train import devices_jax, parameters, processes_jax, programs_jax, trainer_jax
from optimizers.base import Optimizer
from sweeps.search.contestants import optimizer_class
from tests.benchmark.train.test_trainer_jax import TinyCorpus, trial

STEPS, BATCH, LENGTH, VOCAB = 8, 32, 128, 512
CORPUS: Any = TinyCorpus()


def made(name: str, scale: str) -> tuple[Trial, Optimizer]:
    """A trial of eight steps. Matrices are cut into square blocks: see cases.in_square_blocks."""
    given, adamw = trial("adamw")
    recipe = {k: v for k, v in given.hyperparameters.items() if k not in adamw.floats()}
    optimizer = optimizer_class(Path(name).stem, name if name.endswith(".py") else "")()
    if "block_size" in optimizer.statics():
        optimizer = optimizer.replace(block_size=scales.get(scale).width)
    settings = {**recipe, **optimizer.floats(), **optimizer.statics(), "batch_size": BATCH}
    changes: Any = {"scale": scale, "steps": STEPS, "precision": "float64", "hyperparameters": settings}
    return dataclasses.replace(given, **changes), optimizer


@dataclasses.dataclass
class Ran:
    """losses: of every step, and of some sequences afterwards. logits: numbers in the largest array with a
    vocabulary axis. state, values: bytes of the optimizer's state and of parameters. The last three are of one
    device."""

    losses: np.ndarray
    logits: int
    state: int
    values: int


def run(name: str, scale: str, devices: int, path: Path | None = None, max_steps: int | None = None) -> Any:
    """A Ran, or None for a run that is cut short."""
    found: list[Ran] = []
    judge = trainer_jax._Pack.outcomes

    def outcomes(pack: Any, progress: Any) -> Any:
        program = next(program for key, program in pack.programs._compiled.items() if key[0] == "advance")
        shapes = re.findall(r"f64\[([\d,]+)\]", program.as_text())
        arrays = [tuple(map(int, shape.split(","))) for shape in shapes]
        logits = max(math.prod(shape) for shape in arrays if shape[-1] == VOCAB)
        values, state = (
            sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree)) for tree in pack.carry
        )
        steps = np.asarray(progress.train_losses)[:, 0]
        found.append(Ran(np.append(steps, pack.evaluate(progress, "test", 4)), logits, state, values))
        return judge(pack, progress)

    one, optimizer = made(name, scale)
    with unittest.mock.patch.object(trainer_jax._Pack, "outcomes", outcomes):
        trainer_jax.train([one], [optimizer], CORPUS, path, max_steps, devices=devices)
    return found[0] if found else None


def apart(one: Ran, other: Ran) -> float:
    """The largest difference of two losses."""
    assert len(one.losses) == STEPS + 4 and one.losses[0] > one.losses[STEPS - 1]
    return float(np.abs(one.losses - other.losses).max())


def alike(names: list[str]) -> dict[str, Any]:
    """One device and eight, each of which has four parts of a batch."""
    batches.TOKENS_AT_ONCE = LENGTH
    return {name: apart(run(name, "27k", 1), run(name, "27k", 8)) for name in names}


def deep(names: list[str]) -> dict[str, Any]:
    """As `alike`, of a model of six layers."""
    scales.SCALES["27k"] = dataclasses.replace(scales.get("27k"), layers=6)
    return alike(names)


def resumed(names: list[str]) -> dict[str, Any]:
    """A deep model's run on eight devices, and those that go on after half of it on fewer; the sizes on eight
    and on one."""
    scales.SCALES["13k"] = dataclasses.replace(scales.get("13k"), layers=5)
    found = {}
    for name in names:
        whole = other = run(name, "13k", 8)
        half = Path(tempfile.mkdtemp()) / "state.npz"
        assert run(name, "13k", 8, half, max_steps=STEPS // 2) is None and half.exists()
        for fewer in (4, 1):
            path = Path(tempfile.mkdtemp()) / "state.npz"
            shutil.copytree(half.parent, path.parent, dirs_exist_ok=True)
            other = run(name, "13k", fewer, path)
            found[f"{name} {fewer}"] = apart(whole, other)
        found[f"{name} logits"] = (whole.logits, other.logits)
        found[f"{name} state"] = (whole.state, other.state)
        found[f"{name} values"] = (whole.values, other.values)
    return found


def together(names: list[str]) -> dict[str, Any]:
    """A run on eight devices of this process, and one on those of two processes that is resumed in its middle
    from a disk which only the first of them sees."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    module = [sys.executable, "-W", "ignore", "-m", "tests.benchmark.train.over_devices", "member"]
    start = functools.partial(subprocess.Popen, stdout=subprocess.PIPE, text=True)
    members = [start([*module, address, str(number), *names]) for number in (0, 1)]
    whole = {name: run(name, "13k", 8) for name in names}
    found = [json.loads(each.communicate()[0].splitlines()[-1]) for each in members]
    return {name: [float(np.abs(each[name] - whole[name].losses).max()) for each in found] for name in names}


def member(words: list[str]) -> dict[str, Any]:
    address, number, *names = words
    processes_jax.join(address, 2, int(number), 60)
    found = {}
    for name in names:
        path = Path(tempfile.mkdtemp()) / "state.npz"
        assert run(name, "13k", 8, path, max_steps=STEPS // 2) is None and path.exists() == (number == "0")
        found[name] = run(name, "13k", 8, path).losses.tolist()
    return found


def collectives(names: list[str]) -> dict[str, Any]:
    """How often devices exchange something in a step, by layers."""
    kinds = r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
    found = {}
    for name in names:
        one, optimizer = made(name, "27k")
        devices = devices_jax.devices(8, BATCH)
        assert devices is not None
        for layers in (2, 4, 8, 12):  # the last two are deep
            scale = dataclasses.replace(scales.get("27k"), layers=layers)
            blank = optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
            programs = programs_jax.programs(blank, scale, "float64", 1, devices=devices)
            setting = trainer_jax._setting(one, optimizer)
            params = parameters.roles(scale)
            over = devices_jax.laid_over(devices, params, blank.shards_state, scale.deep)
            values = over.placed(parameters.initial(scale, 0))
            carry = (values, programs.call("init", values, setting))
            order = np.zeros((trainer_jax.CHUNK, BATCH), np.int32)
            words = (carry, setting, CORPUS.tokens("train"), order, np.int32(STEPS))
            text = programs.prepare("advance", *words).as_text()
            found[f"{name} {layers}"] = Counter(re.findall(kinds, text))
    return found


def in_float64() -> None:
    start = parameters.initial

    def initial(*given: Any) -> Any:
        return jax.tree.map(np.float64, start(*given))

    parameters.initial = initial


if __name__ == "__main__":
    job, *given = sys.argv[1:]
    jax.config.update("jax_num_cpu_devices", 4 if job == "member" else 8)
    jax.config.update("jax_enable_x64", True)
    in_float64()
    jobs = {f.__name__: f for f in (alike, deep, resumed, together, member, collectives)}
    print(json.dumps(jobs[job](given)))
