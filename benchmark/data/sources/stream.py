"""`stream:PATH`: a folder of text as a hub keeps it, too large to hold, such as a copy of a data set of one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.data import corpus, files, folders, streamed
from benchmark.data.folders import LeftOut
from benchmark.data.sources import local
from benchmark.data.sources.base import Source

WHERE = "PATH"
PACKED = 20  # times its size that a packed file or one of parquet may hold at most, generously


def source(where: str) -> Source:
    """What `local:` reads, one file after the other in the order of their names, and never whole.

    Raises ValueError where there is none."""
    path = Path(where).absolute()
    shown = f"corpus stream:{files.printable(path)}"
    if not os.path.isdir(path):  # noqa: PTH112 (which raises where a path is too long)
        raise ValueError(f"{shown}: there is no such folder")
    left = LeftOut(path)
    found = folders.text_files(path, left)
    if not found:
        reasons = "; ".join(left.lines()) or "it is empty"
        raise ValueError(f"{shown}: no file there ends in one of {files.usage()} ({reasons})")
    marks = [(str(file.relative_to(path)), corpus.mark(file)) for file in found]
    sizes = (file.stat().st_size * (1 if _plain(file) else PACKED) for file in found)
    stream = streamed.Source(json.dumps(marks), lambda state: _Rows(found, left, state), sum(sizes))
    return Source("", lambda: iter(()), left.lines, lambda ask: streamed.prepare(stream, ask))


def _plain(file: Path) -> bool:
    return file.suffix.casefold() not in files.PACKINGS and files.kind(file.name) != "parquet"


class _Rows:
    """The documents of several files; the state is the file and how many of its documents were read."""

    def __init__(self, found: list[Path], left: LeftOut, state: Any) -> None:
        self.found, self.left = found, left
        self.file, self.row = state or (0, 0)

    def texts(self) -> Iterator[str]:
        while self.file < len(self.found):
            skip = self.row
            for number, document in enumerate(local.documents_of(self.found[self.file], self.left)):
                if number >= skip and (text := document.text).strip():
                    self.row = number + 1
                    yield text
            self.file, self.row = self.file + 1, 0

    def state(self) -> list[int]:
        return [self.file, self.row]
