"""Where text comes from, one file per corpus. Adding one is adding a file here; `find` looks at the files.

A file is named after its corpus. It has `source(where) -> Source` and `WHERE`, which says how the part
after the colon is written: `PATH` for a file or folder, empty where nothing follows. base.py has the types.
"""

import importlib
from pathlib import Path
from types import ModuleType

from benchmark.data.sources.base import Source
from optimizers.shared.near import near

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Every corpus or kind of corpus, by file name."""
    stems = (path.stem for path in _HERE.glob("*.py"))
    return sorted(stem for stem in stems if stem != "base" and not stem.startswith("_"))


def usage() -> str:
    """How every corpus is written: `apidocs, gcide, ..., local:PATH`."""
    return ", ".join(f"{kind}:{where}" if (where := _module(kind).WHERE) else kind for kind in names())


def find(name: str) -> Source:
    """The source of this name. Raises ValueError that lists the names, or says what is missing."""
    kind, colon, where = name.partition(":")
    if kind not in names() or bool(colon) != bool(where) or bool(where) != bool(_module(kind).WHERE):
        raise ValueError(f"unknown corpus {name!r}{near(kind, names())}; choose from {usage()}")
    return _module(kind).source(where)


def absolute(name: str) -> str:
    """The name with its path absolute, for processes that run in other folders; any other name as it is."""
    kind, _, where = name.partition(":")
    if where and kind in names() and _module(kind).WHERE == "PATH":
        return f"{kind}:{Path(where).expanduser().resolve()}"
    return name


def _module(kind: str) -> ModuleType:
    module = importlib.import_module(f"{__name__}.{kind}")
    if not isinstance(getattr(module, "WHERE", None), str) or not callable(getattr(module, "source", None)):
        raise ValueError(f"benchmark/data/sources/{kind}.py must define WHERE, a string, and source(where)")
    return module
