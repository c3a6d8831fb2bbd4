"""Token ids that lie in files of any size, seen as one: memory-mapped, read by slices, positions in 64 bits.

Nothing in such a file is executed or unpickled: its bytes are numbers, whatever they were meant to be.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

TYPES = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
OPEN = 256  # files mapped at once
ADVISED = hasattr(mmap, "MADV_RANDOM")


@dataclass(frozen=True)
class Shard:
    """Consecutive tokens of one file: `count` of a type of TYPES, the first at byte `offset`."""

    path: Path
    type: str
    offset: int
    count: int

    def cut(self, start: int, stop: int) -> "Shard":
        """The part of it from one of its own tokens up to another."""
        return Shard(self.path, self.type, self.offset + start * TYPES[self.type].itemsize, stop - start)


class Tokens:
    """Several shards one after the other, as a 1-D array of token ids that is read by slices, in one thread."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shard for shard in shards if shard.count)
        self.ends = np.cumsum([shard.count for shard in self.shards], dtype=np.int64)
        self.dtype = np.result_type(*({TYPES[shard.type] for shard in shards} or {TYPES["uint16"]}))
        self._maps: dict[Path, mmap.mmap] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, part: slice) -> np.ndarray:
        """A copy of consecutive tokens, [stop - start]."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"tokens are read in order, not with a step of {step}")
        out = np.empty(max(0, stop - start), self.dtype)
        index, filled = int(np.searchsorted(self.ends, start, side="right")), 0
        while filled < len(out):
            shard = self.shards[index]
            first = start + filled - (int(self.ends[index]) - shard.count)
            size = min(shard.count - first, len(out) - filled)
            piece = shard.cut(first, first + size)
            out[filled : filled + size] = self._read(piece)
            filled += size
            index += 1
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All tokens in order, `size` at a time, none of them kept mapped."""
        for start in range(0, len(self), size):
            yield self[start : start + size]
            self.release()

    def release(self) -> None:
        """Let go of what was mapped: its pages else count as memory of this process, however large the file."""
        self._maps.clear()

    def _read(self, piece: Shard) -> np.ndarray:
        """The ids of a piece, in the file's pages."""
        mapped = self._maps.get(piece.path)
        if mapped is None:
            if len(self._maps) >= OPEN:
                self._maps.clear()
            with piece.path.open("rb") as file:
                mapped = self._maps[piece.path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if ADVISED:  # else a system may read megabytes around each place
                mapped.madvise(mmap.MADV_RANDOM)
        if ADVISED:  # all of the piece, in one go
            begin = piece.offset // mmap.PAGESIZE * mmap.PAGESIZE
            end = piece.offset + piece.count * TYPES[piece.type].itemsize
            mapped.madvise(mmap.MADV_WILLNEED, begin, end - begin)
        return np.frombuffer(mapped, TYPES[piece.type], piece.count, piece.offset)


class Domains(Tokens):
    """A split for evaluation that has several domains: all of it, one after the other, and each by name."""

    def __init__(self, domains: Mapping[str, Tokens]) -> None:
        super().__init__([shard for tokens in domains.values() for shard in tokens.shards])
        self.domains = dict(domains)


Ids: TypeAlias = np.ndarray | Tokens
"""A split's token ids: what `len` and slices of step 1 work on."""
