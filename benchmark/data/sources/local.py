"""`local:PATH`: text files of the user's own."""

import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import zstandard

from benchmark.data.sources.base import FIELD, Document, Source, paragraphs

WHERE = "PATH"
SUFFIXES = tuple(kind + packed for kind in (".txt", ".jsonl") for packed in ("", ".gz", ".xz", ".zst"))
DOCUMENT = 10_000  # characters: where a .txt file is cut, at the end of a paragraph
WHOLE_FILES = 100  # from this many .txt files on none is divided between splits; with fewer that is too coarse


def source(where: str) -> Source:
    """A file or a folder of .txt and .jsonl files, plain or packed with gzip, xz or zstandard.

    A line of JSONL is a document, its text in the field `text`. A .txt file is cut into documents of about
    10,000 characters between paragraphs, which blank lines separate.
    """
    path = Path(where).expanduser().resolve()
    if not path.exists():
        raise ValueError(f"corpus local:{path}: there is no such file or folder")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.name.endswith(SUFFIXES) and file.is_file()]
    if not files:
        raise ValueError(f"corpus local:{path}: no file there ends in one of {', '.join(SUFFIXES)}")
    stats = [(str(file), file.stat()) for file in files]
    stamp = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    return Source(stamp, lambda: _documents(files))


def _documents(files: list[Path]) -> Iterator[Document]:
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
        yield Document(list(paragraphs(io.StringIO(text))))


def _txt(lines: TextIO, group: str) -> Iterator[Document]:
    document: list[str] = []
    size = 0
    for paragraph in paragraphs(lines):
        document.append(paragraph)
        size += len(paragraph)
        if size >= DOCUMENT:
            yield Document(document, group)
            document, size = [], 0
    yield Document(document, group)
