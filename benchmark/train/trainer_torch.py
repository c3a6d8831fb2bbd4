"""Train trials in torch and evaluate them. The twin of trainer_jax.py; no optimizer is named here.

A pack is trained one run after the other. On a GPU the loss and its gradient are compiled; on a CPU steps are
eager, because torch.compile makes those of the micro ladder no faster and takes longer than a whole run.
"""

import functools
import math
import random
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark import scales
from benchmark.data import batches, evaluated
from benchmark.data.corpora import Corpus
from benchmark.scales import Scale
from benchmark.spec import Outcome, Point, Trial
from benchmark.train import (
    averages,
    checkpoint,
    data_torch,
    model_torch,
    parameters,
    process_torch,
    step_torch,
)
from benchmark.train.checkpoint import Progress
from benchmark.train.outcome import EXPLODED, outcome
from benchmark.train.parts_torch import sum_of_parts
from benchmark.train.rules_torch import require_every_parameter_once, require_types
from benchmark.train.schedule import CHUNK, evaluation_steps
from benchmark.train.state_torch import state_from_array, state_to_array
from benchmark.train.upkeep import Upkeep, Watch
from optimizers.base import Optimizer, Run
from optimizers.user.convention_torch import has_modes, set_mode, state_tensors
from optimizers.user.convention_torch import step as take_step

EVAL_TOKENS = 2048  # in one evaluation call: small enough for the cache here and for the logits at any scale

Values = Mapping[str, torch.Tensor]
Loss = Callable[[Values, torch.Tensor, Scale], torch.Tensor]
Normal = Callable[[str, Any, tuple[int, ...]], torch.Tensor]


def train(
    trials: Sequence[Trial],
    optimizers: Sequence[Optimizer],
    corpus: Corpus,
    checkpoint_path: Path | None = None,
    max_steps: int | None = None,
    watch: Watch | None = None,
) -> list[Outcome]:
    """Train a pack to its end and evaluate it; one outcome per trial, in order.

    optimizers: each trial's optimizer with its hyperparameters set.
    checkpoint_path: where long runs keep their state (one file per run); removed when the pack ends.
    max_steps: stop every run after this many steps as if killed (for tests of resuming); no outcomes then.
    watch: where to say what a long run has come to.
    """
    process_torch.use_own_cores()
    outcomes = []
    paths = [checkpoint_path and checkpoint.part(checkpoint_path, k, len(trials)) for k in range(len(trials))]
    for trial, optimizer, path in zip(trials, optimizers, paths, strict=True):
        run = TrainingRun(trial, optimizer, corpus)
        outcomes += [run.outcome()] if run.train(path, max_steps, watch) else []
    if max_steps is None:
        for path in paths:
            if path:
                path.unlink(missing_ok=True)
    return outcomes


def set_up(cache: Path) -> None:
    """Prepare this process. Eager steps keep nothing in `cache`."""
    process_torch.use_own_cores()
    process_torch.keep_freed_memory()


def device() -> str:
    """What this process computes on, such as `cpu` or `NVIDIA H100`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def attention(trial: Trial) -> str:
    """What trains a trial's attention, for its record; torch picks the kernel."""
    return "scaled_dot_product_attention"


def normal(seed: int) -> Normal:
    """The only randomness an optimizer has: a pure function of (seed, name, step), drawn in numpy."""

    def draw(name: str, step: Any, shape: tuple[int, ...]) -> torch.Tensor:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), int(step)])
        return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(process_torch.device())

    return draw


def seed_frameworks(seed: int, step: int) -> None:
    """Global random numbers too are a function of (seed, step): a rule that has no other source of them is
    repeatable, and goes on from a checkpoint as if there had been none."""
    mixed = int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)


class TrainingRun:
    """One trial's model, optimizer and progress."""

    def __init__(self, trial: Trial, optimizer: Optimizer, corpus: Corpus, draw: Normal | None = None) -> None:
        """draw: noise in place of normal(trial.seed), so that both frameworks can be given the same."""
        self.trial, self.optimizer, self.corpus = trial, optimizer, corpus
        self.started = time.perf_counter()
        self.scale = scales.get(trial.scale)
        self.params = parameters.roles(self.scale)
        self.dtype = getattr(torch, trial.precision)
        start = parameters.initial(self.scale, trial.seed, trial.init_ratios)
        self.values = {
            name: torch.nn.Parameter(torch.from_numpy(array).to(process_torch.device()))
            for name, array in start.items()
        }
        self.multiplier = step_torch.schedule(trial)
        self.clip_norm = float(trial.hyperparameters["clip_norm"])
        ratios = step_torch.ratios(trial, self.params)
        self.ratios = {} if optimizer.own_ratios else ratios
        self.run = Run(
            self.params, trial.steps, self.multiplier, draw or normal(trial.seed), self.clip_norm, ratios
        )
        seed_frameworks(trial.seed, 0)
        self.rule = optimizer.build_torch(self.values, self.run)
        set_mode(self.rule, "train")
        self.needs_graph = bool(getattr(self.rule, "needs_graph", False))
        self.gradients = self.first_step = 0  # what this process computed, and from which step on
        # a compiled loss has no second derivative
        compiles = process_torch.device().type == "cuda" and not self.needs_graph
        self.compiled = torch.compile(model_torch.loss) if compiles else None
        self.compile_seconds = 0.0
        require_every_parameter_once(self.rule, self.values)
        self.initial_lrs = [group["lr"] for group in self.rule.param_groups]
        self.data = data_torch.data(trial, corpus, CHUNK)
        self.progress = Progress(curves=[[]])
        kept = averages.NAMES if trial.evaluation.averages else ()
        self.averages = {
            name: {key: torch.zeros_like(value) for key, value in self.values.items()} for name in kept
        }

    def train(self, path: Path | None = None, max_steps: int | None = None, watch: Watch | None = None) -> bool:
        """Train to the end, or to max_steps; False if the run was stopped there.

        path: where a long run keeps its state, at the end its last one. watch: where to say how it goes.
        """
        self._resume(path)
        self.first_step = self.progress.step
        progress, trial = self.progress, self.trial
        marks = evaluation_steps(trial.steps, trial.evaluation.curve_points)
        stop = trial.steps if max_steps is None else min(max_steps, trial.steps)
        if self.compiled and progress.step < stop:
            self._compile()
        with Upkeep([trial], path, watch, self._state) as upkeep:
            upkeep.begin(progress)
            while progress.step < stop:
                until = next(mark for mark in [*marks, trial.steps] if mark > progress.step)
                if self.averages:
                    until = min(until, averages.next_sample(progress.step, trial.steps))
                self._advance(upkeep.until(progress, min(until, stop, self.data.limit(progress.step))))
                if self._exploded():
                    break
                if self.averages and progress.step == averages.next_sample(progress.step - 1, trial.steps):
                    self._average()
                if progress.step in marks:
                    self._add_point()
                upkeep.after_call(progress)
            if progress.step < trial.steps and max_steps is not None:
                if path:
                    checkpoint.save(path, progress, self._state(), [trial.trial_id])
                return False
            upkeep.finish(progress)
        return True

    def outcome(self) -> Outcome:
        """Evaluate the run and judge it."""
        evaluation, progress = self.trial.evaluation, self.progress
        averaged = {}
        if progress.step == self.trial.steps:
            averaged = {
                name: float(self._evaluate(evaluation.split, evaluation.sequences, values).mean())
                for name, values in self.averages.items()
            }
            losses = self._evaluate(evaluation.split, evaluation.sequences)
        else:
            losses = np.full(evaluation.sequences, math.nan)
        return outcome(
            self.trial,
            self.optimizer,
            self.corpus,
            sequence_losses=losses,
            train_losses=[row[0] for row in progress.train_losses],
            progress=progress,
            curve=tuple(progress.curves[0]),
            compile_seconds=self.compile_seconds,
            wall_seconds=time.perf_counter() - self.started,
            peak_memory_bytes=process_torch.peak_memory(),
            state_bytes=sum(tensor.nbytes for tensor in state_tensors(self.rule)),
            pack_size=1,
            counted_gradients=self._counted_gradients(),
            average_losses=averaged,
        )

    def _counted_gradients(self) -> float | None:
        """Gradients per step beyond the first, where a rule asks for as many as it likes."""
        here = self.progress.step - self.first_step
        if not getattr(self.rule, "takes_closure", False) or self.needs_graph or not here:
            return None
        return self.gradients / here - 1

    def _advance(self, until: int) -> None:
        """Train to step `until`."""
        start = time.perf_counter()
        losses = [self._step(step) for step in range(self.progress.step, until)]
        self.progress.train_losses.extend([loss] for loss in torch.stack(losses).tolist())
        self.progress.train_seconds += time.perf_counter() - start
        self.progress.step = until

    def _compile(self) -> None:
        """Compile by a gradient that is thrown away, so that the first step takes no longer than the others."""
        start = time.perf_counter()
        self._gradient(self._losses(self.progress.step, self.compiled)).item()
        self.rule.zero_grad()
        self.gradients, self.compile_seconds = 0, time.perf_counter() - start

    def _losses(self, step: int, loss: Loss | None = None) -> list[Callable[[Values], torch.Tensor]]:
        """The loss of each part of a step's batch, as shares of the batch's; loss: a compiled one to use."""
        batch = torch.from_numpy(self.data.batch(step).astype(np.int64)).to(process_torch.device())
        parts = batch.split(batches.rows_at_once(len(batch), self.scale.seq_len))
        return [
            functools.partial(self._part_loss, part=part, share=len(part) / len(batch), loss=loss)
            for part in parts
        ]

    def _step(self, step: int) -> torch.Tensor:
        """One step; returns the batch's loss before it, still on the device."""
        losses = self._losses(step)
        seed_frameworks(self.trial.seed, step)
        loss = self._gradient(self._losses(step, self.compiled) if self.compiled else losses)
        factor = float(self.multiplier(step))
        for group, initial in zip(self.rule.param_groups, self.initial_lrs, strict=True):
            group["lr"] = initial * factor
        self.run.loss_fn = losses[0] if len(losses) == 1 else functools.partial(sum_of_parts, losses)
        before = {name: self.values[name].detach().clone() for name in self.ratios}
        with sdpa_kernel(SDPBackend.MATH):  # of loss_fn: the fused kernels have no second derivative
            take_step(self.rule, functools.partial(self._gradient, losses), loss)
        if step == self.first_step:
            require_types(self.rule, self.values)
        step_torch.scale_steps(self.values, before, self.ratios)
        return loss

    @torch.enable_grad()
    def _gradient(self, losses: Sequence[Callable[[Values], torch.Tensor]]) -> torch.Tensor:
        """Set every parameter's gradient of the batch's loss, clipped, and return the loss."""
        self.gradients += 1
        if self.needs_graph:
            total = self._differentiable_gradient(losses)
        else:
            self.rule.zero_grad()
            total = torch.zeros((), device=process_torch.device())
            for part_loss in losses:
                summand = part_loss(self.values)
                summand.backward()
                total += summand.detach()
        step_torch.clip(self.values, self.params, self.optimizer.clip_roles, self.clip_norm)
        return total

    def _differentiable_gradient(self, losses: Sequence[Callable[[Values], torch.Tensor]]) -> torch.Tensor:
        """Set gradients that can be differentiated again; the graphs of all parts are held at once."""
        with sdpa_kernel(SDPBackend.MATH):
            total = torch.stack([loss(self.values) for loss in losses]).sum()
        # not backward(): it would tie each parameter to its gradient in a cycle
        grads = torch.autograd.grad(total, list(self.values.values()), create_graph=True)
        for value, grad in zip(self.values.values(), grads, strict=True):
            value.grad = grad.clone()  # of a view a rule may want none
        return total.detach()

    def _part_loss(
        self, values: Values, part: torch.Tensor, share: float, loss: Loss | None = None
    ) -> torch.Tensor:
        return share * (loss or model_torch.loss)(
            model_torch.cast(values, self.dtype, self.scale), part, self.scale
        )

    def _exploded(self) -> bool:
        last = self.progress.train_losses[-1][0]
        return not (math.isfinite(last) and last < EXPLODED * math.log(self.scale.vocab))

    @torch.no_grad()
    def _evaluate(self, split: Any, count: int, of: Values | None = None) -> np.ndarray:
        """Loss of every one of the first `count` sequences of a split in nats per token, [count].

        of: other weights than those that the run has now.
        """
        start = time.perf_counter()
        sequences = evaluated.sequences(self.corpus.tokens(split), self.scale.seq_len, count)
        values = model_torch.cast(of or self._evaluated(), self.dtype, self.scale)
        size = max(1, EVAL_TOKENS // self.scale.seq_len)
        losses = [
            model_torch.token_losses(
                values, torch.from_numpy(part).long().to(process_torch.device()), self.scale
            ).mean(1)
            for part in np.split(sequences, range(size, count, size))
        ]
        means = torch.cat(losses).cpu().numpy().astype(np.float64)
        self.progress.eval_seconds += time.perf_counter() - start
        return means

    @torch.no_grad()
    def _average(self) -> None:
        """Take the weights as they are now into their averages."""
        sample = self._evaluated()
        for name, share in averages.weights(self.progress.step, self.trial.steps).items():
            for key, kept in self.averages[name].items():
                kept.lerp_(sample[key], share)

    def _evaluated(self) -> Values:
        """The parameters to evaluate: a method that averages has others than those it trains at."""
        if not has_modes(self.rule):
            return self.optimizer.eval_params(self.rule, self.values)
        set_mode(self.rule, "eval")
        values = {name: value.detach().clone() for name, value in self.values.items()}
        set_mode(self.rule, "train")
        return values

    def _add_point(self) -> None:
        progress = self.progress
        mean = float(self._evaluate("validation", self.trial.evaluation.curve_sequences).mean())
        tokens = progress.step * self.trial.batch_size * self.scale.seq_len
        if math.isfinite(mean):  # the curve of a diverged run ends where its loss did
            progress.curves[0].append(Point(progress.step, tokens, progress.train_seconds, mean))

    def _state(self) -> list[np.ndarray]:
        """Copies of all arrays of the state."""
        values = [value.detach().cpu().numpy().copy() for value in self._kept()]
        return [*values, state_to_array(self.rule)]

    def _kept(self) -> list[torch.Tensor]:
        """The weights and their averages."""
        return [*self.values.values(), *(v for kept in self.averages.values() for v in kept.values())]

    def _resume(self, path: Path | None) -> None:
        """Go on from a checkpoint if there is one."""
        kept = self._kept()
        found = checkpoint.load(path, len(kept) + 1, [self.trial.trial_id]) if path else None
        if found is None:
            return
        self.progress, arrays = found
        with torch.no_grad():
            for value, array in zip(kept, arrays[:-1], strict=True):
                value.copy_(torch.from_numpy(array))
        state_from_array(self.rule, arrays[-1])
