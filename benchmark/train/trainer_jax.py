"""Train a pack of trials in a few compiled programs, and evaluate them. Its twin is trainer_torch.py.

A pack is one or more trials that differ only in traced numbers: seeds and float hyperparameters. The run
advances in calls of one compiled loop over up to CHUNK steps, whose trip count is traced, so that every
Chinchilla ratio of a scale and every evaluation interval shares one program. No optimizer is named here.
"""

import math
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmark import scales
from benchmark.data import evaluated
from benchmark.data.build import Split
from benchmark.data.corpora import Corpus
from benchmark.spec import Outcome, Point, Trial
from benchmark.train import (
    averages,
    checkpoint,
    data_jax,
    deep_jax,
    devices_jax,
    parameters,
    processes_jax,
    programs_jax,
    state_jax,
)
from benchmark.train.checkpoint import Progress
from benchmark.train.devices_jax import Devices
from benchmark.train.outcome import EXPLODED, outcome
from benchmark.train.schedule import CHUNK, DECAY_KINDS, evaluation_steps
from benchmark.train.upkeep import Upkeep, Watch
from optimizers.base import ROLE_RATIOS, Optimizer

EVAL_CHUNK = 64  # sequences in one evaluation call

Tree = Any


def train(
    trials: Sequence[Trial],
    optimizers: Sequence[Optimizer],
    corpus: Corpus,
    checkpoint_path: Path | None = None,
    max_steps: int | None = None,
    watch: Watch | None = None,
    devices: int = 1,
) -> list[Outcome]:
    """Train a pack to its end and evaluate it; one outcome per trial, in order.

    optimizers: each trial's optimizer with its hyperparameters set.
    checkpoint_path: where a long run keeps its state; removed when the run ends.
    max_steps: stop after this many steps as if killed (for tests of resuming); the outcomes are then empty.
    watch: where to say what a long run has come to.
    devices: over how many of jax's devices a trial's batch and state are cut, of all processes that train it
        (processes_jax.py) together. Raises ValueError where there are fewer, or where trials would be batched
        as well.
    """
    if not processes_jax.first():
        watch = None
    pack = _Pack(trials, optimizers, corpus, devices_jax.devices(devices, trials[0].batch_size, len(trials)))
    progress = pack.resume(checkpoint_path)
    first = trials[0]
    marks = evaluation_steps(first.steps, first.evaluation.curve_points)
    averaged = first.evaluation.averages
    stop = first.steps if max_steps is None else min(max_steps, first.steps)
    written = checkpoint_path if processes_jax.first() else None
    with Upkeep(trials, written, watch, pack.state, processes_jax.largest) as upkeep:
        upkeep.begin(progress)
        while progress.step < stop:
            until = next(mark for mark in [*marks, first.steps] if mark > progress.step)
            if averaged:
                until = min(until, averages.next_sample(progress.step, first.steps))
            pack.advance(progress, upkeep.until(progress, min(until, stop, pack.data.limit(progress.step))))
            if pack.all_exploded(progress):
                break
            if averaged and progress.step == averages.next_sample(progress.step - 1, first.steps):
                pack.average(progress)
            if progress.step in marks:
                pack.add_points(progress)
            upkeep.after_call(progress)
        if progress.step < first.steps and max_steps is not None:
            pack.save(written, progress)
            return []
        upkeep.finish(progress)
        outcomes = pack.outcomes(progress)
    if written:
        written.unlink(missing_ok=True)
    return outcomes


def set_up(cache: Path) -> None:
    """Prepare this process: compiled programs are kept in `cache` and found again by later processes."""
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device() -> str:
    """What this process computes on, such as `cpu` or `NVIDIA H100`."""
    first = jax.devices()[0]
    return "cpu" if first.platform == "cpu" else first.device_kind


def attention(trial: Trial) -> str:
    """Which attention this process trains a trial with, for its record: `plain` or `cudnn`."""
    return deep_jax.attention_here(scales.get(trial.scale), trial.precision)


class _Pack:
    """Device state of K runs and the programs that act on it. With K = 1 nothing is batched."""

    def __init__(
        self,
        trials: Sequence[Trial],
        optimizers: Sequence[Optimizer],
        corpus: Corpus,
        devices: Devices | None = None,
    ) -> None:
        first = trials[0]
        self.trials, self.optimizers, self.corpus = trials, optimizers, corpus
        self.scale = scales.get(first.scale)
        self.size = len(trials)
        blank = optimizers[0].replace(**dict.fromkeys(optimizers[0].floats(), 0.0))
        kernel = deep_jax.attention_here(self.scale, first.precision)
        self.programs = programs_jax.programs(blank, self.scale, first.precision, self.size, kernel, devices)
        self.compiled_before = self.programs.compile_seconds
        self.started = time.perf_counter()
        self.data = data_jax.data(trials, corpus, CHUNK, devices)
        self.settings = self._stack([_setting(t, o) for t, o in zip(trials, optimizers, strict=True)])
        params = self._stack([parameters.initial(self.scale, t.seed, t.init_ratios) for t in trials])
        over = devices_jax.laid_over(devices, parameters.roles(self.scale), blank.shards_state, self.scale.deep)
        params = over.placed(params)
        # copied, because advance() donates its input and an untouched parameter would share its buffer
        self.carry = (params, self.programs.call("init", params, self.settings))
        kept = averages.NAMES if first.evaluation.averages else ()
        self.averages = {name: jax.tree.map(jnp.zeros_like, params) for name in kept}

    def _stack(self, trees: list[Tree]) -> Tree:
        """One tree of a pack: floats and keys get a leading axis, integers are the same for all."""
        if self.size == 1:
            return trees[0]
        return jax.tree.map(lambda *x: x[0] if x[0].dtype == np.int32 else np.stack(x), *trees)

    def advance(self, progress: Progress, until: int) -> None:
        """Train to step `until`, at most CHUNK steps on."""
        count = until - progress.step
        waited = time.perf_counter()
        name, *tokens = self.data.batches(progress.step, until)
        waited = time.perf_counter() - waited
        arguments = (self.carry, self.settings, *tokens, np.int32(count))
        self.programs.prepare(name, *arguments)
        start = time.perf_counter() - waited
        self.carry, losses = self.programs.call(name, *arguments)
        rows = np.atleast_2d(np.asarray(losses))[:, :count].T  # waits for the device
        progress.train_seconds += time.perf_counter() - start
        progress.train_losses.extend(rows.astype(float).tolist())
        progress.step = until

    def all_exploded(self, progress: Progress) -> bool:
        limit = EXPLODED * math.log(self.scale.vocab)
        last = np.asarray(progress.train_losses[-1])
        return not np.any(np.isfinite(last) & (last < limit))

    def average(self, progress: Progress) -> None:
        """Take the weights as they are now into their averages."""
        shares = averages.weights(progress.step, self.trials[0].steps)
        arguments = (self.averages, *self.carry, self.settings, {k: np.float32(v) for k, v in shares.items()})
        self.averages = self.programs.call("average", *arguments)

    def evaluate(
        self, progress: Progress, split: Split, count: int, name: str = "evaluate", *of: Tree
    ) -> np.ndarray:
        """Loss of every one of the first `count` sequences of a split in nats per token, [pack, count].

        name: of the program, "measure" for weights `of` its own; else those that the runs have now.
        """
        of = of or (*self.carry, self.settings)
        sequences = evaluated.sequences(self.corpus.tokens(split), self.scale.seq_len, count)
        losses = []
        for start in range(0, count, EVAL_CHUNK):
            chunk = sequences[start : start + EVAL_CHUNK]
            padded = np.pad(chunk, [(0, EVAL_CHUNK - len(chunk)), (0, 0)])
            self.programs.prepare(name, *of, padded)
            begin = time.perf_counter()
            out = np.asarray(self.programs.call(name, *of, padded))
            progress.eval_seconds += time.perf_counter() - begin
            losses.append(np.atleast_2d(out)[:, : len(chunk)])
        return np.concatenate(losses, axis=1).astype(np.float64)

    def add_points(self, progress: Progress) -> None:
        means = self.evaluate(progress, "validation", self.trials[0].evaluation.curve_sequences).mean(axis=1)
        tokens = progress.step * self.trials[0].batch_size * self.scale.seq_len
        for curve, mean in zip(progress.curves, means, strict=True):
            if math.isfinite(mean):  # the curve of a diverged run ends where its loss did
                curve.append(Point(progress.step, tokens, progress.train_seconds, float(mean)))

    def outcomes(self, progress: Progress) -> list[Outcome]:
        evaluation = self.trials[0].evaluation
        finished = progress.step == self.trials[0].steps
        if finished:
            losses = self.evaluate(progress, evaluation.split, evaluation.sequences)
        else:
            losses = np.full((self.size, evaluation.sequences), math.nan)
        measured = (progress, evaluation.split, evaluation.sequences, "measure")
        kept = self.averages if finished else {}
        averaged = {name: self.evaluate(*measured, values).mean(axis=1) for name, values in kept.items()}
        compile_seconds = self.programs.compile_seconds - self.compiled_before
        state_bytes = sum(x.nbytes for x in jax.tree.leaves(self.carry[1])) // self.size
        return [
            outcome(
                trial,
                self.optimizers[k],
                self.corpus,
                sequence_losses=losses[k],
                train_losses=[row[k] for row in progress.train_losses],
                progress=progress,
                curve=tuple(progress.curves[k]),
                compile_seconds=compile_seconds,
                wall_seconds=time.perf_counter() - self.started,
                peak_memory_bytes=_peak_memory(),
                state_bytes=state_bytes,
                pack_size=self.size,
                average_losses={name: float(means[k]) for name, means in averaged.items()},
            )
            for k, trial in enumerate(self.trials)
        ]

    def state(self) -> list[np.ndarray]:
        """Copies of all arrays of the state."""
        return state_jax.to_host((self.carry, self.averages))

    def save(self, path: Path | None, progress: Progress) -> None:
        arrays = self.state()  # of several processes all take part, and one has a path
        if path:
            checkpoint.save(path, progress, arrays, [trial.trial_id for trial in self.trials])

    def resume(self, path: Path | None) -> Progress:
        """Where the run stands: at a checkpoint if there is one, else at the beginning."""
        kept, ids = (self.carry, self.averages), [trial.trial_id for trial in self.trials]
        count = len(jax.tree.leaves(kept))
        found = checkpoint.load(path, count, ids) if path and processes_jax.first() else None
        found = processes_jax.of_first(found, kept)
        if found is None:
            return Progress(curves=[[] for _ in self.trials])
        progress, arrays = found
        self.carry, self.averages = state_jax.to_device(arrays, kept)
        return progress


def _setting(trial: Trial, optimizer: Optimizer) -> Tree:
    """Everything traced about a trial, as numpy scalars of one dtype each."""
    recipe = dict(trial.hyperparameters)
    schedule = {k: float(recipe[k]) for k in ("warmup_fraction", "decay_fraction", "final_lr_ratio")}
    kind = DECAY_KINDS.index(str(recipe["decay_kind"]))
    return {
        "hyperparameters": {k: np.float32(v) for k, v in optimizer.floats().items()},
        "schedule": {k: np.float32(v) for k, v in schedule.items()} | {"decay_kind": np.float32(kind)},
        "ratios": {k: np.float32(recipe[k]) for k in sorted(set(ROLE_RATIOS.values()))},
        "clip_norm": np.float32(recipe["clip_norm"]),
        "steps": np.int32(trial.steps),
        "key": np.asarray(jax.random.key_data(jax.random.key(trial.seed))),
    }


def _peak_memory() -> int:
    """Peak bytes: of the device where it says so, else of this process since it started."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
