"""What a run on a large training split sees, read ahead of it by chunks: no array here grows with the split.

Up to `batches.RESIDENT` tokens batches.py has one permutation of all sequences an epoch. Beyond that the split
is cut into blocks of about BLOCK tokens that lie together. An epoch visits the blocks in a permutation drawn
from (seed, epoch), POOL of them at a time, and the sequences of such a pool in a permutation drawn from (seed,
epoch, pool): long reads, from POOL places at once. A batch is the next sequences, so that all batch sizes
consume the same stream in the same order, as with a small split.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmark.data import batches
from benchmark.data.shards import Ids, Tokens

BLOCK = 2**16  # tokens that lie together: 128 KiB, beyond which a disk reads no faster
POOL = 64  # blocks among which sequences are shuffled: 4 million tokens, eight of the study's batches
CHUNK_TOKENS = 2**23  # read for one call of a trainer's program, of each run of a pack


class Stream:
    """The sequences of one run in their order, each with the token after it."""

    def __init__(self, tokens: Ids, seq_len: int, vocab: int, seed: int) -> None:
        self.tokens, self.seq_len, self.vocab, self.seed = tokens, seq_len, vocab, seed
        self.count = batches.sequence_count(len(tokens), seq_len)  # of an epoch
        if self.count < 1:
            raise ValueError(
                f"the training split has {len(tokens)} tokens, fewer than one sequence of {seq_len}"
            )
        self.per_block = min(self.count, max(1, BLOCK // seq_len))
        self.blocks = self.count // self.per_block
        self.pools = -(-self.blocks // POOL)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0))
        self._pool: tuple[tuple[int, int], np.ndarray] = ((-1, -1), np.empty(0))

    def read(self, first: int, count: int) -> np.ndarray:
        """Sequences number `first` up to `first + count` of the run, [count, seq_len + 1].

        Raises ValueError where a token id is none of the model's vocabulary, OSError where the file is gone.
        """
        parts = []
        while count:
            epoch, place = divmod(first, self.count)
            pool = min(place // (POOL * self.per_block), self.pools - 1)
            rows = self._sequences(epoch, pool)
            inside = place - pool * POOL * self.per_block
            parts.append(rows[inside : inside + count])
            first += len(parts[-1])
            count -= len(parts[-1])
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if (largest := int(found.max())) >= self.vocab:
            raise ValueError(
                f"the corpus has the token id {largest}, but the model's vocabulary is {self.vocab}"
            )
        return found

    def _sequences(self, epoch: int, pool: int) -> np.ndarray:
        """The sequences of a pool in their order. The last one also has those that fill no block."""
        if self._pool[0] != (epoch, pool):
            if self._epoch[0] != epoch:
                self._epoch = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.blocks)
            blocks = np.sort(self._epoch[1][pool * POOL : (pool + 1) * POOL])
            rest = self.count % self.per_block if pool == self.pools - 1 else 0
            span = self.per_block * self.seq_len + 1
            flat = np.zeros((len(blocks) + bool(rest), span), self.tokens.dtype)
            for row, block in enumerate(blocks.tolist()):
                start = block * (span - 1)
                flat[row] = self.tokens[start : start + span]
            if rest:
                start = self.blocks * (span - 1)
                flat[-1, : rest * self.seq_len + 1] = self.tokens[start : start + rest * self.seq_len + 1]
            if isinstance(self.tokens, Tokens):
                self.tokens.release()
            windows = np.lib.stride_tricks.sliding_window_view(flat, self.seq_len + 1, axis=1)[
                :, :: self.seq_len
            ]
            mixed = np.random.default_rng([self.seed, epoch, pool]).permutation(
                len(blocks) * self.per_block + rest
            )
            self._pool = (epoch, pool), windows[np.divmod(mixed, self.per_block)]
        return self._pool[1]


class Ahead:
    """The batches of a pack of runs in chunks of as many steps, the next one read by a thread while the device
    works on this one.

    streams: one a run. steps: of a chunk. last: of the run. put: what that thread does with a chunk, such as
    sending it to the device.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        batch_size: int,
        steps: int,
        last: int,
        put: Callable[[np.ndarray], Any],
    ) -> None:
        self.streams, self.batch_size, self.put = streams, batch_size, put
        self.steps, self.last = steps, last
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        self._coming: dict[int, Future] = {}  # by number of the chunk: the current and the next

    def limit(self, step: int) -> int:
        """Where the chunk of a step ends."""
        return (step // self.steps + 1) * self.steps

    def get(self, step: int) -> tuple[Any, int]:
        """The chunk of a step, `put`, and the step's place in it. A chunk is [steps, batch, seq_len + 1], with
        an axis for the runs before that where there are several."""
        number, place = divmod(step, self.steps)
        kept = {k: v for k, v in self._coming.items() if k in (number, number + 1)}
        for wanted in (number, number + 1):
            if wanted not in kept and (wanted == number or wanted * self.steps < self.last):
                kept[wanted] = self._thread.submit(self._read, wanted)
        self._coming = kept
        return kept[number].result(), place

    def _read(self, number: int) -> Any:
        count = self.steps * self.batch_size  # also beyond the run's end: one shape, one program
        found = [stream.read(number * count, count) for stream in self.streams]
        chunks = [rows.reshape(self.steps, self.batch_size, -1) for rows in found]
        return self.put(np.stack(chunks) if len(chunks) > 1 else chunks[0])


def chunk_steps(batch_size: int, seq_len: int, most: int) -> int:
    """How many steps a chunk has: at most `most`, and about CHUNK_TOKENS tokens."""
    return max(1, min(most, CHUNK_TOKENS // (batch_size * seq_len)))
