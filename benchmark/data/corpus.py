"""A prepared corpus, and how its folder in the cache is read."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import batches
from benchmark.data.build import SPLITS, Split, dtype
from benchmark.data.shards import TYPES, Domains, Ids, Shard, Tokens
from benchmark.files import write_atomically

Files = Mapping[str, tuple[Shard, ...]]  # split -> its shards


@dataclass(frozen=True, eq=False)
class Corpus:
    """A prepared corpus.

    corpus_hash: of the tokens of every split, 16 hex digits; tokenizer_hash: of the tokenizer's JSON.
    token_bytes: [vocab] bytes that each token stands for, 0 for the end of text, and for all of them where the
        tokenizer is not known.
    counts, documents, bytes: tokens, documents and bytes of text in each split; the last two are empty where
        there is no text.
    folder: where tokenizer.json and the tokens are.
    notes: what was left out of the text or dropped from it, and why, in lines for people.
    files: where the tokens are that are not in `folder`, by split.
    domains: the same for each domain of a corpus that has several, which only an evaluation corpus has.
    evaluation: the corpus whose validation and test splits stand for its own.
    """

    name: str
    corpus_hash: str
    tokenizer_hash: str
    vocab: int
    token_bytes: np.ndarray = field(repr=False)
    counts: Mapping[str, int]
    documents: Mapping[str, int]
    bytes: Mapping[str, int]
    folder: Path
    notes: tuple[str, ...] = ()
    files: Files = field(default_factory=dict, repr=False)
    domains: Mapping[str, Files] = field(default_factory=dict, repr=False)
    evaluation: "Corpus | None" = None

    def tokens(self, split: Split) -> Ids:
        """All token ids of a split, 1-D and read-only: uint16, or uint32 where the vocabulary needs it."""
        if self.evaluation and split != "train":
            return self.evaluation.tokens(split)
        if self.domains:
            return Domains({name: Tokens(files[split]) for name, files in self.domains.items()})
        if self.files or self.counts[split] > batches.RESIDENT:
            return Tokens(self.shards(split))
        return np.memmap(self.folder / f"{split}.bin", dtype(self.vocab), mode="r")

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The files of a split; of a corpus without domains."""
        if self.files:
            return self.files[split]
        stored = next(name for name, kind in TYPES.items() if kind == dtype(self.vocab))
        return (Shard(self.folder / f"{split}.bin", stored, 0, self.counts[split]),)

    def evaluated_on(self, other: "Corpus") -> "Corpus":
        """This one for training, the other's validation and test splits for evaluation."""
        counts = {split: (self if split == "train" else other).counts[split] for split in SPLITS}
        return replace(self, evaluation=other, counts=counts)

    @property
    def tokenizer(self) -> str:
        """The path of its tokenizer.json; "" where the tokenizer is not known."""
        path = self.folder / "tokenizer.json"
        return str(path) if path.is_file() else ""


def load(name: str, vocab: int, folder: Path, notes: Sequence[str] = ()) -> Corpus | None:
    """The corpus in this folder, or None if it is not there, damaged, changed, or of another vocabulary."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        files = _files(meta.pop("files", {}), folder)
        domains = {domain: _files(given, folder) for domain, given in meta.pop("domains", {}).items()}
        marks = meta.pop("marks", {})
        if any(mark(Path(path)) != found for path, found in marks.items()):
            return None
        for shard in (s for given in (files, *domains.values()) for part in given.values() for s in part):
            if shard.path.stat().st_size < shard.offset + shard.count * TYPES[shard.type].itemsize:
                return None
        if not files and not domains:
            for split in SPLITS:
                size = (folder / f"{split}.bin").stat().st_size
                if size != meta["counts"][split] * dtype(vocab).itemsize:
                    return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    token_bytes = np.array(meta.pop("token_bytes"), np.int32)
    if len(token_bytes) != vocab:
        return None
    dropped = meta.pop("dropped", {})  # what was made before it was counted has none
    said = (*notes, *meta.pop("notes", ()), *([_repeats(dropped)] if dropped.get("paragraphs") else []))
    return Corpus(
        name=name, vocab=vocab, token_bytes=token_bytes, folder=folder, notes=said,
        files=files, domains=domains, **meta,
    )  # fmt: skip


def write(folder: Path, meta: Mapping[str, Any], tokenizer: str = "") -> None:
    """Make the folder of a corpus whose tokens lie elsewhere. meta: as `load` reads it; tokenizer: its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer:
        write_atomically(folder / "tokenizer.json", tokenizer)
    write_atomically(folder / "meta.json", json.dumps(meta))


def entry(shard: Shard, folder: Path | None = None) -> list[Any]:
    """A shard as it stands in a meta.json. folder: the corpus's, to which a path in the cache is relative."""
    path = os.path.relpath(shard.path, folder) if folder else str(shard.path)
    return [path, shard.type, shard.offset, shard.count]


def mark(path: Path) -> list[int]:
    """Changes with a file's content: the inode's own time is in it because no program can set that back."""
    stat = path.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def together(*parts: str) -> str:
    """One hash of several, 16 hex digits."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _files(given: Mapping[str, Any], folder: Path) -> Files:
    return {
        split: tuple(Shard(folder / path, kind, offset, count) for path, kind, offset, count in entries)
        for split, entries in given.items()
    }


def _repeats(dropped: Mapping[str, int]) -> str:
    whole = f", {dropped['documents']:,} of them whole documents" if dropped["documents"] else ""
    return f"dropped {dropped['paragraphs']:,} of {dropped['of']:,} paragraphs, which repeat others{whole}"
