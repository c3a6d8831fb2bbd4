"""The user's text files: which kinds there are, how they are packed and encoded, and how a path is printed."""

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import zstandard

Kind = Literal["prose", "lines", "json", "table", "parquet"]
KINDS: dict[str, Kind] = {
    ".txt": "prose", ".text": "prose", ".md": "prose", ".markdown": "prose", ".rst": "prose",
    ".jsonl": "lines", ".ndjson": "lines", ".json": "json", ".csv": "table", ".tsv": "table",
    ".parquet": "parquet",
}  # fmt: skip
PACKINGS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
    ".zst": lambda path: io.BufferedReader(_Zstandard(path)),
    ".zstd": lambda path: io.BufferedReader(_Zstandard(path)),
}
DAMAGED = (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError)  # what reading a broken file raises
# longest first: the mark of UTF-32 begins with that of UTF-16
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
CHUNK = 1 << 20  # characters


class NotText(ValueError):
    """A file that holds no text that can be read; the reason, without the file's name."""


def kind(name: str) -> Kind | None:
    """What a file is by its name, packed or not, in whatever case; None if that is no kind of text."""
    return KINDS.get(Path(_unpacked(name)).suffix.casefold())


def usage() -> str:
    """The suffixes, in words."""
    return f"{', '.join(KINDS)}, alone or packed ({', '.join(PACKINGS)})"


def text(file: Path) -> TextIO:
    """A file opened as text, whole: unpacked, decoded by its byte order mark, as UTF-8 without one.

    Reads it through once before that, so that no half of a file counts. Raises NotText, or one of DAMAGED.
    """
    encoding = "utf-8"
    with _binary(file) as data:
        first = data.read(4)
    for mark, name in MARKS.items():
        if first.startswith(mark):
            encoding = name
            break
    try:
        with io.TextIOWrapper(_binary(file), encoding=encoding) as reader:
            while chunk := reader.read(CHUNK):
                if "\0" in chunk:
                    raise NotText("holds NUL bytes: no text, or UTF-16 without a byte order mark")
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise NotText(f"is not {name} text ({error.reason}); convert it") from None
    return io.TextIOWrapper(_binary(file), encoding=encoding)


def printable(path: Path | str) -> str:
    """A path on one line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))


def _unpacked(name: str) -> str:
    suffix = Path(name).suffix
    return name[: -len(suffix)] if suffix.casefold() in PACKINGS else name


def _binary(file: Path) -> Any:
    return PACKINGS.get(file.suffix.casefold(), lambda path: path.open("rb"))(file)


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
