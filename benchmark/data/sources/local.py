"""`local:PATH`: text of the user's own, a file or a folder of files; `local:LABEL=PATH` gives it a name."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from benchmark.data import files, folders, rows
from benchmark.data.folders import LeftOut
from benchmark.data.sources.base import Document, Source, paragraphs

WHERE = "PATH"
DOCUMENT = 10_000  # characters: where a file of prose is cut, at the end of a paragraph
WHOLE_FILES = 100  # from this many such files on none is divided between splits; with fewer that is too coarse


def source(where: str) -> Source:
    """A file of text, or a folder that is searched to the bottom (folders.py) for files of text (files.py).

    A row of JSON, a table or parquet is a document (rows.py). Prose is cut into documents of about 10,000
    characters between paragraphs, which blank lines separate. What of a folder is no text is left out and
    listed in the source's notes; text that is damaged is an error, as is a file that is named and holds none.
    """
    path = Path(where).absolute()
    shown = files.printable(path)
    # Path.exists raises where a path is too long or leads through closed folders
    if not os.path.exists(path):  # noqa: PTH110
        raise ValueError(f"corpus local:{shown}: there is no such file or folder")
    left = LeftOut(path)
    if path.is_dir():
        found = folders.text_files(path, left)
    elif path.is_file():
        found = [path]
    else:
        raise ValueError(f"corpus local:{shown}: it is neither a file nor a folder")
    if not found:
        reasons = "; ".join(left.lines()) or "it is empty"
        raise ValueError(f"corpus local:{shown}: no file there ends in one of {files.usage()} ({reasons})")
    return Source(
        json.dumps([_mark(file, path) for file in found]), lambda: _documents(found, left), left.lines
    )


def _mark(file: Path, root: Path) -> tuple[str, ...]:
    """Changes with a file's content, and not when a folder above it is renamed. The inode's own time is in it
    because no program can set that back."""
    stat = file.stat()
    state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return (os.path.relpath(file, root), *map(str, state))


def _documents(found: list[Path], left: LeftOut) -> Iterator[Document]:
    whole = sum(files.kind(file.name) == "prose" for file in found) >= WHOLE_FILES
    read, named = 0, found == [left.root]
    for file in found:
        try:
            kind = files.kind(file.name) or "prose"
            documents = _read(file, left)
            yield from _in_one_split(list(documents)) if kind == "prose" and whole else documents
            read += 1
        except files.NotText as error:
            if named:
                raise ValueError(f"{files.printable(file)} {error}") from None
            left.add(str(error), file)
    if not read:
        raise ValueError(f"corpus local:{files.printable(left.root)} has no text: {'; '.join(left.lines())}")


def documents_of(file: Path, left: LeftOut) -> Iterator[Document]:
    """The documents of one file of a folder; of one that is no text none, which `left` is told."""
    try:
        yield from _read(file, left)
    except files.NotText as error:
        left.add(str(error), file)


def _read(file: Path, left: LeftOut) -> Iterator[Document]:
    """Raises files.NotText where it is no text, ValueError where it is damaged."""
    kind = files.kind(file.name) or "prose"  # a file that is named itself is what the user says it is
    try:
        if kind == "prose":
            with files.text(file) as lines:
                yield from _prose(lines)
        else:
            for text in rows.texts(file, kind, left):
                yield Document(list(paragraphs(io.StringIO(text))))
    except files.DAMAGED as error:
        raise ValueError(f"{files.printable(file)} cannot be read ({error})") from None


def _prose(lines: TextIO) -> Iterator[Document]:
    document: list[str] = []
    size = 0
    for paragraph in paragraphs(lines):
        document.append(paragraph)
        size += len(paragraph)
        if size >= DOCUMENT:
            yield Document(document)
            document, size = [], 0
    yield Document(document)


def _in_one_split(documents: list[Document]) -> list[Document]:
    """A file's documents as a group, which is named after its text: where the file lies does not count."""
    text = hashlib.sha256("".join(document.text for document in documents).encode()).hexdigest()
    return [Document(document.paragraphs, text) for document in documents]
