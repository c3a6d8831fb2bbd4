"""What one block of each contestant is: every function runs in the contestant's own process and returns it.

All train the same shapes on the same batch size with the same recipe, on random tokens: speed does not depend
on the text, and a machine without a corpus can be measured.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import optimizers
from benchmark import corpora, runner, scales
from benchmark.cadence import CHUNK
from benchmark.corpora import Corpus
from benchmark.scales import Scale
from benchmark.spec import RECIPE, Evaluation, Trial
from optimizers.base import Optimizer

TOKENS = 300_000  # in each split
CLIP_NORM = 1.0
LR = 0.004  # any rate is as fast as any other, as long as the loss stays finite

Block = Callable[[], object]


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


def setting(name: str, scale: Scale, steps: int, seed: int = 0) -> tuple[Trial, Optimizer]:
    """A trial of the bench and its optimizer, at the optimizer's own defaults."""
    optimizer = optimizers.get(name)()
    optimizer = optimizer.replace(peak_lr=LR) if "peak_lr" in optimizer.floats() else optimizer
    recipe = dict(zip(RECIPE, (0.1, "cosine", 1.0, 0.0, CLIP_NORM, scale.batch_size), strict=True))
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
        role="tuning",
        corpus="random",
        corpus_hash="",
        tokenizer_hash="",
    )
    return trial, optimizer


def ours(backend: str, name: str, scale_name: str, steps: int, pack: int = 1) -> Block:
    """Our trainer: a block is a run of `steps` steps from its start, set-up included, evaluation left out.

    A whole run, because what a rule does may change along one (Kron fits less and less often).
    """
    if steps > CHUNK:
        raise ValueError(f"a block has at most {CHUNK} steps, not {steps}: the trainer looks in between")
    scale, trainer = scales.get(scale_name), runner.trainer_of(backend)
    trainer.set_up(corpora.cache_folder() / "compiled")
    made = [setting(name, scale, steps, seed) for seed in range(pack)]
    # one step more than it will do: a run that is stopped before its end is not evaluated
    trials = [dataclasses.replace(trial, steps=steps + 1, backend=backend) for trial, _ in made]
    rules, corpus = [optimizer for _, optimizer in made], random_corpus(scale.vocab)
    return lambda: trainer.train(trials, rules, corpus, max_steps=steps)


def training(name: str, scale_name: str, steps: int, pack: int = 1) -> Callable[[], float]:
    """Our jax trainer, timed by itself: a block returns its training seconds, without set-up and evaluation.

    For an accelerator, where a short run would be mostly set-up.
    """
    scale, trainer = scales.get(scale_name), runner.trainer_of("jax")
    made = [setting(name, scale, steps, seed) for seed in range(pack)]
    trials = [dataclasses.replace(trial, evaluation=Evaluation(sequences=1)) for trial, _ in made]
    rules, corpus = [optimizer for _, optimizer in made], random_corpus(scale.vocab)

    def run() -> float:
        outcomes = trainer.train(trials, rules, corpus)
        if bad := [out.reason for out in outcomes if out.status != "finished"]:
            raise ValueError(bad[0])
        return sum(out.cost.train_seconds for out in outcomes)  # each has its share of the pack's

    return run


def plain_torch(name: str, scale_name: str, steps: int) -> Block:
    """An eager torch loop of the kind people write (plain_torch.py)."""
    from benchmark.bench import plain_torch

    scale = scales.get(scale_name)
    tokens = random_corpus(scale.vocab).tokens("train")
    return lambda: plain_torch.losses(name, scale, tokens, steps)


def jit_per_step(name: str, scale_name: str, steps: int) -> Block:
    """Our jax step, called once per step from Python (step_jax.py)."""
    from benchmark.bench import step_jax

    scale = scales.get(scale_name)
    return step_jax.block(*setting(name, scale, steps), scale, random_corpus(scale.vocab).tokens("train"))


def products(scale_name: str, steps: int) -> Block:
    """The matrix products of as many steps, alone (products_jax.py)."""
    from benchmark.bench import products_jax

    return products_jax.block(scales.get(scale_name), steps)


def sgemm(size: int, count: int) -> Block:
    """`count` square float32 matrix products (products_jax.py)."""
    from benchmark.bench import products_jax

    return products_jax.square(size, count)


def update(name: str, scale_name: str, steps: int) -> Block:
    """The update rule alone, on random gradients of one layer (update_jax.py)."""
    from benchmark.bench import update_jax

    return update_jax.block(*setting(name, scales.get(scale_name), steps))


def jax_device() -> str:
    return runner.trainer_of("jax").device()
