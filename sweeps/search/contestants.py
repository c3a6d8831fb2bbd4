"""Names and files to contestants, and back to the classes that workers build: the one place that loads
optimizers for a sweep."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import optimizers
from benchmark import scales
from benchmark.train import parameters
from optimizers.base import Optimizer
from optimizers.shared.copies import copy_name, copy_title, split
from optimizers.user import files
from optimizers.user.files import backends
from sweeps.search.sweep import Contestant, contestant_of


def contestants(
    names: Sequence[str], files: Sequence[Path] = (), backend: str = "jax"
) -> tuple[Contestant, ...]:
    """Registered optimizers by name and users' own by file, in this order, each once. `adamw~2` is a copy.

    Raises ValueError for an unknown name, a file that is not an optimizer or not one for this backend, or a
    name that stands twice.
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
        if backend not in backends(cls):
            raise ValueError(f"{file}: has no {backend} build; use --backend {backends(cls)[0]}")
        _try_out(file, cls)
        found.append(contestant_of(cls, file.stem, rule, str(file.resolve())))
    return tuple(found)


def copy_of(contestant: Contestant, number: int) -> Contestant:
    """The n-th copy: the same rule from the same file under another name, so that it is tuned anew."""
    name = copy_name(contestant.name, number)
    return dataclasses.replace(contestant, name=name, title=copy_title(contestant.title, name))


def _try_out(file: Path, entry: type[Optimizer]) -> None:
    """Count a user's rule on the smallest model, which traces it once: what cannot run is refused before the
    sweep, not trial by trial. Raises ValueError with the reason."""
    scale = scales.get("13k")
    try:
        entry().extra_flops(parameters.roles(scale), 100, scale.batch_size * scale.seq_len)
    except Exception as error:  # anything may be raised by somebody else's code
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(f"{file}: its update fails ({type(error).__name__}: {reason})") from None


def optimizer_class(name: str, source: str) -> type[Optimizer]:
    """The class of a contestant, from its file where it has one."""
    return _load(source)[0] if source else optimizers.get(name)


@functools.cache
def _load(source: str) -> tuple[type[Optimizer], str]:
    path = Path(source)
    return files.load(path), files.rule(path)
