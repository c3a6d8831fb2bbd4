"""A corpus from a source too large to hold: read once, tokenized shard by shard to disk, as far as needed.

Documents come in the source's order. The hash of its text says where each goes: a tenth of all to validation
and a tenth to test until these have HELD_OUT tokens each, everything else to train; a document that is held out
already goes nowhere. So the shards of a longer preparation begin with those of a shorter one. Documents that
repeat one another in training are kept: such data sets come without repeats.

One process of a machine prepares, the others wait for it. One that is killed loses the shard it was at. At no
time are more than a shard and a few hundred documents in memory.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from benchmark.data import bpe, corpus, tokenizer
from benchmark.data.ask import Ask
from benchmark.data.build import PREPARATION, SPLITS, dtype, short_hash
from benchmark.data.shards import TYPES, Shard
from benchmark.files import write_atomically

SHARD = 2**24  # tokens of a file of training text, but the last one
HELD_OUT = 10_000_000  # tokens of validation, and of test, at most: twice what an evaluation of the study reads
HELD_OUT_SHARE = 0.1  # of documents, of each, until then
TOKENS = 2**28  # of training, where nobody says how many are needed
EPOCHS = 4  # as corpora.MAX_EPOCHS: how often a task may see its training text
LARGEST = 1.2  # times the text that a source's first documents speak of: where it is surely too small


class Rows(Protocol):
    """A source that was opened, once through."""

    def texts(self) -> Iterator[str]:
        """The documents that are left. Raises ValueError where they cannot be read."""
        ...

    def state(self) -> Any:
        """How far `texts` has come, as JSON: what `Source.open` takes to go on after it."""
        ...


@dataclass(frozen=True)
class Source:
    """identity: changes when the text may have. open: starts at the beginning (None) or at a state.

    bytes: of its text, none where that is not known; it may have less, and not more.
    """

    identity: str
    open: Callable[[Any], Rows]
    bytes: int | None = None


@dataclass
class State:
    """How far a preparation has come; what the files beside it hold beyond that does not count.

    shards: of each its tokens and the hash of them, and the tokens of validation and test when it was written.
    """

    rows: Any = None
    shards: list[dict[str, Any]] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=lambda: {"validation": 0, "test": 0})
    documents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    left: int = 0  # tokens that were read beyond the last shard
    repeats: int = 0
    ended: bool = False

    @property
    def train(self) -> int:
        return sum(shard["count"] for shard in self.shards)


def prepare(source: Source, ask: Ask) -> Path:
    """The folder of the corpus of as many tokens as are asked for, made where it is not there.

    Raises ValueError where the source cannot have them, or the disk has no room for them.
    """
    wanted = 0 if ask.held_out else ask.tokens or TOKENS
    if source.bytes is not None and EPOCHS * source.bytes < ask.tokens:
        raise ValueError(_too_small(ask, source.bytes, "at most"))
    own = tokenizer.read(ask.tokenizer, ask.vocab) if ask.tokenizer else None
    how = short_hash(own.to_str().encode()) if own else "bpe"
    named = f"{PREPARATION} {SHARD} {HELD_OUT} {ask.vocab} {how} {ask.held_out} {source.identity}"
    place = ask.cache / "streamed" / short_hash(named.encode())
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place / "lock", ask):
        build = _Build(source, ask, place, own)
        build.run(wanted)
        return build.folder(wanted)


class _Build:
    """A preparation in its folder, which nobody else writes to now."""

    def __init__(self, source: Source, ask: Ask, place: Path, own: Tokenizer | None) -> None:
        self.source, self.ask, self.place = source, ask, place
        self.state = self._state()
        if own is None:
            own = self._trained()
        elif not (place / "tokenizer.json").is_file():
            write_atomically(place / "tokenizer.json", own.to_str())
        self.tokenizer, self.end = own, tokenizer.end_of_text(own)
        self.dtype = dtype(ask.vocab)

    def run(self, wanted: int) -> None:
        """Write shards until there are as many tokens as wanted, or the source has ended."""
        state = self.state
        if state.ended or (wanted and state.train >= wanted):
            return
        rows = self.source.open(state.rows)
        texts = rows.texts()
        first = list(itertools.islice(texts, bpe.BATCH))
        self._refuse(wanted, first)
        self._truncate()
        seen = self._seen()
        waiting = [np.fromfile(self._left(), self.dtype)[: state.left]] if state.left else []
        silent = None if self.ask.progress else True
        bar = tqdm(desc=f"{self.ask.name}: tokenizing", total=wanted or None, initial=state.train,
                   unit=" tokens", unit_scale=True, disable=silent, leave=False)  # fmt: skip
        with bar, contextlib.ExitStack() as files:
            held = {name: files.enter_context(self._held(name).open("ab")) for name in state.held}
            known = files.enter_context((self.place / "seen").open("ab"))
            batch = first
            while batch and not self._enough(wanted):
                position = rows.state()
                new = self._assign(batch, seen, held, known)
                waiting.append(np.array(new, self.dtype))
                bar.update(len(new))
                while sum(map(len, waiting)) >= SHARD:
                    waiting = [np.concatenate(waiting)]
                    self._shard(waiting[0][:SHARD])
                    waiting = [waiting[0][SHARD:]]
                    self._commit(position, waiting[0], [*held.values(), known])
                batch = list(itertools.islice(texts, bpe.BATCH))
            if not batch or self.ask.held_out:
                state.ended = True
                if len(rest := np.concatenate([*waiting, np.empty(0, self.dtype)])):
                    self._shard(rest)
                self._commit(rows.state(), rest[:0], [*held.values(), known])

    def folder(self, wanted: int) -> Path:
        """The corpus of the first shards that have as many tokens as wanted, or of all."""
        state, shards, total = self.state, [], 0
        for shard in state.shards:
            if wanted and total >= wanted:
                break
            shards.append(shard)
            total += shard["count"]
        held = shards[-1]["held"] if shards and not self.ask.held_out else state.held
        counts = {"train": total, **held}
        missing = [name for name, count in counts.items() if not count and (name != "train" or wanted)]
        if missing:
            raise ValueError(f"corpus {self.ask.name} is too small: its documents leave none for {missing[0]}")
        stored = next(name for name, kind in TYPES.items() if kind == self.dtype)
        files = {"train": [Shard(self._train(k), stored, 0, s["count"]) for k, s in enumerate(shards)]}
        hashes = [f"{s['count']} {s['hash']}" for s in shards]
        for name, count in held.items():
            files[name] = [Shard(self._held(name), stored, 0, count)]
            ids = np.fromfile(self._held(name), self.dtype, count)
            hashes.append(f"{name} {count} {short_hash(ids.astype('<u4').tobytes())}")
        text = self.tokenizer.to_str()
        corpus_hash, own_hash = corpus.together(*hashes), short_hash(text.encode())
        folder = self.ask.cache / "corpora" / corpus.together(str(self.ask.vocab), corpus_hash, own_hash)
        share = total / max(1, state.train)  # of the training text; that of the held-out text is whole
        sizes = {
            key: {n: round(v * share) if n == "train" else v for n, v in getattr(state, key).items()}
            for key in ("documents", "bytes")
        }
        meta = {
            "corpus_hash": corpus_hash,
            "tokenizer_hash": own_hash,
            "counts": counts,
            **sizes,
            "token_bytes": bpe.token_bytes(self.tokenizer, self.ask.vocab, self.end).tolist(),
            "notes": [f"dropped {state.repeats:,} documents that are held out already"]
            if state.repeats
            else [],
            "files": {name: [corpus.entry(shard, folder) for shard in part] for name, part in files.items()},
        }
        corpus.write(folder, meta, text)
        return folder

    def _assign(self, batch: list[str], seen: set[bytes], held: dict[str, Any], known: Any) -> list[int]:
        """Write what is held out, and return the ids of what is to be trained on."""
        state, train = self.state, []
        for text, ids in zip(batch, bpe.each(self.tokenizer, batch, self.end), strict=True):
            digest = hashlib.sha256(text.encode()).digest()
            name = self._split(digest)
            if digest[:16] in seen:
                state.repeats += 1
                continue
            if name == "train":
                train += ids
            else:
                held[name].write(np.array(ids, self.dtype).tobytes())
                known.write(digest[:16])
                seen.add(digest[:16])
                state.held[name] += len(ids)
            state.documents[name] += 1
            state.bytes[name] += len(text.encode())
        return train

    def _split(self, digest: bytes) -> str:
        place = int.from_bytes(digest[:8]) / 2**64
        share = 0.5 if self.ask.held_out else HELD_OUT_SHARE
        name = "validation" if place < share else "test" if place < 2 * share else "train"
        if self.ask.held_out:
            return name
        return name if name == "train" or self.state.held[name] < HELD_OUT else "train"

    def _enough(self, wanted: int) -> bool:
        if self.ask.held_out:
            return min(self.state.held.values()) >= HELD_OUT
        return self.state.train >= wanted

    def _shard(self, ids: np.ndarray) -> None:
        path = self._train(len(self.state.shards))
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(ids.tobytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        found = {
            "count": len(ids),
            "hash": short_hash(ids.astype("<u4").tobytes()),
            "held": dict(self.state.held),
        }
        self.state.shards.append(found)

    def _commit(self, position: Any, left: np.ndarray, files: list[Any]) -> None:
        """Make what was done so far count."""
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        self.state.left = len(left)
        left.tofile(self._left())
        self.state.rows = position
        write_atomically(self.place / "state.json", json.dumps(vars(self.state)))
        for old in self.place.glob("left-*"):
            if old != self._left():
                old.unlink(missing_ok=True)

    def _state(self) -> State:
        try:
            found = State(**json.loads((self.place / "state.json").read_text()))
            sizes = [self._train(k).stat().st_size for k in range(len(found.shards))]
        except (OSError, ValueError, TypeError):
            return State()
        whole = [shard["count"] * dtype(self.ask.vocab).itemsize for shard in found.shards]
        return found if sizes == whole else State()

    def _truncate(self) -> None:
        """Cut off what was written after the last commit."""
        item = self.dtype.itemsize
        sizes = {self._held(name): count * item for name, count in self.state.held.items()}
        sizes[self.place / "seen"] = 16 * sum(self.state.documents[name] for name in self.state.held)
        for path, size in sizes.items():
            with path.open("ab") as file:
                file.truncate(size)

    def _seen(self) -> set[bytes]:
        data = (self.place / "seen").read_bytes()
        return {data[k : k + 16] for k in range(0, len(data), 16)}

    def _trained(self) -> Tokenizer:
        """A BPE trained on the first documents, once."""
        path = self.place / "tokenizer.json"
        if not path.is_file():
            sample = bpe.sample(self.source.open(None).texts(), self.ask.vocab)
            write_atomically(path, bpe.train(sample, self.ask.vocab).to_str())
        return tokenizer.read(path, self.ask.vocab)

    def _refuse(self, wanted: int, first: list[str]) -> None:
        """Raises ValueError where it is known now that the source or the disk cannot suffice."""
        if not first and not self.state.documents["train"]:
            raise ValueError(f"corpus {self.ask.name} is empty: there is no text in it")
        if self.source.bytes is not None and first:
            ids = sum(map(len, bpe.each(self.tokenizer, first, self.end)))
            likely = self.source.bytes * ids / max(1, sum(len(text.encode()) for text in first))
            if EPOCHS * likely * LARGEST < self.ask.tokens:
                raise ValueError(_too_small(self.ask, round(likely), "about"))
        needed = (max(0, wanted - self.state.train) + 2 * HELD_OUT) * self.dtype.itemsize
        free = shutil.disk_usage(self.place).free
        if needed > free and self.ask.tokens > SHARD:
            raise ValueError(
                f"corpus {self.ask.name} takes {needed / 1e9:.1f} GB of token ids, and {self.place}"
                f" has {free / 1e9:.1f} GB free; free space there, or set OPTIMIZER_BENCHMARK_CACHE to another"
                " folder"
            )

    def _train(self, number: int) -> Path:
        return self.place / f"train-{number:06d}.bin"

    def _held(self, name: str) -> Path:
        return self.place / f"{name}.bin"

    def _left(self) -> Path:
        return self.place / f"left-{len(self.state.shards):06d}.bin"


def _too_small(ask: Ask, tokens: int, how: str) -> str:
    return (
        f"corpus {ask.name} is too small: it has {how} {tokens:,} tokens and the task needs {ask.tokens:,},"
        f" where at most {EPOCHS} epochs are allowed; choose a larger corpus or a smaller task"
    )


@contextlib.contextmanager
def _alone(path: Path, ask: Ask) -> Iterator[None]:
    """Wait until no other process of this machine prepares the same."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for the process that prepares corpus {ask.name}.", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
