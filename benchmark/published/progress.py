"""A line on stderr for what takes long."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
EVERY = 5.0  # seconds between lines; what is done sooner says nothing
ITEMS = 256  # between two readings of the clock


def counted(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items, with a line every few seconds that says how many are done."""
    last = time.monotonic()
    for done, item in enumerate(items):
        if done % ITEMS == 0 and time.monotonic() - last > EVERY:
            last = time.monotonic()
            print(f"{what}: {done:,} of {len(items):,}", file=sys.stderr, flush=True)
        yield item
