"""Names and files to contestants, and back to the classes that workers build: the one place that loads
optimizers for a sweep."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import optimizers
from benchmark.kit import admission
from optimizers.base import Optimizer
from optimizers.shared.copies import copy_name, copy_title, split
from optimizers.user import files
from optimizers.user.files import Backend
from sweeps.search.sweep import Contestant, contestant_of


def contestants(
    names: Sequence[str], files: Sequence[Path] = (), backend: Backend = "jax"
) -> tuple[Contestant, ...]:
    """Registered optimizers by name and users' own by file, in this order, each once. `adamw~2` is a copy.

    Raises ValueError for an unknown name, a file that is not admitted (benchmark/kit/admission.py), or a name
    that stands twice.
    """
    found = []
    for name in dict.fromkeys(names):
        cls, (original, number) = optimizers.get(name), split(name)
        first = contestant_of(cls, original, f"{original}@{cls.info.version}")
        found.append(copy_of(first, number))
    for file in files:
        cls, rule = _load(str(file.resolve()))
        if file.stem in {c.name for c in found}:
            raise ValueError(
                f"{file}: an optimizer named {file.stem!r} is in the sweep already; rename the file"
            )
        admission.admit_file(file, backend)
        found.append(contestant_of(cls, file.stem, rule, str(file.resolve())))
    return tuple(found)


def copy_of(contestant: Contestant, number: int) -> Contestant:
    """The n-th copy: the same rule from the same file under another name, so that it is tuned anew."""
    name = copy_name(contestant.name, number)
    info = dataclasses.replace(contestant.info, title=copy_title(contestant.info.title, name))
    return dataclasses.replace(contestant, name=name, info=info)


def optimizer_class(name: str, source: str) -> type[Optimizer]:
    """The class of a contestant, from its file where it has one."""
    return _load(source)[0] if source else optimizers.get(name)


@functools.cache
def _load(source: str) -> tuple[type[Optimizer], str]:
    path = Path(source)
    return files.load(path), files.rule(path)
