"""Copies of a contestant: `adamw~2` is AdamW once more, tuned anew and reported beside itself.

The two differ by chance alone: a comparison errs as often as it calls a copy faster or slower.
"""

from optimizers.shared.carried import POLICIES, carried
from optimizers.shared.schedules import scheduled


def split(name: str) -> tuple[str, int]:
    """The contestant that a name is of, and which copy: `adamw~2` -> ("adamw", 2), `adamw` -> ("adamw", 1).
    Raises ValueError for a copy that is not numbered from 2."""
    original, mark, number = name.partition("~")
    if not mark:
        return name, 1
    if not original or not number.isdecimal() or int(number) < 2 or number != str(int(number)):
        raise ValueError(f"{name!r} names no copy; copies are numbered from 2, as in {original or 'adamw'}~2")
    return original, int(number)


def copy_name(name: str, number: int) -> str:
    """The name of the n-th copy; the first is the contestant itself."""
    return name if number == 1 else f"{name}~{number}"


def rule_name(name: str) -> str:
    """Whose rule it follows: the name without its copy's number, what carries it, and its schedule."""
    return scheduled(carried(split(name)[0])[0])[0]


def title_of(title: str, name: str) -> str:
    """What pages call it: "AdamW, again", from the third on "AdamW, copy 3"; "AdamW, wsd"; "AdamW,
    carried by muP"."""
    original, number = split(name)
    original, policy = carried(original)
    schedule = scheduled(original)[1]
    title = f"{title}, {schedule.title}" if schedule else title
    title = f"{title}, {POLICIES[policy]}" if policy else title
    return title if number == 1 else f"{title}, again" if number == 2 else f"{title}, copy {number}"
