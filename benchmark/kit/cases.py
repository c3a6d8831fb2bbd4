"""What the conformance kit feeds an optimizer: a toy model, gradients, noise, a loss, one batch of text.

Gradients are given, not computed, so that two builds cannot drift apart through the loss: what differs is the
update rule alone. Nothing here needs a framework.
"""

import atexit
import functools
import shutil
import tempfile
import zlib
from collections.abc import Mapping
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


def toy_params() -> dict[str, Param]:
    """Square, tall and wide matrices, norms, embedding and head. Long axes are twice the width, so that blocks
    of the width tile every matrix into squares."""
    shapes: dict[str, tuple[int, ...]] = {"embed": (LONG, WIDTH), "layers.0.attn_norm": (WIDTH,)}
    shapes |= {f"layers.0.{part}": (WIDTH, WIDTH) for part in "qkvo"}
    shapes |= {"layers.0.gate": (LONG, WIDTH), "layers.0.up": (LONG, WIDTH), "layers.0.down": (WIDTH, LONG)}
    shapes |= {"final_norm": (WIDTH,), "head": (LONG, WIDTH)}
    return describe(shapes, heads=2)


def starting_values(params: Mapping[str, Param]) -> Arrays:
    return {name: standard_normal(f"start {name}", param.shape) for name, param in params.items()}


def gradients(params: Mapping[str, Param]) -> Arrays:
    """name -> [STEPS, *shape]: a mean that slowly rotates, plus noise; of full rank at every step."""
    angle = np.linspace(0.0, 2.0, STEPS)
    grads = {}
    for name, param in params.items():
        first, second = (standard_normal(f"{part} {name}", param.shape) for part in ("first", "second"))
        noise = standard_normal(f"gradient {name}", (STEPS, *param.shape))
        mean = np.multiply.outer(np.cos(angle), first) + np.multiply.outer(np.sin(angle), second)
        grads[name] = 0.1 * (mean + 0.5 * noise)
    return grads


def standard_normal(label: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64 values that depend on the label alone."""
    return np.random.default_rng(zlib.crc32(label.encode())).standard_normal(shape)


def loss(values: Mapping[str, Any]) -> Any:
    """A quadratic with a dense Hessian, written with what jax and torch arrays have in common."""
    return sum(0.5 * (x * x).sum() + 0.05 * x.sum() ** 2 for x in values.values())


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
        role="tuning",
        corpus="one-batch",
        corpus_hash="one-batch",
        tokenizer_hash="none",
        evaluation=Evaluation("validation", sequences=1),
        backend=backend,
    )
