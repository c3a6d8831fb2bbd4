"""Train a pack of trials in a few compiled programs, and evaluate them. Its twin is trainer_torch.py.

A pack is one or more trials that differ only in traced numbers: seeds and float hyperparameters. The run
advances in calls of one compiled loop over up to CHUNK steps, whose trip count is traced, so that every
Chinchilla ratio of a scale and every evaluation interval shares one program. No optimizer is named here.
"""

import functools
import math
import resource
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmark import scales
from benchmark.data import evaluated
from benchmark.data.build import Split
from benchmark.data.corpora import Corpus
from benchmark.scales import Scale
from benchmark.spec import Outcome, Point, Trial
from benchmark.train import (
    checkpoint,
    data_jax,
    deep_jax,
    devices_jax,
    loss_jax,
    model_jax,
    parameters,
    state_jax,
)
from benchmark.train.checkpoint import Progress
from benchmark.train.devices_jax import Devices
from benchmark.train.outcome import EXPLODED, outcome
from benchmark.train.schedule import CHUNK, DECAY_KINDS, evaluation_steps, multiplier
from benchmark.train.upkeep import Upkeep, Watch
from optimizers.base import ROLE_RATIOS, Optimizer, Param, Run

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
    devices: over how many of jax's devices a trial's batch and state are cut. Raises ValueError where there are
        fewer, or where trials would be batched as well.
    """
    pack = _Pack(trials, optimizers, corpus, devices_jax.devices(devices, trials[0].batch_size, len(trials)))
    progress = pack.resume(checkpoint_path)
    first = trials[0]
    marks = evaluation_steps(first.steps, first.evaluation.curve_points)
    stop = first.steps if max_steps is None else min(max_steps, first.steps)
    with Upkeep(trials, checkpoint_path, watch, pack.state) as upkeep:
        upkeep.begin(progress)
        while progress.step < stop:
            until = next(mark for mark in [*marks, first.steps] if mark > progress.step)
            pack.advance(progress, upkeep.until(progress, min(until, stop, pack.data.limit(progress.step))))
            if pack.all_exploded(progress):
                break
            if progress.step in marks:
                pack.add_points(progress)
            upkeep.after_call(progress)
        if progress.step < first.steps and max_steps is not None:
            if checkpoint_path:
                pack.save(checkpoint_path, progress)
            return []
        upkeep.finish(progress)
        outcomes = pack.outcomes(progress)
    if checkpoint_path:
        checkpoint_path.unlink(missing_ok=True)
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
        self.programs = programs(blank, self.scale, first.precision, self.size, kernel, devices)
        self.compiled_before = self.programs.compile_seconds
        self.started = time.perf_counter()
        self.data = data_jax.data(trials, corpus, CHUNK, devices)
        self.settings = self._stack([_setting(t, o) for t, o in zip(trials, optimizers, strict=True)])
        params = self._stack([parameters.initial(self.scale, t.seed) for t in trials])
        params = devices.on_all(params) if devices else jax.tree.map(jnp.asarray, params)
        # copied, because advance() donates its input and an untouched parameter would share its buffer
        self.carry = (params, self.programs.call("init", params, self.settings))

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

    def evaluate(self, progress: Progress, split: Split, count: int) -> np.ndarray:
        """Loss of every one of the first `count` sequences of a split in nats per token, [pack, count]."""
        sequences = evaluated.sequences(self.corpus.tokens(split), self.scale.seq_len, count)
        losses = []
        for start in range(0, count, EVAL_CHUNK):
            chunk = sequences[start : start + EVAL_CHUNK]
            padded = np.pad(chunk, [(0, EVAL_CHUNK - len(chunk)), (0, 0)])
            self.programs.prepare("evaluate", *self.carry, self.settings, padded)
            begin = time.perf_counter()
            out = np.asarray(self.programs.call("evaluate", *self.carry, self.settings, padded))
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
            )
            for k, trial in enumerate(self.trials)
        ]

    def state(self) -> list[np.ndarray]:
        """Copies of all arrays of the state."""
        return state_jax.to_host(self.carry)

    def save(self, path: Path, progress: Progress) -> None:
        checkpoint.save(path, progress, self.state(), [trial.trial_id for trial in self.trials])

    def resume(self, path: Path | None) -> Progress:
        """Where the run stands: at a checkpoint if there is one, else at the beginning."""
        count, ids = len(jax.tree.leaves(self.carry)), [trial.trial_id for trial in self.trials]
        found = checkpoint.load(path, count, ids) if path else None
        if found is None:
            return Progress(curves=[[] for _ in self.trials])
        progress, arrays = found
        self.carry = state_jax.to_device(arrays, self.carry)
        return progress


class Programs:
    """The compiled programs of one (optimizer statics, scale, precision, pack size).

    Compiled ahead of time from the first arguments, so that compilation is timed apart and any later call
    with other shapes or types is an error instead of a silent recompilation. `compilations` counts them.
    """

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self._compiled: dict[tuple, Any] = {}
        self.compile_seconds = 0.0
        self.compilations = 0

    def prepare(self, name: str, *args: Tree) -> Any:
        """The program for arguments of these shapes, compiled if it is new."""
        key = (name, *(np.shape(leaf) for leaf in jax.tree.leaves(args[1:])))
        if key not in self._compiled:
            start = time.perf_counter()
            self._compiled[key] = self._functions[name].lower(*args).compile()
            self.compile_seconds += time.perf_counter() - start
            self.compilations += 1
        return self._compiled[key]

    def call(self, name: str, *args: Tree) -> Any:
        return self.prepare(name, *args)(*args)


@functools.cache
def programs(
    blank: Optimizer,
    scale: Scale,
    precision: str,
    size: int,
    attention: model_jax.Attention = "plain",
    devices: Devices | None = None,
) -> Programs:
    """Programs for an optimizer whose float hyperparameters are blank: they arrive traced, in `settings`."""
    params = parameters.roles(scale)
    dtype = jnp.dtype(precision)
    over = devices_jax.laid_over(devices, params, blank.shards_state)

    def build(setting: Tree) -> tuple[Optimizer, optax.GradientTransformationExtraArgs]:
        optimizer = blank.replace(**setting["hyperparameters"])
        run = Run(
            params=params,
            steps=setting["steps"],
            multiplier=lambda step: multiplier(jnp, step, setting["steps"], **setting["schedule"]),
            normal=functools.partial(normal, setting["key"]),
            clip_norm=setting["clip_norm"],
            spread=over.spread,
        )
        return optimizer, optax.with_extra_args_support(optimizer.build_jax(run))

    def init(values: Tree, setting: Tree) -> Tree:
        return over.state(build(setting)[1].init(values))

    def advance(carry: Tree, setting: Tree, tokens: jax.Array, order: jax.Array, count: jax.Array) -> Tree:
        offsets = jnp.arange(scale.seq_len + 1)
        return run(carry, setting, lambda i: tokens[order[i][:, None] * scale.seq_len + offsets], count)

    def advance_chunk(carry: Tree, setting: Tree, chunk: jax.Array, begin: jax.Array, count: jax.Array) -> Tree:
        return run(carry, setting, lambda i: chunk[begin + i], count)

    def run(carry: Tree, setting: Tree, batch_of: Callable[[jax.Array], jax.Array], count: jax.Array) -> Tree:
        optimizer, rule = build(setting)

        def step(i: jax.Array, state: Tree) -> Tree:
            values, rule_state, losses = state
            batch = batch_of(i).astype(jnp.int32)
            loss_of = functools.partial(loss_jax.loss, scale=scale, dtype=dtype)
            loss_fn = over.loss(loss_of, batch)
            trained = functools.partial(loss_of, attention=attention)  # cuDNN's has no second derivative
            loss, grads = over.value_and_grad(trained, batch)(values)
            grads = _clip(grads, params, optimizer.clip_roles, setting["clip_norm"])
            updates, rule_state = rule.update(grads, rule_state, values, loss_fn=loss_fn, value=loss)
            updates = over.updates(_scaled(updates, params, setting["ratios"]))
            return optax.apply_updates(values, updates), over.state(rule_state), losses.at[i].set(loss)

        losses = jnp.zeros(CHUNK, jnp.float32)
        values, rule_state, losses = jax.lax.fori_loop(0, count, step, (*carry, losses))
        return (values, rule_state), losses

    def evaluate(values: Tree, rule_state: Tree, setting: Tree, sequences: jax.Array) -> jax.Array:
        def losses(values: Tree, rows: jax.Array) -> jax.Array:
            def one(sequence: jax.Array) -> jax.Array:
                if scale.deep:
                    return deep_jax.token_losses(values, sequence[None], scale, dtype, attention).mean()
                return model_jax.token_losses(values, sequence[None], scale).mean()

            # about 2048 tokens at a time: small enough for the cache here and for the logits at any scale
            return jax.lax.map(one, rows, batch_size=max(1, 2048 // scale.seq_len))

        values = over.whole(build(setting)[0].eval_params(rule_state, values))
        values = deep_jax.stacked(values, scale, dtype) if scale.deep else loss_jax.cast(values, dtype)
        return over.rows(losses)(values, sequences)

    functions: dict[str, Callable] = {
        "init": init, "advance": advance, "advance_chunk": advance_chunk, "evaluate": evaluate
    }  # fmt: skip
    if size > 1:
        functions = _packed(functions)
    donated = {"advance": 0, "advance_chunk": 0}
    return Programs({k: jax.jit(f, donate_argnums=donated.get(k, ())) for k, f in functions.items()})


def _packed(functions: Mapping[str, Callable]) -> dict[str, Callable]:
    """The functions over a pack: integer leaves stay unbatched, so that a rule's `cond` stays a branch."""

    def floating(tree: Tree) -> Tree:
        return jax.tree.map(lambda x: 0 if jnp.issubdtype(x.dtype, jnp.floating) else None, tree)

    def setting_axes(setting: Tree) -> Tree:
        return {**floating(setting), "key": 0}

    def init(values: Tree, setting: Tree) -> Tree:
        axes = (0, setting_axes(setting))
        one = jax.eval_shape(jax.vmap(functions["init"], in_axes=axes), values, setting)
        return jax.vmap(functions["init"], in_axes=axes, out_axes=floating(one))(values, setting)

    def advance(carry: Tree, setting: Tree, tokens: jax.Array, order: jax.Array, count: jax.Array) -> Tree:
        axes = floating(carry)
        in_axes = (axes, setting_axes(setting), None, 0, None)
        return jax.vmap(functions["advance"], in_axes=in_axes, out_axes=(axes, 0))(
            carry, setting, tokens, order, count
        )

    def advance_chunk(carry: Tree, setting: Tree, chunk: jax.Array, begin: jax.Array, count: jax.Array) -> Tree:
        axes = floating(carry)
        in_axes = (axes, setting_axes(setting), 0, None, None)
        return jax.vmap(functions["advance_chunk"], in_axes=in_axes, out_axes=(axes, 0))(
            carry, setting, chunk, begin, count
        )

    def evaluate(values: Tree, rule_state: Tree, setting: Tree, sequences: jax.Array) -> jax.Array:
        in_axes = (0, floating(rule_state), setting_axes(setting), None)
        return jax.vmap(functions["evaluate"], in_axes=in_axes)(values, rule_state, setting, sequences)

    return {"init": init, "advance": advance, "advance_chunk": advance_chunk, "evaluate": evaluate}


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


def normal(key: jax.Array, name: str, step: Any, shape: tuple[int, ...]) -> jax.Array:
    """The only randomness an optimizer has: a pure function of (seed, name, step)."""
    named = jax.random.fold_in(jax.random.wrap_key_data(key), zlib.crc32(name.encode()))
    return jax.random.normal(jax.random.fold_in(named, step), shape)


def _clip(grads: Tree, params: Mapping[str, Param], roles: Sequence[str], clip_norm: jax.Array) -> Tree:
    """Scale the gradients of these roles so that their joint L2 norm is at most clip_norm (0: leave them)."""
    clipped = {name: g for name, g in grads.items() if params[name].role in roles}
    if not clipped:
        return grads
    norm = optax.tree.norm(clipped)
    factor = jnp.where((clip_norm > 0) & (norm > clip_norm), clip_norm / norm, 1.0)
    return {**grads, **{name: g * factor for name, g in clipped.items()}}


def _scaled(updates: Tree, params: Mapping[str, Param], ratios: Mapping[str, jax.Array]) -> Tree:
    """The updates with those of every role but hidden matrices times its ratio; after the rule, because a rule
    may fix the norm of its step whatever the gradient."""
    named = {name: ROLE_RATIOS.get(params[name].role) for name in updates}
    return {name: u if (ratio := named[name]) is None else ratios[ratio] * u for name, u in updates.items()}


def _peak_memory() -> int:
    """Peak bytes: of the device where it says so, else of this process since it started."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
