"""What a source of text is, and what several of them need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TextIO

from benchmark.extras import install

FIELD = "text"  # of a line of JSONL and of a row from a hub
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
    the text from its start and raises ValueError where it cannot."""

    stamp: str
    documents: Callable[[], Iterator[Document]]


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
