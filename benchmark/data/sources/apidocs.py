"""`apidocs`: what two packages say about every operation and type of some 900 APIs; an API is a group."""

import gzip
import html
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from benchmark.data.sources.base import Document, Source, versions

WHERE = ""


_BLOCK = re.compile(r"</?(?:p|li|ul|ol|dl|dt|dd|br|note|important|fullname|h\d|pre)\b[^>]*>")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")


def source(where: str) -> Source:
    """The descriptions; it takes no argument. Raises ValueError if a package is not installed."""
    return Source(versions("apidocs", "botocore", "google-api-python-client", extra="apidocs"), _documents)


def _documents() -> Iterator[Document]:
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
