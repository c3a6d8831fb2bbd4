"""`python -m sweeps challenge`: an optimizer of one's own against results that are there already.

It is tuned and reported as everybody was in `quick`, in looks (looks.py): what is decided after half of the
searches ends there. Of the others only what is committed takes part, so that nothing of theirs runs again; the
baseline, and who is named with --against, run beside it where nothing committed fits.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence

import optimizers
from optimizers.shared.copies import copy_name
from optimizers.shared.near import near
from sweeps.search import committed
from sweeps.search.committed import Reference
from sweeps.search.contestants import contestants
from sweeps.search.sweep import Sweep

FIRST = 2  # searches before the first look: the fewest that show what choosing adds


def check(args: argparse.Namespace) -> None:
    """Raises ValueError without an optimizer, or for one to compare it with that does not exist."""
    if not args.optimizer:
        raise ValueError("challenge asks about an optimizer of your own; name it with --optimizer mine.py")
    if args.own_tuning:
        raise ValueError("challenge takes what is committed; leave --own-tuning out, or run quick")
    unknown = [name for name in args.against if name not in optimizers.names()]
    if unknown:
        like, there = near(unknown[0], optimizers.names()), ", ".join(optimizers.names())
        raise ValueError(f"--against {unknown[0]}{like}: choose from {there}")


def sweep(args: argparse.Namespace, base: Sweep) -> tuple[Sweep, Reference]:
    """`base`, without contestants but with its corpus, as the sweep that decides; and what it is set beside.

    Raises ValueError for an optimizer that is not admitted.
    """
    found = committed.reference(base, (committed.ROOT, committed.ROOT.parent, args.results, *args.reuse))
    if args.sealed:  # on new seeds nothing is reported yet; the tuning counts
        found = dataclasses.replace(found, seeds=(), reported={})
    named = dict.fromkeys((base.baseline, *args.optimizers, *args.against))
    candidates = [*named, *(n for n in args.optimizers or optimizers.entrants() if n not in named)]
    candidates.append(copy_name(base.baseline, 2))  # what chance makes of it, where it is committed
    others = {s.task.name: _others(candidates, named, found, s.task.name) for s in base.stages}
    for stage in base.stages:
        for needed in stage.after:  # whoever is carried to a task is tuned where it starts from
            others[needed] += [n for n in others[stage.task.name] if n not in others[needed]]
    registered = [n for n in candidates if any(n in names for names in others.values())]
    entered = contestants(registered, args.optimizer, base.backend)
    own = [c.name for c in entered if c.source]
    searches = args.searches or base.protocol.searches
    return dataclasses.replace(
        base,
        stages=tuple(dataclasses.replace(s, only=(*others[s.task.name], *own)) for s in base.stages),
        protocol=dataclasses.replace(base.protocol, report_seeds=found.seeds),
        contestants=entered,
        search_looks=search_looks(searches, base.protocol.searches),
    ), found


def search_looks(searches: int, usual: int) -> tuple[int, ...]:
    """Numbers of searches after which verdicts are judged, of so many at most: after FIRST, after as many as
    the others have, and at the end."""
    return (*(n for n in dict.fromkeys((FIRST, usual)) if n < searches), searches)


def _others(candidates: Sequence[str], named: Mapping[str, None], found: Reference, task: str) -> list[str]:
    """The optimizers of the registry on a task: who must be there, and who is there at no cost."""
    free = found.reported.get(task, frozenset())
    return [name for name in candidates if name in named or name in free]
