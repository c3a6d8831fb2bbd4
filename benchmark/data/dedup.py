"""Drop repeated paragraphs, so that nothing held out can be recalled word for word.

A paragraph stays if at least half of its 5-grams of words appear in no paragraph before it. The caller puts
the training documents first: then every held-out paragraph is at least half new to all of training.
After Lee et al., Deduplicating Training Data Makes Language Models Better (arXiv 2107.06499).
"""

import re
from collections.abc import Iterator

import numpy as np

GRAM = 5  # words
NEW_SHARE = 0.5
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORD = re.compile(r"\w+")
_CHUNK = 1 << 20  # words hashed at once
_PARTS = 16  # of the hashes, sorted one after the other: less memory


def new_paragraphs(paragraphs: list[str]) -> np.ndarray:
    """Which paragraphs stay, bool [paragraphs].

    A paragraph of fewer than five words counts as one gram: it must be new as a whole. Needs about 15 bytes
    of memory a word.
    """
    first = {text: index for index, text in reversed(list(enumerate(paragraphs)))}
    distinct = sorted(first.values())
    pieces = list(_grams([paragraphs[index] for index in distinct]))
    grams = np.concatenate([hashes for hashes, _ in pieces])
    owner = np.concatenate([owners for _, owners in pieces])
    del pieces
    new = np.zeros(len(grams), bool)
    for part in range(_PARTS):
        places = np.flatnonzero(grams % np.uint64(_PARTS) == part)
        _, earliest = np.unique(grams[places], return_index=True)
        new[places[earliest]] = True
    total = np.bincount(owner, minlength=len(distinct))
    kept = np.zeros(len(paragraphs), bool)
    kept[distinct] = np.bincount(owner[new], minlength=len(distinct)) >= NEW_SHARE * total
    return kept


def _grams(paragraphs: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """64-bit hashes of all grams in order, and the index of the paragraph that each belongs to, by chunks."""
    words: list[int] = []
    owners: list[int] = []
    for index, paragraph in enumerate(paragraphs):
        found = _WORD.findall(paragraph.lower()) or [paragraph]  # no word at all: a gram of its own
        words += map(hash, found)  # other in every process; only what is equal to what counts
        words += [0] * (GRAM - len(found))
        owners += [index] * max(GRAM, len(found))
        if len(words) >= _CHUNK:
            yield _rolled(words, owners)
            words, owners = [], []
    yield _rolled(words, owners)


def _rolled(words: list[int], owners: list[int]) -> tuple[np.ndarray, np.ndarray]:
    mixed = np.array(words, np.int64).view(np.uint64)
    owner = np.array(owners, np.int32)
    starts = max(len(mixed) - GRAM + 1, 0)
    hashes = np.zeros(starts, np.uint64)
    for offset in range(GRAM):
        hashes = (hashes + mixed[offset : offset + starts]) * _MULTIPLIER  # modulo 2**64
        hashes ^= hashes >> np.uint64(29)
    inside = owner[:starts] == owner[GRAM - 1 :] if starts else np.zeros(0, bool)
    return hashes[inside], owner[:starts][inside]
