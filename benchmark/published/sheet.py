"""A table of text, however it was saved: encoding, separator, quotes, comments and blank lines.

Nothing is understood here; columns.py says what the columns are.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.published.numbers import shown

LARGEST = 500_000_000  # bytes; a table of losses beyond it is something else
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 20  # lines that tell the separator
BOMS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHERS = {  # how a file begins that is no text, or another kind of it
    b"\x1f\x8b": "compressed by gzip", b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd", b"PK\x03\x04": "an Excel workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"PAR1": "a parquet file", b"SQLite format": "a database",
    b"%PDF": "a PDF", b"{": "JSON", b"[{": "JSON", b"<": "HTML or XML",
}  # fmt: skip
_NAMED = re.compile(r'"?sep=([^\r\n])"?[ ]*(?:\r\n?|\n|$)', re.IGNORECASE)
_RULE = re.compile(":?-*:?")


@dataclass(frozen=True)
class Sheet:
    """A header and its rows. rows: the line of the file and the fields, as many as the header has, stripped."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    separator: str
    encoding: str


def content(path: Path) -> bytes:
    """The file's bytes. Raises ValueError where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path}: larger than {LARGEST // 10**6} MB: this is no table of losses")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def read(path: Path, raw: bytes | None = None) -> Sheet:
    """The table in a file. Raises ValueError that names the file, the line and what is wrong."""
    raw = content(path) if raw is None else raw
    kind = next((k for start, k in OTHERS.items() if raw.lstrip().startswith(start)), "")
    if kind:
        raise ValueError(f"{path}: {kind}, not a CSV; save the table in it as UTF-8 text with commas")
    text, encoding = _text(path, raw)
    if named := _NAMED.match(text):  # as Excel writes it
        separator, text = named[1], text[named.end() :]
        text = "\n" + text.removeprefix("\n")  # the line still counts
    else:
        separator = _separator(text)
    found = list(_records(path, text, separator))
    if not found:
        raise ValueError(f"{path}: not a CSV (it is empty); its first line names the columns")
    (_, header), *rest = found
    header = [" ".join(name.split()) for name in header]
    while header and not header[-1]:
        header.pop()
    below = rest[0][1] if rest else []
    if len(header) == 1 and (header[0].count(" ") > 1 or set(SEPARATORS) & set("".join(below)) or below[1:]):
        raise ValueError(
            f"{path}: no table: the first line {shown(header[0])} has no comma, semicolon, tab or bar; it names"
            " the columns"
        )
    return Sheet(header, [_fit(path, row, header, separator) for row in rest], separator, encoding)


def _text(path: Path, raw: bytes) -> tuple[str, str]:
    """The text and its encoding: by its mark, by the zeros of UTF-16 without one, else UTF-8."""
    marked = next((name for bom, name in BOMS if raw.startswith(bom)), None)
    zeros = raw[:2000:2].count(0), raw[1:2000:2].count(0)
    unmarked = (
        "utf-16-le" if zeros[1] > 4 * (zeros[0] + 1) else "utf-16-be" if zeros[0] > 4 * (zeros[1] + 1) else ""
    )
    for encoding in (marked or unmarked, "utf-8", "" if b"\0" in raw else "cp1252"):
        try:
            text = raw.decode(encoding) if encoding else ""
        except UnicodeDecodeError:
            continue
        if encoding and "\0" not in text:
            return text, encoding
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a CSV ({error}); save it as UTF-8 text") from None
    raise ValueError(f"{path}: not a CSV (it has zero bytes); save it as UTF-8 text")


def _separator(text: str) -> str:
    """The separator that divides the header into most columns; of equals, the one that the rows keep to."""
    first = [x for x in text[:200_000].splitlines() if x.strip() and not x.lstrip().startswith("#")][:SAMPLE]
    scores = []
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(first, delimiter=separator) if row]
        except csv.Error:  # a field beyond the reader's limit, which is said with its line when all is read
            widths = []
        alike = sum(w == widths[0] for w in widths) / len(widths) if widths else 0
        scores.append((widths[0] if widths else 0, alike, -len(scores), separator))
    return max(scores)[3]


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line and stripped fields of what is neither blank nor a comment."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            ruled = all(_RULE.fullmatch(cell) for cell in cells)  # below a header in Markdown
            if any(cells) and not cells[0].startswith("#") and not ruled:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV (line {reader.line_num}: {error})") from None


def _fit(path: Path, row: tuple[int, list[str]], header: list[str], separator: str) -> tuple[int, list[str]]:
    line, cells = row
    while len(cells) > len(header) and not cells[-1]:
        cells.pop()
    if len(cells) != len(header):
        hint = "; a comma inside a number needs quotes around it" if separator == "," else ""
        hint = hint if len(cells) > len(header) else ""
        raise ValueError(
            f"{path}: line {line} has {len(cells)} cells, but the header names {len(header)}{hint}"
            f" (it begins with {shown(cells[0])})"
        )
    return line, cells
