"""The training data of a run, batch by batch, for trainer_torch.py. Its twin is data_jax.py."""

from collections.abc import Callable

import numpy as np

from benchmark.data import batches, stream
from benchmark.data.corpora import Corpus
from benchmark.spec import Trial


def data(trial: Trial, corpus: Corpus, chunk: int) -> "Resident | Ahead":
    """chunk: how many steps are taken at once at most."""
    small = len(corpus.tokens("train")) <= batches.RESIDENT
    return Resident(trial, corpus, chunk) if small else Ahead(trial, corpus, chunk)


class Resident:
    """A training split in memory, and the order of its sequences."""

    def __init__(self, trial: Trial, corpus: Corpus, chunk: int) -> None:
        self.steps = chunk  # between two looks at most
        found = corpus.tokens("train")
        self.tokens = found if isinstance(found, np.ndarray) else found[:]
        self.order = batches.order(len(found), trial.seq_len, trial.batch_size, trial.steps, trial.seed)
        self.offsets = np.arange(trial.seq_len + 1)
        self.seq_len = trial.seq_len

    def get(self, start: int, until: int, after: Callable[[int], int]) -> None:
        """Steps `start` to `until` come next, and then up to after(until)."""

    def batch(self, step: int) -> np.ndarray:
        """The sequences of a step, [batch, seq_len + 1]."""
        return self.tokens[self.order[step][:, None].astype(np.int64) * self.seq_len + self.offsets]


class Ahead:
    """A training split that is read by chunks while the device works."""

    def __init__(self, trial: Trial, corpus: Corpus, chunk: int) -> None:
        self.last, self.start = trial.steps, 0
        self.steps = stream.chunk_steps(trial.batch_size, trial.seq_len, chunk)
        own = stream.Stream(corpus.tokens("train"), trial.seq_len, trial.vocab, trial.seed)
        self.chunks = stream.Ahead([own], trial.batch_size, self.steps, lambda chunk: chunk)
        self.chunk = np.empty(0)

    def get(self, start: int, until: int, after: Callable[[int], int]) -> None:
        following = (until, after(until)) if until < self.last else None
        self.start, self.chunk = start, self.chunks.get(start, until, following)

    def batch(self, step: int) -> np.ndarray:
        return self.chunk[step - self.start]
