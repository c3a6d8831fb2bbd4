"""Trials that fail alike: what is the same failure, and when a task is given up for it."""

import re
from collections import Counter
from collections.abc import Iterable

from sweeps.search.cells import Cell, Known, Solved

ALIKE = 3  # failures for one reason, and nothing else, after which a task's other trials are not run
_NUMBER = re.compile(r"\d+")  # a reason may hold sizes and steps


def given_up(states: Iterable[Solved | Cell], known: Known) -> dict[tuple[str, str], str]:
    """(contestant, task) -> why no more of its trials there are run: all that have ended failed, ALIKE of them
    or more for one reason."""
    ended = {
        ((state.cell.contestant.name, state.cell.stage.task.name), asked.trial_id): asked.status
        for state in states
        if isinstance(state, Solved)
        for asked in state.asked
        if asked.status is not None
    }
    alive = {cell for (cell, _), status in ended.items() if status != "failed"}
    reasons = [(cell, known[trial_id].reason) for cell, trial_id in ended if cell not in alive]
    counts = Counter((cell, alike(reason)) for cell, reason in reasons)
    first = {(cell, alike(reason)): reason for cell, reason in reversed(reasons)}
    return {
        cell: f"given up after {count} failures: {first[cell, kind]}"
        for (cell, kind), count in counts.items()
        if count >= ALIKE
    }


def alike(reason: str) -> str:
    """A reason without its numbers: the same for failures of one kind."""
    return _NUMBER.sub("#", reason)
