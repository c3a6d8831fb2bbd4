"""A process that plans keeps off the GPUs, which are its workers': a user's file starts no client there.

The workers, and other processes that compute, get the environment that the user gave.
"""

import contextlib
import os
from collections.abc import Iterator

SETTINGS = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}

_given: dict[str, str | None] = {}  # while hidden: the user's own


def given(name: str) -> str | None:
    """An environment variable as the user gave it."""
    return _given[name] if name in _given else os.environ.get(name)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """While inside, this process sees no GPU."""
    outer = dict(_given)
    _given.update({name: given(name) for name in SETTINGS})
    before = _set(SETTINGS)
    try:
        yield
    finally:
        _set(before)
        _given.clear()
        _given.update(outer)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """While inside, what is started from here sees what the user gave. Does nothing outside hidden()."""
    before = _set(dict(_given))
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None] | dict[str, str]) -> dict[str, str | None]:
    """Set environment variables, None for none; what they were."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before
