"""Files of token ids as a corpus: which files, of which type, how they are split, and what identifies them.

A file is raw ids of two or four bytes, little-endian, or has the header of llm.c and modded-nanogpt: 256 int32,
the first three of which are a magic number, a version and the number of ids. The ids stay where they are.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.data import batches, bpe, corpus, files, tokenizer
from benchmark.data.ask import Ask
from benchmark.data.build import SPLITS, Split, short_hash
from benchmark.data.shards import TYPES, Shard, Tokens

HEADER = 256  # int32
HEADERS = {20240520: (1, "uint16"), 20240801: (7, "uint32")}  # magic number -> its version and type of ids
SUFFIXES = {".bin": "", ".u16": "uint16", ".uint16": "uint16", ".u32": "uint32", ".uint32": "uint32"}
HELD_OUT_SHARE = 0.1  # of all tokens, of validation and of test, where no file is named for them
HELD_OUT_MOST = 10_000_000  # tokens of each: twice what an evaluation of the study's sequences reads
SAMPLE = 2**16  # tokens of a block that is hashed, and from whose ids the type is told
SAMPLES = 1024  # blocks of a training split that is too large to be hashed whole
NOT_STATED = "not-stated"  # the hash of a tokenizer that nobody has named


def found(path: Path) -> list[Shard]:
    """The token files at a path, in the order of their names. Raises ValueError that says what is wrong."""
    if not path.is_dir():
        return [_shard(path, path.name)]
    paths = sorted(
        entry for entry in path.rglob("*") if entry.suffix.casefold() in SUFFIXES and entry.is_file()
    )
    if not paths:
        raise ValueError(f"no file there ends in one of {', '.join(SUFFIXES)}")
    return [_shard(entry, str(entry.relative_to(path))) for entry in paths]


def prepare(shards: list[Shard], shown: str, ask: Ask) -> Path:
    """The folder of the corpus that these files are, made where it is not there. Raises ValueError."""
    own = tokenizer.read(ask.tokenizer, ask.vocab) if ask.tokenizer else None
    own_hash = short_hash(own.to_str().encode()) if own else NOT_STATED
    marks = {str(shard.path): corpus.mark(shard.path) for shard in shards}
    asked = f"{ask.vocab} {own_hash} {ask.held_out} {marks} {[s.type for s in shards]}"
    pointer = ask.cache / "sources" / short_hash(f"tokens {asked}".encode())
    if pointer.is_file():
        folder = ask.cache / "corpora" / pointer.read_text(encoding="utf-8").strip()
        if corpus.load(ask.name, ask.vocab, folder):
            return folder
    parts = _held_out(shards) if ask.held_out else _split(shards)
    for split in SPLITS:
        if not len(parts[split]) and not (ask.held_out and split == "train"):
            raise ValueError(f"{shown}: its {sum(s.count for s in shards):,} tokens leave none for {split}")
    content = hashlib.sha256()
    for split in SPLITS:
        content.update(f"{split} {len(parts[split])}".encode())
        for place, block in _blocks(parts[split]):
            tokenizer.fits(int(block.max()), ask.vocab, shown)
            content.update(f"{place}".encode())
            content.update(block.astype("<u4", copy=False).tobytes())
    corpus_hash = content.hexdigest()[:16]
    folder = ask.cache / "corpora" / corpus.together("tokens", str(ask.vocab), corpus_hash, own_hash)
    lengths = bpe.token_bytes(own, ask.vocab, tokenizer.end_of_text(own)) if own else np.zeros(ask.vocab, int)
    meta = {
        "corpus_hash": corpus_hash,
        "tokenizer_hash": own_hash,
        "counts": {split: len(parts[split]) for split in SPLITS},
        "documents": {},
        "bytes": {},
        "token_bytes": lengths.tolist(),
        "files": {split: [corpus.entry(shard) for shard in parts[split].shards] for split in SPLITS},
        "marks": marks,
    }
    corpus.write(folder, meta, own.to_str() if own else "")
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(folder.name, encoding="utf-8")
    return folder


def _shard(path: Path, name: str) -> Shard:
    """A file as one shard."""
    shown = files.printable(name)
    if files.kind(path.name):
        raise ValueError(f"{shown} is text by its name; for text write local:PATH")
    size = path.stat().st_size
    if not size:
        raise ValueError(f"{shown} is empty")
    with path.open("rb") as file:
        head = np.frombuffer(file.read(4 * HEADER)[: size // 4 * 4], "<i4")
    if len(head) >= 3 and int(head[0]) in HEADERS:
        version, kind = HEADERS[int(head[0])]
        if int(head[1]) != version:
            raise ValueError(f"{shown} has a header of version {int(head[1])}; only version {version} is known")
        count, there = int(head[2]), (size - 4 * HEADER) / TYPES[kind].itemsize
        if count < 1 or there != count:
            what = "is truncated: it" if there < count else "is not as its header says: it"
            raise ValueError(f"{shown} {what} has {max(0, int(there)):,} tokens, and its header says {count:,}")
        return Shard(path, kind, 4 * HEADER, count)
    if size % 2:
        raise ValueError(f"{shown} has an odd number of bytes, {size:,}: truncated, or no file of token ids")
    kind = SUFFIXES.get(path.suffix.casefold()) or _type(path, size)
    if size % TYPES[kind].itemsize:
        raise ValueError(f"{shown} has {size:,} bytes, which are no whole number of {kind} ids: truncated")
    return Shard(path, kind, 0, size // TYPES[kind].itemsize)


def _type(path: Path, size: int) -> str:
    """Whether ids have two bytes or four, by those at the file's beginning, middle and end. Of ids below 2**20
    in four bytes every second half is below 16, which half of a text's ids in two bytes never are."""
    count = size // 2
    tokens = Tokens([Shard(path, "uint16", 0, count)])
    starts = {min(start, max(0, count - SAMPLE)) // 2 * 2 for start in (0, count // 2, count)}
    sample = np.concatenate([tokens[start : start + SAMPLE] for start in starts])
    high, low = sample[1::2], sample[: len(sample) // 2 * 2 : 2]
    return "uint32" if len(high) and low.any() and high.max() < 16 else "uint16"


def _split(shards: list[Shard]) -> dict[Split, Tokens]:
    """Files named `val` or `test` are held out, those of one kind alone half for each. Where none is, the last
    tokens are: of each split a tenth of all, and HELD_OUT_MOST at most."""
    named: dict[Split, list[Shard]] = {split: [] for split in SPLITS}
    for shard in shards:
        named[_named(shard.path)].append(shard)
    held = [*named["validation"], *named["test"]]
    if named["validation"] and named["test"]:
        return {split: Tokens(named[split]) for split in SPLITS}
    if held and named["train"]:
        return {**_held_out(held), "train": Tokens(named["train"])}
    count = sum(shard.count for shard in shards)
    each = min(HELD_OUT_MOST, int(HELD_OUT_SHARE * count))
    ends = {
        "train": (0, count - 2 * each),
        "validation": (count - 2 * each, count - each),
        "test": (count - each, count),
    }
    return {split: Tokens(_between(shards, *ends[split])) for split in SPLITS}


def _held_out(shards: list[Shard]) -> dict[Split, Tokens]:
    """Tokens for evaluation alone: the first half is validation, the second test."""
    count = sum(shard.count for shard in shards)
    halves = _between(shards, 0, count // 2), _between(shards, count // 2, count)
    return {"train": Tokens([]), "validation": Tokens(halves[0]), "test": Tokens(halves[1])}


def _named(path: Path) -> Split:
    words = re.split(r"[^a-z]+", path.stem.casefold())
    if {"val", "valid", "validation"} & set(words):
        return "validation"
    return "test" if "test" in words else "train"


def _between(shards: list[Shard], start: int, stop: int) -> list[Shard]:
    """What lies between two places of the files' tokens."""
    parts, first = [], 0
    for shard in shards:
        low, high = max(start - first, 0), min(stop - first, shard.count)
        if low < high:
            parts.append(shard.cut(low, high))
        first += shard.count
    return parts


def _blocks(tokens: Tokens) -> Iterator[tuple[int, np.ndarray]]:
    """What of a split is hashed and checked: all of it, or of a training split that is not held whole SAMPLES
    blocks that are evenly spaced, the first and the last tokens among them. The place and the ids of each."""
    count = len(tokens)
    if count <= batches.RESIDENT:
        places = range(0, count, SAMPLE)
    else:
        places = [round(k * (count - SAMPLE) / (SAMPLES - 1)) for k in range(SAMPLES)]
    for place in places:
        yield place, tokens[place : place + SAMPLE]
        tokens.release()
