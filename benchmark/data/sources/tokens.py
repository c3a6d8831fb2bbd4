"""`tokens:PATH`: token ids that somebody has prepared, a file or a folder of shards, read where they lie."""

import os
from pathlib import Path

from benchmark.data import files, token_files
from benchmark.data.sources.base import Source

WHERE = "PATH"


def source(where: str) -> Source:
    """A file of raw token ids, or a folder of them (token_files.py). Raises ValueError."""
    path = Path(where).absolute()
    shown = f"corpus tokens:{files.printable(path)}"
    # Path.exists raises where a path is too long or leads through closed folders
    if not os.path.exists(path):  # noqa: PTH110
        raise ValueError(f"{shown}: there is no such file or folder")
    try:
        found = token_files.found(path)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    return Source("", lambda: iter(()), prepare=lambda ask: token_files.prepare(found, shown, ask))
