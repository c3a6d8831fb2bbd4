"""What a source of text is, and what several of them need."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from benchmark.data.ask import Ask
from benchmark.extras import install

FIELDS = ("text", "content", "raw_content", "body", "document")  # what the text of a row may be called
PARAGRAPH = 8_000  # characters: a longer one is cut


@dataclass(frozen=True)
class Document:
    """One text, as paragraphs whose concatenation it is.

    Documents of one `group` (an API, a book) go to the same split; without one a document goes by itself.
    """

    paragraphs: list[str]
    group: str = ""

    @property
    def text(self) -> str:
        return "".join(self.paragraphs)


@dataclass(frozen=True)
class Source:
    """A corpus's text. `stamp` is cheap to get and changes whenever the text may have; `documents()` reads
    the text from its start and raises ValueError where it cannot; `notes()` says in lines for people, once it
    was read, what of it was left out and why.

    prepare: of a source that is too large for this, or has no text: makes the corpus in the cache, or finds it
    there, and returns its folder (corpus.py)."""

    stamp: str
    documents: Callable[[], Iterator[Document]]
    notes: Callable[[], list[str]] = list
    prepare: Callable[[Ask], Path] | None = None


def text_field(row: Mapping[str, Any]) -> str | None:
    """The field of a row that holds its text: the first of FIELDS that is a string, else that is there."""
    strings = (name for name in FIELDS if isinstance(row.get(name), str))
    return next(strings, None) or next((name for name in FIELDS if name in row), None)


def versions(corpus: str, *packages: str, extra: str = "") -> str:
    """The installed versions of the packages that hold a corpus, as its stamp. `extra`: the optional dependency
    of this project that brings them. Raises ValueError that names a missing package and how to install it."""
    try:
        return " ".join(f"{package}=={metadata.version(package)}" for package in packages)
    except metadata.PackageNotFoundError as error:
        raise ValueError(f"corpus {corpus} needs the package {error.name}: {install(extra)}") from None


def paragraphs(lines: TextIO) -> Iterator[str]:
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
