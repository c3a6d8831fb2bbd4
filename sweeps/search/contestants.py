"""Names and files to contestants, and back to the classes that workers build: the one place that loads
optimizers for a sweep."""

import dataclasses
import functools
from collections.abc import Sequence

import optimizers
from benchmark.kit import admission
from benchmark.scales import Scale
from optimizers.base import Optimizer
from optimizers.shared.carried import carried
from optimizers.shared.copies import copy_name, rule_name, split, title_of
from optimizers.shared.schedules import scheduled
from optimizers.user import files
from optimizers.user.files import Backend
from optimizers.user.spec import parse
from sweeps.search.contestant import Contestant, carried_by, contestant_of


def contestants(
    names: Sequence[str], others: Sequence[str] = (), backend: Backend = "jax"
) -> tuple[Contestant, ...]:
    """Registered optimizers by name and others by file or module (optimizers/user/spec.py), in this order, each
    once. `adamw~2` is a copy, `adamw+wsd` states a schedule, `adamw@mup` is carried.

    Raises ValueError for an unknown name, what is not admitted (benchmark/kit/admission.py), or a name that
    stands twice.
    """
    found = []
    for name in dict.fromkeys(names):
        cls, (original, number) = optimizers.get(name), split(name)
        original, policy = carried(original)
        if policy and number > 1:
            raise ValueError(
                f"{name!r}: what is carried is not tuned, so that a copy would be the same; drop ~{number}"
            )
        first = contestant_of(cls, original, f"{rule_name(name)}@{cls.info.version}")
        tuned = copy_of(_scheduled(first), number)
        found.append(carried_by(tuned, policy) if policy else tuned)
    for other in others:
        source = str(parse(other))  # a path is absolute: workers run in folders of their own
        name = files.name(source)
        if name in {c.name for c in found}:
            raise ValueError(f"{other}: an optimizer named {name!r} is in the sweep already; rename the file")
        admission.admit_named(source, backend)  # first: a file that hangs or ends the process does so there
        cls, rule = _load(source)
        found.append(contestant_of(cls, name, rule, source))
    return tuple(found)


def copy_of(contestant: Contestant, number: int) -> Contestant:
    """The n-th copy: the same rule from the same file under another name, so that it is tuned anew."""
    name = copy_name(contestant.name, number)
    info = dataclasses.replace(contestant.info, title=title_of(contestant.info.title, name))
    return dataclasses.replace(contestant, name=name, info=info)


def _scheduled(contestant: Contestant) -> Contestant:
    """The contestant under the schedule that its name states."""
    schedule = scheduled(contestant.name)[1]
    if schedule is None:
        return contestant
    fixed = {**contestant.recipe_fixed, **schedule.fixed}
    return dataclasses.replace(contestant, recipe_fixed=fixed, horizon_free=schedule.horizon_free)


def optimizer_class(name: str, source: str) -> type[Optimizer]:
    """The class of a contestant, from its file where it has one."""
    return _load(source)[0] if source else optimizers.get(name)


def at_start(contestant: Contestant, scale: Scale) -> Optimizer:
    """A contestant's optimizer with its stated start at a scale: with the blocks of large matrices, for
    instance, which say what memory and time it needs."""
    own = {n: v for n, v in contestant.start(scale).items() if n in contestant.defaults}
    return optimizer_class(contestant.name, contestant.source)(**own)


@functools.cache
def _load(source: str) -> tuple[type[Optimizer], str]:
    return files.with_terms(files.load(source)), files.rule(source)
