"""From a source's documents to a folder of token ids: distinct, split, free of repeats, tokenized.

Nothing here depends on the order in which a source yields its documents. Next: corpora.py, which keeps
the folder in the user's cache.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from benchmark import bpe
from benchmark.corpus_sources import Document
from benchmark.dedup import drop_repeats
from benchmark.store import write_atomically

PREPARATION = 1  # raise when the same text comes to give other tokens: what is cached is then made anew
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
HELD_OUT = 0.03  # share of validation, and of test; more where that is less than HELD_OUT_BYTES
HELD_OUT_MOST = 0.1
HELD_OUT_BYTES = 500_000  # at vocabulary 512 about twice the 1024 x 129 tokens that an evaluation reads


def short_hash(data: bytes) -> str:
    """16 hex digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def distinct(documents: Iterable[Document]) -> tuple[list[Document], str]:
    """The different documents in the order of their hashes, which is a shuffle, and a hash of them all."""
    by_hash: dict[bytes, Document] = {}
    for document in documents:
        if (text := "".join(document)).strip():
            by_hash[hashlib.sha256(text.encode()).digest()] = document
    order = sorted(by_hash)
    return [by_hash[digest] for digest in order], short_hash(b"".join(order))


def split(documents: list[Document]) -> dict[Split, list[Document]]:
    """Cut documents in the order of their hashes by size: validation first, then test, then train.

    Repeated paragraphs are dropped with the training documents counted first, so that what is held out is
    new to training, and test also to validation. Documents that lose every paragraph are gone.
    """
    sizes = np.cumsum([sum(len(p.encode()) for p in document) for document in documents])
    share = min(HELD_OUT_MOST, max(HELD_OUT, HELD_OUT_BYTES / sizes[-1]))
    first, second = (int(np.searchsorted(sizes, n * share * sizes[-1])) + 1 for n in (1, 2))
    parts = (documents[second:], documents[:first], documents[first:second])
    kept = iter(drop_repeats([document for part in parts for document in part]))
    splits: dict[Split, list[Document]] = {}
    for name, part in zip(SPLITS, parts, strict=True):
        splits[name] = [document for document in [next(kept) for _ in part] if document]
    return splits


def build(documents: list[Document], vocab: int, folder: Path, bar: tqdm) -> None:
    """Write tokenizer.json, <split>.bin and meta.json into `folder`. The bar advances by documents.

    Raises ValueError if the documents do not fill the three splits.
    """
    splits = split(documents)
    if not all(splits.values()):
        raise ValueError(f"{len(documents)} different documents do not fill train, validation and test")
    texts = {name: ["".join(document) for document in part] for name, part in splits.items()}
    bar.reset(total=sum(map(len, texts.values())))
    tokenizer = bpe.train(bpe.sample(texts["train"], vocab), vocab)
    content = hashlib.sha256()
    counts = {}
    for name in SPLITS:
        counts[name] = _write(tokenizer, texts[name], vocab, folder / f"{name}.bin", content, bar)
        content.update(f"{name} {counts[name]}".encode())
    tokenizer_json = tokenizer.to_str()
    write_atomically(folder / "tokenizer.json", tokenizer_json)
    meta = {
        "corpus_hash": content.hexdigest()[:16],
        "tokenizer_hash": short_hash(tokenizer_json.encode()),
        "counts": counts,
        "documents": {name: len(part) for name, part in texts.items()},
        "bytes": {name: sum(len(text.encode()) for text in part) for name, part in texts.items()},
        "token_bytes": bpe.token_bytes(tokenizer, vocab).tolist(),
    }
    write_atomically(folder / "meta.json", json.dumps(meta))


def dtype(vocab: int) -> np.dtype:
    """How token ids are stored: two bytes, or four where the vocabulary needs them; little-endian."""
    return np.dtype("<u2" if vocab <= 1 << 16 else "<u4")


def _write(
    tokenizer: Tokenizer, texts: list[str], vocab: int, path: Path, content: "hashlib._Hash", bar: tqdm
) -> int:
    count = 0
    with path.open("wb") as file:
        for start in range(0, len(texts), bpe.BATCH):
            batch = texts[start : start + bpe.BATCH]
            ids = np.array(bpe.encode(tokenizer, batch), dtype(vocab))
            content.update(ids.tobytes())
            count += len(ids)
            file.write(ids.tobytes())
            bar.update(len(batch))
        file.flush()
        os.fsync(file.fileno())
    return count
