"""Drop repeated paragraphs, so that nothing held out can be recalled word for word.

A paragraph stays if at least half of its 5-grams of words appear in no paragraph before it. The caller puts
the training documents first: then every held-out paragraph is at least half new to all of training.
Deduplication of training text: Lee et al., arXiv 2107.06499. Next: bpe.py.
"""

import re

import numpy as np

from benchmark.corpus_sources import Document

GRAM = 5  # words
NEW_SHARE = 0.5
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORD = re.compile(r"\w+")


def drop_repeats(documents: list[Document]) -> list[Document]:
    """The documents without their repeated paragraphs, in the same order; one that loses all stays, empty.

    A paragraph of fewer than five words counts as one gram: it must be new as a whole.
    """
    grams, owners = _grams([paragraph for document in documents for paragraph in document])
    _, first = np.unique(grams, return_index=True)  # the earliest place of each gram
    new = np.zeros(len(grams), bool)
    new[first] = True
    paragraphs = sum(map(len, documents))
    total = np.bincount(owners, minlength=paragraphs)
    kept = iter(np.bincount(owners[new], minlength=paragraphs) >= NEW_SHARE * total)
    return [[paragraph for paragraph in document if next(kept)] for document in documents]


def _grams(paragraphs: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of all grams in order, and the index of the paragraph that each belongs to."""
    numbers: dict[str, int] = {}
    words, lengths = [], []
    for paragraph in paragraphs:
        found = _WORD.findall(paragraph.lower()) or [paragraph]  # no word at all: a gram of its own
        words += [numbers.setdefault(word, len(numbers) + 1) for word in found]
        words += [0] * (GRAM - len(found))
        lengths.append(max(GRAM, len(found)))
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64
        mixed = np.array(words, np.uint64) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        hashes = np.zeros(max(len(mixed) - GRAM + 1, 0), np.uint64)
        for offset in range(GRAM):
            hashes = (hashes + mixed[offset : offset + len(hashes)]) * _MULTIPLIER
    owner = np.repeat(np.arange(len(lengths)), lengths)
    inside = owner[: len(hashes)] == owner[GRAM - 1 :]
    return hashes[inside], owner[: len(hashes)][inside]
