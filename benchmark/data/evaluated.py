"""Which sequences an evaluation reads: the first ones of a split, and of domains as many of each."""

import numpy as np

from benchmark.data import batches
from benchmark.data.shards import Domains, Ids


def sequences(tokens: Ids, seq_len: int, count: int) -> np.ndarray:
    """`count` sequences with their targets, int32 [count, seq_len + 1], domain after domain if there are any.

    Raises ValueError where the split has fewer.
    """
    if not isinstance(tokens, Domains):
        return batches.fixed_sequences(tokens, seq_len, count)
    shares = zip(tokens.domains.values(), _shares(tokens, count), strict=True)
    return np.concatenate([batches.fixed_sequences(part, seq_len, share) for part, share in shares if share])


def by_domain(tokens: Ids, losses: np.ndarray) -> dict[str, float]:
    """The mean loss of each domain, of the losses of `sequences`; empty where there are no domains."""
    if not isinstance(tokens, Domains):
        return {}
    parts = np.split(losses, np.cumsum(_shares(tokens, len(losses)))[:-1])
    return {name: float(p.mean()) for name, p in zip(tokens.domains, parts, strict=True) if len(p)}


def _shares(tokens: Domains, count: int) -> list[int]:
    """How many sequences are read of each domain: as many of each, the first ones have what is left over."""
    each, over = divmod(count, len(tokens.domains))
    return [each + (k < over) for k in range(len(tokens.domains))]
