"""What a sweep costs besides training: its start, its compilations, its workers' idle time, their memory."""

import datetime
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark import store
from benchmark.data import corpora
from benchmark.measurements import Measurement, measurement
from tools.bench import blocks as c
from tools.bench.turns import ask

TRIALS = {1: 60, 3: 40, 10: 16}  # seconds of a trial at about this machine's speed -> trials in the sweep
PATIENCE = 120.0  # seconds


def start(rounds: int) -> list[Measurement]:
    """Seconds from the command `python -m sweeps` to the first training step, everything cached."""
    seconds = [_until_training() for _ in range(rounds + 1)][1:]  # the first fills the caches
    return [measurement("sweep", "from the command to the first training step", "s", seconds)]


def _until_training() -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sweeps", "smoke", "--optimizers", "adamw"]
        began = time.time()
        sweep = subprocess.Popen(
            [*command, "--results", f"{folder}/results", "--out", f"{folder}/site"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (found := list(Path(folder).glob("results/smoke/trials/*.json"))):
                if sweep.poll() is not None or time.time() - began > PATIENCE:
                    raise ValueError(
                        "the sweep `smoke` wrote no record; run `make sweep SWEEP=smoke` to see why"
                    )
                time.sleep(0.02)
            records = [store.read(path) for path in found]
        finally:
            _end(sweep, PATIENCE)
    return (
        min(_training_began(r.finished_at, r.cost.train_seconds + r.cost.eval_seconds) for r in records) - began
    )


def _end(sweep: subprocess.Popen[bytes], patience: float) -> None:
    """Interrupt a sweep; kill it if it is still there after `patience` seconds."""
    sweep.send_signal(signal.SIGINT)
    try:
        sweep.wait(patience)
    except subprocess.TimeoutExpired:
        sweep.kill()
        sweep.wait()


def _training_began(finished_at: str, busy_seconds: float) -> float:
    return datetime.datetime.fromisoformat(finished_at).timestamp() - busy_seconds


def compilations(names: Sequence[str], scale_name: str) -> list[Measurement]:
    """Programs that one worker compiles for these optimizers, with an empty cache and then in a new process."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for run in ("first", "second"):
            needed, compiled, seconds = ask(c.compilations, tuple(names), scale_name, Path(folder))
            label = f"{scale_name}, {len(names)} optimizers, {run} run"
            found.append(measurement("compilations", f"{label}: needed", "programs", [needed]))
            found.append(measurement("compilations", f"{label}: compiled", "programs", [compiled]))
            found.append(measurement("compilations", f"{label}: compiling or loading", "s", [seconds]))
    return found


def efficiency(seconds: int) -> list[Measurement]:
    """Share of two workers' time in which they train or evaluate, in a sweep of trials of about so long."""
    rate = ask(c.tokens_per_second, "27k")
    corpora.prepare("gcide", 512)
    command = [sys.executable, "-m", "tools.efficiency", str(round(rate * seconds)), str(TRIALS[seconds])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["the sweep of equal trials ended"])[-1])
    share, each = json.loads(done.stdout.splitlines()[-1])
    label = f"{TRIALS[seconds]} trials of about {seconds} s"
    return [
        measurement("efficiency", f"{label}: workers training or evaluating", "share", [share]),
        measurement("efficiency", f"{label}: a trial's seconds", "s", [each]),
    ]


def memory(scale_names: Sequence[str], steps: int = 32) -> list[Measurement]:
    """Peak memory of a worker that trains with AdamW at each scale."""
    found = []
    for name in scale_names:
        peak = ask(c.peak_memory, name, steps) / 1e6
        found.append(measurement("memory", f"{name} adamw: a worker's peak", "MB", [peak]))
    return found


def planned_memory(scale_name: str, sequences: int) -> list[Measurement]:
    """Peak memory of one step as the compiler plans it, nothing run."""
    planned = ask(c.planned_memory, scale_name, sequences) / 1e9
    what = f"{scale_name} adamw, {sequences} sequence{'s' if sequences > 1 else ''}: a step as compiled"
    return [measurement("memory", what, "GB", [planned])]
