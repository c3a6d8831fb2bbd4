"""Which tokens a step sees: one order of sequences per seed, the same for every optimizer and batch size.

The training split is cut into sequences of `seq_len` tokens (plus one to predict); each epoch visits them in
a permutation drawn from (seed, epoch). A batch is the next `batch_size` of them, so that batches of 4 and of
32 consume the same stream in the same order. A split of more than RESIDENT tokens has another one (stream.py).
"""

import numpy as np

from benchmark.data.shards import Ids

RESIDENT = (
    2**28
)  # tokens of a training split that is held whole, on the device, with one order of its sequences
TOKENS_AT_ONCE = (
    8192  # of one forward and backward pass: the whole batch on the micro ladder, two sequences above
)

LOGITS_AT_ONCE = 2**29  # numbers of one chunk of a deep model's head: 2 GiB in float32


def sequence_count(num_tokens: int, seq_len: int) -> int:
    """Whole sequences in a split, each with a token after its last to predict."""
    return (num_tokens - 1) // seq_len


def order(num_tokens: int, seq_len: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Sequence numbers of a whole run, int32 [steps, batch_size]; sequence i starts at token i * seq_len."""
    count, needed = sequence_count(num_tokens, seq_len), steps * batch_size
    if count < 1:
        raise ValueError(f"the training split has {num_tokens} tokens, fewer than one sequence of {seq_len}")
    epochs = -(-needed // count)
    parts = [np.random.default_rng([seed, epoch]).permutation(count) for epoch in range(epochs)]
    return np.concatenate(parts)[:needed].astype(np.int32).reshape(steps, batch_size)


def rows_at_once(batch_size: int, seq_len: int) -> int:
    """How many sequences of a batch go through the decoder at once. Gradients of larger batches are summed
    up part by part, because their logits over a large vocabulary fit no device."""
    return largest_part(batch_size, TOKENS_AT_ONCE // seq_len)


def chunk_of_head(tokens: int, vocab: int) -> int:
    """How many of so many tokens a deep model's head takes at once: equal chunks, each of at most
    LOGITS_AT_ONCE logits."""
    return largest_part(tokens, LOGITS_AT_ONCE // vocab)


def largest_part(count: int, fitting: int) -> int:
    """The largest size, at most `fitting` but at least 1, of which `count` is a multiple."""
    return max(size for size in range(1, min(max(1, fitting), count) + 1) if count % size == 0)


def rows(tokens: Ids, start: int, seq_len: int, count: int) -> np.ndarray:
    """Consecutive sequences from token `start` on, each with the token after it, [count, seq_len + 1]."""
    flat = np.ascontiguousarray(tokens[start : start + count * seq_len + 1])
    return np.lib.stride_tricks.sliding_window_view(flat, seq_len + 1)[::seq_len]


def fixed_sequences(tokens: Ids, seq_len: int, count: int) -> np.ndarray:
    """The first `count` sequences of an evaluation split with their targets, int32 [count, seq_len + 1]."""
    if sequence_count(len(tokens), seq_len) < count:
        raise ValueError(
            f"evaluation needs {count} sequences of {seq_len} tokens, but the split has {len(tokens)} tokens;"
            " use a larger corpus"
        )
    return rows(tokens, 0, seq_len, count).astype(np.int32)
