"""Texts in rows: lines and arrays of JSON, tables, parquet; the text stands in a field that is found."""

import contextlib
import csv
import json
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

from benchmark.data.files import NotText, printable, text
from benchmark.data.folders import LeftOut
from benchmark.data.sources.base import FIELDS, text_field

BATCH = 1024  # rows of parquet read at once


def texts(file: Path, kind: str, left: LeftOut) -> Iterator[str]:
    """The texts of a file's rows. A row without text is counted and left out.

    Raises NotText where its first row has no field that FIELDS names, ValueError with the place of a row that
    is damaged.
    """
    if kind == "parquet":
        rows = _parquet(file)
    else:
        rows = {"lines": _lines, "json": _json, "table": _table}[kind](text(file), file)
    with contextlib.closing(rows):  # at once, where a row is refused
        yield from _texts(rows, file, left)


Rows = Generator[tuple[str, Any], None, None]  # of the row's place and the row


def _texts(rows: Rows, file: Path, left: LeftOut) -> Iterator[str]:
    field = first = None
    for place, row in rows:
        first = first or place
        if first == place and not isinstance(row, dict | str):
            raise NotText(f"{place}: not a JSON object with a string {FIELDS[0]!r}")
        if isinstance(row, dict) and field is None:
            field = text_field(row)
            if field is None:
                known = " or ".join(map(repr, FIELDS))
                raise NotText(f"has no field {known} in its {place}; it has {_names(row)}")
            left.found(field, file)
        found = row.get(field) if isinstance(row, dict) and field else row
        if found is None or found == "":
            left.rows_without_text += 1
            continue
        if not isinstance(found, str) or not _encodes(found):
            raise _damaged(file, place, field)
        yield found


def _lines(lines: TextIO, file: Path) -> Rows:
    with lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except (ValueError, RecursionError):
                    raise _damaged(file, f"line {number}", None) from None


def _json(lines: TextIO, file: Path) -> Rows:
    """An array of rows, one row, or lines of JSON under another name."""
    with lines:
        content = lines.read()
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        try:
            json.loads(content.lstrip().partition("\n")[0])
        except (ValueError, RecursionError):
            raise NotText("is not JSON that can be read") from None
        yield from _lines(text(file), file)
        return
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield f"row {number}", row


def _table(lines: TextIO, file: Path) -> Rows:
    csv.field_size_limit(sys.maxsize)
    with lines:
        header = lines.readline()
        names = next(csv.reader([header], delimiter=(separator := max(",;\t", key=header.count))), [])
        try:
            for row in csv.DictReader(lines, names, delimiter=separator):
                yield "header", {key: value for key, value in row.items() if key is not None}
        except csv.Error as error:
            raise ValueError(f"{printable(file)} cannot be read ({error})") from None


def _parquet(file: Path) -> Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            f"{printable(file)}: parquet needs pyarrow, which this environment has lost; `make setup` after"
            " `make clean` puts it back"
        ) from None
    try:
        with parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            row = {
                field.name: ""
                for field in schema
                if str(field.type) in ("string", "large_string", "string_view")
            }
            field = text_field(row)
            if field is None:
                yield "columns of strings", row or dict.fromkeys(schema.names)
                return
            for batch in table.iter_batches(BATCH, columns=[field]):
                for value in batch.column(0).to_pylist():
                    yield "a row", {field: value}
    except pyarrow.ArrowException as error:
        raise ValueError(f"{printable(file)} cannot be read ({' '.join(str(error).split())})") from None


def _names(row: dict[str, Any]) -> str:
    return printable(", ".join(map(str, row)))[:200] or "none"


def _encodes(found: str) -> bool:
    """Whether it is text: half of a surrogate pair is none."""
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True


def _damaged(file: Path, place: str, field: str | None) -> ValueError:
    return ValueError(f"{printable(file)}, {place}: not a JSON object with a string {field or FIELDS[0]!r}")
