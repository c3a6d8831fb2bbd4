"""The training data of a run, batch by batch, for trainer_torch.py. Its twin is data_jax.py."""

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

    def limit(self, step: int) -> int:
        """The step up to which one call may go from `step` on."""
        return step + self.steps

    def batch(self, step: int) -> np.ndarray:
        """The sequences of a step, [batch, seq_len + 1]."""
        return self.tokens[self.order[step][:, None].astype(np.int64) * self.seq_len + self.offsets]


class Ahead:
    """A training split that is read by chunks while the device works."""

    def __init__(self, trial: Trial, corpus: Corpus, chunk: int) -> None:
        steps = stream.chunk_steps(trial.batch_size, trial.seq_len, chunk)
        own = stream.Stream(corpus.tokens("train"), trial.seq_len, trial.vocab, trial.seed)
        self.chunks = stream.Ahead([own], trial.batch_size, steps, trial.steps, lambda chunk: chunk)
        self.limit = self.chunks.limit

    def batch(self, step: int) -> np.ndarray:
        """The sequences of a step, [batch, seq_len + 1]."""
        chunk, begin = self.chunks.get(step)
        return chunk[begin]
