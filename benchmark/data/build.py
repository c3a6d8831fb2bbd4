"""From a source's documents to a folder of token ids: distinct, split, free of repeats, tokenized.

Nothing here depends on the order in which a source yields its documents.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from benchmark.data import bpe
from benchmark.data.dedup import new_paragraphs
from benchmark.data.sources.base import Document
from benchmark.data.tokenizer import end_of_text
from benchmark.files import write_atomically

PREPARATION = 1  # raise when the same text comes to give other tokens: what is cached is then made anew
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
HELD_OUT = 0.03  # share of validation, and of test; more where that is less than HELD_OUT_BYTES
HELD_OUT_MOST = 0.1
HELD_OUT_BYTES = 500_000  # at vocabulary 512 about twice the 1024 x 129 tokens that an evaluation reads

SMALLEST_MEGABYTES = 3  # at vocabulary 512 HELD_OUT_MOST of it is an evaluation's 1024 x 129 tokens


def short_hash(data: bytes) -> str:
    """16 hex digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def in_hash_order(documents: Iterable[Document]) -> tuple[list[Document], str]:
    """The documents that hold text, in the order of their hashes, which is a shuffle; and a hash of them all.

    Documents of a group stand together, at the place of the group's hash.
    """
    keyed = []
    for document in documents:
        text = document.text
        if text.strip():
            own = hashlib.sha256(text.encode()).digest()
            group = hashlib.sha256(document.group.encode()).digest() if document.group else own
            keyed.append((group + own, document))
    keyed.sort(key=itemgetter(0))
    return [document for _, document in keyed], short_hash(b"".join(key for key, _ in keyed))


def split(documents: list[Document], held_out: bool = False) -> dict[Split, list[Document]]:
    """Cut documents in the order of their hashes by size: validation is filled first, then test. held_out: each
    of these has half, and train nothing.

    A group larger than all that is to be held out goes to train. Repeated paragraphs are dropped with the
    training documents counted first, so that what is held out is new to training, and test also to validation.
    """
    groups = [list(group) for _, group in groupby(documents, lambda d: d.group or d.text)]
    sizes = [sum(len(p.encode()) for document in group for p in document.paragraphs) for group in groups]
    room = min(HELD_OUT_MOST * sum(sizes), max(HELD_OUT * sum(sizes), HELD_OUT_BYTES))
    if held_out:
        room = sum(sizes) / 2
    parts: dict[Split, list[Document]] = {name: [] for name in SPLITS}
    filled: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    for group, size in zip(groups, sizes, strict=True):
        name: Split = "train"
        if held_out or (size <= room and filled["test"] < room):
            name = "validation" if filled["validation"] < room else "test"
        parts[name] += group
        filled[name] += size
    kept = iter(new_paragraphs([p for name in SPLITS for d in parts[name] for p in d.paragraphs]))
    return {name: [_thinned(document, kept) for document in parts[name]] for name in SPLITS}


def _thinned(document: Document, kept: Iterator[np.bool_]) -> Document:
    return Document([paragraph for paragraph in document.paragraphs if next(kept)], document.group)


def build(
    documents: list[Document],
    vocab: int,
    folder: Path,
    bar: tqdm,
    tokenizer: Tokenizer | None = None,
    held_out: bool = False,
) -> None:
    """Write tokenizer.json, <split>.bin and meta.json into `folder`. The bar advances by documents.

    tokenizer: in place of one that is trained on the text. held_out: the text is for evaluation alone.
    Raises ValueError if the documents do not fill the three splits.
    """
    number, repeated = len(documents), _paragraphs(documents)
    parts = split(documents, held_out)
    dropped = {
        "paragraphs": repeated - sum(map(_paragraphs, parts.values())),
        "of": repeated,
        "documents": sum(not _paragraphs([d]) for part in parts.values() for d in part),
    }
    texts = {name: [d.text for d in part if d.paragraphs] for name, part in parts.items()}
    if not all(part for name, part in texts.items() if name != "train" or not held_out):
        different = sum(1 for _ in groupby(documents, lambda d: d.text))  # alike ones have the same place
        alike = f" ({different:,} different)" if different < number else ""
        raise ValueError(
            f"its {number:,} documents{alike} do not fill {'' if held_out else 'train, '}validation and"
            f" test; the smallest tasks need some {SMALLEST_MEGABYTES} MB of text"
        )
    texts = {name: sorted(part, key=_place) for name, part in texts.items()}
    bar.reset(total=sum(map(len, texts.values())))
    tokenizer = tokenizer or bpe.train(bpe.sample(texts["train"], vocab), vocab)
    end = end_of_text(tokenizer)
    content = hashlib.sha256()
    counts = {}
    for name in SPLITS:
        counts[name] = _write(tokenizer, end, texts[name], vocab, folder / f"{name}.bin", content, bar)
        content.update(f"{name} {counts[name]}".encode())
    tokenizer_json = tokenizer.to_str()
    write_atomically(folder / "tokenizer.json", tokenizer_json)
    meta = {
        "corpus_hash": content.hexdigest()[:16],
        "tokenizer_hash": short_hash(tokenizer_json.encode()),
        "counts": counts,
        "documents": {name: len(part) for name, part in texts.items()},
        "bytes": {name: sum(len(text.encode()) for text in part) for name, part in texts.items()},
        "token_bytes": bpe.token_bytes(tokenizer, vocab, end).tolist(),
        "dropped": dropped,
    }
    write_atomically(folder / "meta.json", json.dumps(meta))


def _paragraphs(documents: Iterable[Document]) -> int:
    """How many paragraphs hold text."""
    return sum(bool(p.strip()) for d in documents for p in d.paragraphs)


def dtype(vocab: int) -> np.dtype:
    """How token ids are stored: two bytes, or four where the vocabulary needs them; little-endian."""
    return np.dtype("<u2" if vocab <= 1 << 16 else "<u4")


def _place(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()  # shuffles the documents of a group in among the others


def _write(
    tokenizer: Tokenizer,
    end: int,
    texts: list[str],
    vocab: int,
    path: Path,
    content: "hashlib._Hash",
    bar: tqdm,
) -> int:
    count = 0
    with path.open("wb") as file:
        for start in range(0, len(texts), bpe.BATCH):
            batch = texts[start : start + bpe.BATCH]
            ids = np.array(bpe.encode(tokenizer, batch, end), dtype(vocab))
            content.update(ids.tobytes())
            count += len(ids)
            file.write(ids.tobytes())
            bar.update(len(batch))
        file.flush()
        os.fsync(file.fileno())
    return count
