"""The sources that a user brings: `local:PATH`, text files; `hub:NAME`, a data set streamed from a hub."""

import gzip
import importlib.util
import io
import json
import lzma
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import zstandard

from benchmark.data.sources import Document, Source

FIELD = "text"  # of a line of JSONL and of a row from a hub
SUFFIXES = tuple(kind + packed for kind in (".txt", ".jsonl") for packed in ("", ".gz", ".xz", ".zst"))
PARAGRAPH = 8_000  # characters: a longer one is cut
DOCUMENT = 10_000  # characters: where a .txt file is cut, at the end of a paragraph
WHOLE_FILES = 100  # with so many .txt files none is divided between splits; with fewer that would be too coarse
HUB_MEGABYTES = 1000


def local(path: Path) -> Source:
    """A file or a folder of .txt and .jsonl files, plain or packed with gzip, xz or zstandard.

    A line of JSONL is a document, its text in the field `text`. A .txt file is cut into documents of about
    10,000 characters between paragraphs, which blank lines separate.
    """
    path = path.expanduser().resolve()
    if not path.exists():
        raise ValueError(f"corpus local:{path}: there is no such file or folder")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.name.endswith(SUFFIXES) and file.is_file()]
    if not files:
        raise ValueError(f"corpus local:{path}: no file there ends in one of {', '.join(SUFFIXES)}")
    stats = [(str(file), file.stat()) for file in files]
    stamp = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    return Source(stamp, lambda: _local(files))


def _local(files: list[Path]) -> Iterator[Document]:
    whole = sum(".txt" in file.suffixes for file in files) >= WHOLE_FILES
    for file in files:
        try:
            with _opened(file) as lines:
                if ".jsonl" in file.suffixes:
                    yield from _jsonl(lines, file)
                else:
                    yield from _txt(lines, str(file) if whole else "")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 text ({error.reason}); convert it") from None
        except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
            raise ValueError(f"{file} cannot be read ({error})") from None


def _opened(file: Path) -> TextIO:
    openers: dict[str, Callable[[Path], Any]] = {
        ".gz": gzip.open,
        ".xz": lzma.open,
        ".zst": lambda path: io.BufferedReader(_Zstandard(path)),
    }
    binary = openers.get(file.suffix, lambda path: path.open("rb"))(file)
    return io.TextIOWrapper(binary, encoding="utf-8-sig")


class _Zstandard(io.RawIOBase):
    """All frames of a file; the library's own reader stops after the first and takes half a frame for whole."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._file.read(1 << 20)
            if not self._packed and self._frame:
                raise EOFError("the file ends before the end of its data")
            if not self._packed:
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._plain = self._frame.decompress(self._packed)
            self._packed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size


def _jsonl(lines: TextIO, file: Path) -> Iterator[Document]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[FIELD]
            text.encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{file}, line {number}: not a JSON object with a string {FIELD!r}") from None
        yield Document(list(_paragraphs(io.StringIO(text))))


def _txt(lines: TextIO, group: str) -> Iterator[Document]:
    document: list[str] = []
    size = 0
    for paragraph in _paragraphs(lines):
        document.append(paragraph)
        size += len(paragraph)
        if size >= DOCUMENT:
            yield Document(document, group)
            document, size = [], 0
    yield Document(document, group)


def _paragraphs(lines: TextIO) -> Iterator[str]:
    """Lines up to and with the blank ones after them."""
    paragraph = ""
    ended = False
    while line := lines.readline(PARAGRAPH):
        blank = not line.strip()
        if (ended and not blank) or len(paragraph) + len(line) > PARAGRAPH:
            yield paragraph
            paragraph = ""
        paragraph += line
        ended = blank
    yield paragraph


def hub(spec: str) -> Source:
    """A data set from a hub, `NAME[:CONFIG/SPLIT][@MEGABYTES]`, its text in the column `text`.

    The first megabytes of text are streamed (1000 unless said). What is cached stays as it is when the data
    set changes.
    """
    match = re.fullmatch(r"(?P<name>[^:@]+)(:(?P<config>[^:/@]*)(/(?P<split>[^/@]+))?)?(@(?P<size>\d+))?", spec)
    if not match:
        raise ValueError(f"corpus hub:{spec}: write hub:NAME[:CONFIG/SPLIT][@MEGABYTES]")
    if not importlib.util.find_spec("datasets"):
        raise ValueError(
            f"corpus hub:{spec} needs the package datasets: pip install 'optimizer-benchmark[hub]'"
        )
    room = int(match["size"] or HUB_MEGABYTES) * 1_000_000
    return Source(spec, lambda: _hub(match["name"], match["config"] or None, match["split"] or "train", room))


def _hub(name: str, config: str | None, split: str, room: int) -> Iterator[Document]:
    import datasets  # type: ignore[import-not-found]  # an extra

    try:
        for row in datasets.load_dataset(name, config, split=split, streaming=True):
            if not isinstance(row.get(FIELD), str):
                raise ValueError(f"no text in a column {FIELD!r}; there are {', '.join(row)}")
            yield Document(list(_paragraphs(io.StringIO(row[FIELD]))))
            room -= len(row[FIELD].encode())
            if room <= 0:
                return
    except (OSError, ValueError) as error:
        raise ValueError(f"corpus hub:{name} cannot be streamed: {' '.join(str(error).split())}") from None
