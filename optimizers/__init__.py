"""The contestants. `names()` lists them without importing a framework; `get(name)` returns one."""

import importlib
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from optimizers.base import Axis, Info, Optimizer, Param, Run, describe
from optimizers.shared.copies import rule_name
from optimizers.shared.near import near

__all__ = [
    "Axis",
    "Info",
    "Optimizer",
    "Param",
    "Run",
    "describe",
    "entrants",
    "expand",
    "get",
    "groups",
    "names",
]

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Every contestant, by file name: no underscore, no torch twin, not the contract itself."""
    stems = (path.stem for path in _HERE.glob("*.py"))
    return sorted(s for s in stems if s != "base" and not s.startswith("_") and not s.endswith("_torch"))


def entrants() -> list[str]:
    """Who enters where nobody is named: the group "study"."""
    return groups()["study"]


def groups() -> dict[str, list[str]]:
    """Names that stand for several contestants, ablations left out: those of each group, and "all" of them."""
    found: dict[str, list[str]] = {"study": []}
    everyone = [name for name in names() if not get(name).ablation_of]
    for name in everyone:
        found.setdefault(get(name).group, []).append(name)
    return {**found, "all": everyone}


def expand(words: Iterable[str]) -> list[str]:
    """Names, with those of a group in the place of its word; each once."""
    known = names()  # a name with a mark, of a copy or a schedule, is checked where it is used
    plain = re.compile(r"[\w-]+")
    found = [
        groups().get(word, [word]) if plain.fullmatch(word) and word not in known else [word] for word in words
    ]
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))


def get(name: str) -> type[Optimizer]:
    """The contestant's class; that of a copy (`adamw~2`), or under a stated schedule (`adamw+wsd`), is the
    original's. Raises ValueError that lists the names there are."""
    name = rule_name(name)
    if name not in names():
        raise ValueError(f"unknown optimizer {name!r}{near(name, names())}; choose from {', '.join(names())}")
    module = importlib.import_module(f"optimizers.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Optimizer) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ValueError(f"optimizers/{name}.py must define exactly one Optimizer, found {len(found)}")
    return found[0]
