"""Where text comes from, one file per corpus. Adding one is adding a file here; `find` looks at the files.

A file is named after its corpus. It has `source(where) -> Source` and `WHERE`, which says how the part
after the colon is written: `PATH` for a file or folder, empty where nothing follows. base.py has the types.
"""

import functools
import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit
from urllib.request import url2pathname

from benchmark.data.sources.base import Source
from optimizers.shared.near import near

PATH = "PATH"  # the WHERE of a source that reads the user's own files
LONGEST_LABEL = 60
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Name:
    """A corpus's name as it was typed, `KIND`, `KIND:WHERE` or, of the user's own files, `KIND:[LABEL=]PATH`.

    where: what follows the colon; a path is absolute. label: what a path is called, "" for any other name.
    """

    kind: str
    where: str = ""
    label: str = ""

    @property
    def spelled(self) -> str:
        """What `parse` reads back, in whatever folder."""
        where = f"{self.label}={self.where}" if self.label else self.where
        return f"{self.kind}:{where}" if where else self.kind

    @property
    def shown(self) -> str:
        """What tables, manifests and records call it: without the folders that a path leads through."""
        where = self.label or self.where
        return f"{self.kind}:{where}" if where else self.kind


def names() -> list[str]:
    """Every corpus or kind of corpus, by file name."""
    stems = (path.stem for path in _HERE.glob("*.py"))
    return sorted(stem for stem in stems if stem != "base" and not stem.startswith("_"))


def usage() -> str:
    """How every corpus is written: `apidocs, gcide, ..., local:PATH`."""
    return ", ".join(f"{kind}:{where}" if (where := _module(kind).WHERE) else kind for kind in names())


def parse(name: str) -> Name:
    """Read a corpus's name; a path may have `~` and `file://`. Raises ValueError that lists the names."""
    kind, colon, where = name.partition(":")
    if kind not in names() or bool(colon) != bool(where) or bool(where) != bool(_module(kind).WHERE):
        hint = f" (for a file or folder of yours: local:{name})" if os.path.exists(name) else ""  # noqa: PTH110
        raise ValueError(f"unknown corpus {name!r}{near(kind, names())}; choose from {usage()}{hint}")
    if _module(kind).WHERE != PATH:
        return Name(kind, where)
    label, equals, path = where.partition("=")
    labelled = bool(equals and path and re.fullmatch(r"[\w.+-]+", label))
    if not labelled or os.path.lexists(where):  # `lang=en` may be a folder of that name
        label, path = "", where
    if path.startswith("file://"):
        path = url2pathname(urlsplit(path).path)
    try:
        # not resolved: a link keeps the name that the user gave it
        path = os.path.abspath(Path(path).expanduser())  # noqa: PTH100
    except RuntimeError:
        raise ValueError(f"corpus {name}: whose home folder ~ is cannot be found; write the path out") from None
    return Name(kind, path, _label(label or path))


def where_of(kind: str) -> str:
    """How the part after the colon is written of a kind of corpus."""
    return _module(kind).WHERE


def find(name: str) -> Source:
    """The source of this name. Raises ValueError that lists the names, or says what is missing."""
    parsed = parse(name)
    return _module(parsed.kind).source(parsed.where)


def identity(name: str) -> str:
    """What a trial's identity has of a corpus's name: of the user's own files nothing but their kind, because
    the same text under another path is the same, and its hash tells it apart."""
    kind, _, where = name.partition(":")
    return kind if where and _is_path(kind) else name


def shown(name: str) -> str:
    """A name from a record or a manifest without the folders of a path, which records once held."""
    kind, _, where = name.partition(":")
    return Name(kind, where, _label(where)).shown if where and _is_path(kind) else name


def to_type(name: str) -> str:
    """What to type for a corpus that a manifest names: of the user's own files where the path goes."""
    kind, _, where = name.partition(":")
    return f"{kind}:path/to/{_label(where)}" if where and _is_path(kind) else name


def _label(path: str) -> str:
    """What a path is called: its last component, as one word that can be typed and printed anywhere."""
    last = Path(path).name
    return re.sub(r"[^\w.+-]+", "-", last)[:LONGEST_LABEL].strip("-") or "text"


@functools.cache
def _is_path(kind: str) -> bool:
    return kind in names() and _module(kind).WHERE == PATH


def _module(kind: str) -> ModuleType:
    module = importlib.import_module(f"{__name__}.{kind}")
    if not isinstance(getattr(module, "WHERE", None), str) or not callable(getattr(module, "source", None)):
        raise ValueError(f"benchmark/data/sources/{kind}.py must define WHERE, a string, and source(where)")
    return module
