"""What every contestant of the bench trains: one recipe on random tokens.

Speed does not depend on the text, and a machine without a corpus can be measured.
"""

import functools
from dataclasses import dataclass

import numpy as np

import optimizers
from benchmark.data import corpora
from benchmark.data.corpora import Corpus
from benchmark.scales import Scale
from benchmark.spec import RECIPE, Trial
from optimizers.base import Optimizer

TOKENS = 300_000  # in each split
CLIP_NORM = 1.0
LR = 0.004  # any rate is as fast as any other, as long as the loss stays finite


@dataclass(frozen=True, eq=False)
class RandomCorpus(Corpus):
    """Random tokens in memory, as unevenly common as words: a loss has something to learn."""

    def tokens(self, split: str) -> np.ndarray:
        return _random_tokens(self.vocab, split)


@functools.cache
def _random_tokens(vocab: int, split: str) -> np.ndarray:
    rng = np.random.default_rng(("train", "validation", "test").index(split))
    weights = 1 / np.arange(1, vocab + 1)
    return rng.choice(vocab, TOKENS, p=weights / weights.sum()).astype(np.uint16)


@functools.cache
def random_corpus(vocab: int) -> RandomCorpus:
    sizes: dict[str, int] = dict.fromkeys(("train", "validation", "test"), TOKENS)
    bytes_each = np.full(vocab, 2)
    return RandomCorpus("random", "", "", vocab, bytes_each, sizes, sizes, sizes, corpora.cache_folder())


def at_defaults(name: str, scale: Scale, steps: int, seed: int = 0) -> tuple[Trial, Optimizer]:
    """A trial of the bench and its optimizer, at the optimizer's own defaults."""
    optimizer = optimizers.get(name)()
    optimizer = optimizer.replace(peak_lr=LR) if "peak_lr" in optimizer.floats() else optimizer
    recipe = dict(zip(RECIPE, (1.0, 1.0, 0.1, "cosine", 1.0, 0.0, CLIP_NORM, scale.batch_size), strict=True))
    trial = Trial(
        optimizer=name,
        rule=name,
        scale=scale.name,
        chinchilla_ratio=1.0,
        tokens=steps * scale.batch_size * scale.seq_len,
        steps=steps,
        seq_len=scale.seq_len,
        vocab=scale.vocab,
        hyperparameters={**optimizer.floats(), **optimizer.statics(), **recipe},
        seed=seed,
        use="tuning",
        corpus="random",
        corpus_hash="",
        tokenizer_hash="",
    )
    return trial, optimizer
