"""What the conformance kit feeds an optimizer: a toy model, gradients, noise, a loss, one batch of text.

Gradients are given, not computed, so that two builds cannot drift apart through the loss: what differs is the
update rule alone. Nothing here needs a framework. drive_jax.py, drive_torch.py and drive_numpy.py take an
optimizer, an oracle or a rule in numpy through a `Problem`; the tests of the optimizers use them too.
"""

import atexit
import dataclasses
import functools
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import scales
from benchmark.data.corpora import Corpus
from benchmark.spec import Evaluation, Trial
from optimizers.base import Optimizer, Param, describe

Arrays = dict[str, np.ndarray]

WIDTH, LONG = 8, 16
STEPS = 20


def toy_params(*parts: str) -> dict[str, Param]:
    """Square, tall and wide matrices, norms, embedding and head. Long axes are twice the width, so that blocks
    of the width tile every matrix into squares. parts: last components of the names to keep, all if none."""
    shapes: dict[str, tuple[int, ...]] = {"embed": (LONG, WIDTH), "layers.0.attn_norm": (WIDTH,)}
    shapes |= {f"layers.0.{part}": (WIDTH, WIDTH) for part in "qkvo"}
    shapes |= {"layers.0.gate": (LONG, WIDTH), "layers.0.up": (LONG, WIDTH), "layers.0.down": (WIDTH, LONG)}
    shapes |= {"final_norm": (WIDTH,), "head": (LONG, WIDTH)}
    kept = {name: shape for name, shape in shapes.items() if not parts or name.rsplit(".", 1)[-1] in parts}
    return describe(kept, heads=2)


def starting_values(params: Mapping[str, Param]) -> Arrays:
    return {name: standard_normal(f"start {name}", param.shape) for name, param in params.items()}


def zeros(params: Mapping[str, Param]) -> Arrays:
    return {name: np.zeros(param.shape) for name, param in params.items()}


def gradients(params: Mapping[str, Param], steps: int = STEPS) -> Arrays:
    """name -> [steps, *shape]: a mean that slowly rotates, plus noise; of full rank at every step."""
    angle = np.linspace(0.0, 2.0, steps)
    grads = {}
    for name, param in params.items():
        first, second = (standard_normal(f"{part} {name}", param.shape) for part in ("first", "second"))
        spread = standard_normal(f"gradient {name}", (steps, *param.shape))
        mean = np.multiply.outer(np.cos(angle), first) + np.multiply.outer(np.sin(angle), second)
        grads[name] = 0.1 * (mean + 0.5 * spread)
    return grads


def noise(name: str, steps: int, shape: tuple[int, ...]) -> np.ndarray:
    """[steps, *shape]: what `run.normal` gives a parameter at each step, in every framework."""
    return np.stack([standard_normal(f"noise {name} {step}", shape) for step in range(steps)])


def standard_normal(label: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 values that depend on the label alone."""
    return np.random.default_rng(zlib.crc32(label.encode())).standard_normal(shape)


def loss(values: Mapping[str, Any]) -> Any:
    """A quadratic with a dense Hessian, written with what jax and torch arrays have in common."""
    return sum(0.5 * (x * x).sum() + 0.05 * x.sum() ** 2 for x in values.values())


@dataclass(frozen=True, eq=False)
class Problem:
    """What an optimizer is driven through; `problem` makes one."""

    params: Mapping[str, Param]
    start: Arrays
    """name -> [*shape]: the parameters before the first step."""
    grads: Arrays
    """name -> [steps, *shape]"""
    fall: float = 0.5
    """The schedule's factor goes in a line from 1 towards 1 - fall; with 0 the rate is constant."""
    clip_norm: float = 0.0
    """Only told to the optimizer: gradients arrive as they are."""
    ratios: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """name -> factor on its step, for an optimizer that scales steps itself; no other is scaled."""
    loss_fn: Callable[[Mapping[str, Any]], Any] | None = loss
    """A flat dict of parameters -> scalar. Its gradient is not `grads`."""

    @property
    def steps(self) -> int:
        return len(next(iter(self.grads.values())))

    def multiplier(self, step: Any, steps: Any = None) -> Any:
        """Step index from 0 -> factor on every rate. steps: the run's, which jax gives as a traced value."""
        return 1.0 - self.fall * step / (self.steps if steps is None else steps)


def problem(params: Mapping[str, Param] | None = None, steps: int = STEPS, **changes: Any) -> Problem:
    """The toy, or another set of parameters; `changes` replace fields of the Problem."""
    params = params or toy_params()
    made = Problem(params, starting_values(params), gradients(params, steps))
    return dataclasses.replace(made, **changes)


def in_square_blocks(optimizer: Optimizer) -> Optimizer:
    """The optimizer with blocks of the toy's width where it cuts matrices into blocks.

    The Gram matrix of a rectangular gradient has a null space, whose basis is arbitrary: two correct
    eigendecompositions of it differ, and so does every step after. Square blocks have none.
    """
    return optimizer.replace(block_size=WIDTH) if "block_size" in optimizer.statics() else optimizer


@functools.cache
def one_batch() -> Corpus:
    """A corpus whose training split is a single batch of the smallest scale: every step sees it again."""
    scale = scales.get("13k")
    folder = Path(tempfile.mkdtemp(prefix="one-batch-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokens = np.random.default_rng(0).integers(0, scale.vocab, scale.batch_size * scale.seq_len + 1)
    counts: dict[str, int] = {}
    for split in ("train", "validation", "test"):
        tokens.astype(np.uint16).tofile(folder / f"{split}.bin")
        counts[split] = len(tokens)
    every = np.ones(scale.vocab, np.int64)
    return Corpus("one-batch", "one-batch", "none", scale.vocab, every, counts, {}, {}, folder)


def one_batch_trial(optimizer: Optimizer, backend: Any, seed: int, steps: int) -> Trial:
    """A trial on `one_batch`: constant rate after a short warmup, clipping on."""
    scale = scales.get("13k")
    recipe = {
        "embedding_lr_ratio": 1.0,
        "head_lr_ratio": 1.0,
        "warmup_fraction": 0.1,
        "decay_kind": "linear",
        "decay_fraction": 0.5,
        "final_lr_ratio": 0.0,
        "clip_norm": 1.0,
        "batch_size": scale.batch_size,
    }
    return Trial(
        optimizer="checked",
        rule="checked@0",
        scale=scale.name,
        chinchilla_ratio=1.0,
        tokens=steps * scale.batch_size * scale.seq_len,
        steps=steps,
        seq_len=scale.seq_len,
        vocab=scale.vocab,
        hyperparameters={**optimizer.floats(), **optimizer.statics(), **recipe},
        seed=seed,
        use="tuning",
        corpus="one-batch",
        corpus_hash="one-batch",
        tokenizer_hash="none",
        evaluation=Evaluation("validation", sequences=1),
        backend=backend,
    )
