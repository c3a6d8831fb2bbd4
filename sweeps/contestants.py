"""Names and files to contestants, and back to the classes that workers build: the one place that loads
optimizers for a sweep."""

import functools
from collections.abc import Sequence
from pathlib import Path

import optimizers
from optimizers import _user
from optimizers._user import backends
from optimizers.base import Optimizer
from sweeps.sweep import Contestant, contestant_of


def contestants(
    names: Sequence[str], files: Sequence[Path] = (), backend: str = "jax"
) -> tuple[Contestant, ...]:
    """Registered optimizers by name and users' own by file, in this order, each once.

    Raises ValueError for an unknown name, a file that is not an optimizer or not one for this backend, or a
    name that stands twice.
    """
    found = []
    for name in dict.fromkeys(names):
        cls = optimizers.get(name)
        found.append(contestant_of(cls, name, f"{name}@{cls.info.version}"))
    for file in files:
        cls, rule = _load(str(file.resolve()))
        if file.stem in {c.name for c in found}:
            raise ValueError(
                f"{file}: an optimizer named {file.stem!r} is in the sweep already; rename the file"
            )
        if backend not in backends(cls):
            raise ValueError(f"{file}: has no {backend} build; use --backend {backends(cls)[0]}")
        found.append(contestant_of(cls, file.stem, rule, str(file.resolve())))
    return tuple(found)


def optimizer_class(name: str, source: str) -> type[Optimizer]:
    """The class of a contestant, from its file where it has one."""
    return _load(source)[0] if source else optimizers.get(name)


@functools.cache
def _load(source: str) -> tuple[type[Optimizer], str]:
    path = Path(source)
    return _user.load(path), _user.rule(path)
