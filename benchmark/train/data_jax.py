"""The training data of a pack of runs, as the programs of trainer_jax.py take it. Its twin is data_torch.py."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmark.data import batches, stream
from benchmark.data.corpora import Corpus
from benchmark.spec import Trial
from benchmark.train.devices_jax import Devices

Tree = Any


def data(
    trials: Sequence[Trial], corpus: Corpus, chunk: int, devices: Devices | None = None
) -> "Resident | Ahead":
    """chunk: how many steps are taken at once at most. devices: those of a trial that has several."""
    small = len(corpus.tokens("train")) <= batches.RESIDENT
    kind = Resident if small else Ahead
    return kind(trials, corpus, chunk, devices)


class Resident:
    """A training split that is on the device, and the order of its sequences."""

    def __init__(
        self, trials: Sequence[Trial], corpus: Corpus, chunk: int, devices: Devices | None = None
    ) -> None:
        self.steps = chunk  # of one call at most
        self.tokens = _on_device(corpus, devices)
        orders = [batches.order(len(self.tokens), t.seq_len, t.batch_size, t.steps, t.seed) for t in trials]
        self.order = np.stack(orders) if len(trials) > 1 else orders[0]

    def limit(self, step: int) -> int:
        """The step up to which one call may go from `step` on."""
        return step + self.steps

    def batches(self, start: int, until: int) -> tuple[str, Tree, Tree]:
        """The program for steps `start` to `until` and what of the data it takes."""
        chunk = self.order[..., start:until, :]
        missing = [(0, 0)] * (chunk.ndim - 2) + [(0, self.steps - (until - start)), (0, 0)]
        # one shape, one program; rows beyond `until` are never read
        return "advance", self.tokens, np.pad(chunk, missing)


class Ahead:
    """A training split that is read by chunks while the device works."""

    def __init__(
        self, trials: Sequence[Trial], corpus: Corpus, chunk: int, devices: Devices | None = None
    ) -> None:
        first = trials[0]
        steps = stream.chunk_steps(first.batch_size, first.seq_len, chunk)
        streams = [stream.Stream(corpus.tokens("train"), t.seq_len, t.vocab, t.seed) for t in trials]
        put = devices.batches if devices else jax.device_put
        self.chunks = stream.Ahead(streams, first.batch_size, steps, first.steps, put)
        self.limit = self.chunks.limit

    def batches(self, start: int, until: int) -> tuple[str, Tree, Tree]:
        """The program for steps `start` to `until`, their chunk and their place in it."""
        chunk, begin = self.chunks.get(start)
        return "advance_chunk", chunk, np.int32(begin)


@functools.lru_cache(maxsize=2)
def _on_device(corpus: Corpus, devices: Devices | None) -> jax.Array:
    tokens = np.asarray(corpus.tokens("train"))
    return devices.on_all(tokens) if devices else jnp.asarray(tokens)
