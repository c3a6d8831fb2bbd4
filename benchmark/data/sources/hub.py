"""`hub:OWNER/NAME[:CONFIG[/SPLIT]][@MEGABYTES]`: a data set streamed from a hub, as far as needed."""

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from benchmark.data import streamed
from benchmark.data.sources.base import FIELDS, Source, text_field
from benchmark.extras import install

WHERE = "OWNER/NAME[:CONFIG[/SPLIT]][@MEGABYTES]"


def source(where: str) -> Source:
    """A data set of a hub, read by the package `datasets` as far as it is needed (streamed.py).

    Its text is in a column that FIELDS names. @MEGABYTES reads no more than that. What was prepared stays as
    it is when the data set changes. Raises ValueError for a name that cannot be one, or without the package.
    """
    match = re.fullmatch(
        r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[^:/@]*)(/(?P<split>[^/@]+))?)?(@(?P<size>\d+))?", where
    )
    if not match:
        raise ValueError(f"corpus hub:{where} is no data set's name; write hub:{WHERE}")
    if not importlib.util.find_spec("datasets"):
        raise ValueError(f"corpus hub:{where} needs the package datasets: {install('hub')}")
    name, config, split = match["name"], match["config"] or None, match["split"] or "train"
    room = int(match["size"]) * 1_000_000 if match["size"] else None

    def prepare(ask: Any) -> Any:
        known = _bytes(name, config, split)
        most = min((size for size in (known, room) if size is not None), default=None)
        stream = streamed.Source(where, lambda state: Rows(name, config, split, room, state), most)
        return streamed.prepare(stream, ask)

    return Source("", lambda: iter(()), prepare=prepare)


def _bytes(name: str, config: str | None, split: str) -> int | None:
    """How many bytes its rows have, where the hub says so."""
    import datasets  # type: ignore[import-not-found]  # an extra

    try:
        known = datasets.load_dataset_builder(name, config).info.splits or {}
    except Exception as error:  # of many kinds: the network, the hub, the package
        raise ValueError(_unreadable(name, error)) from None
    return known[split].num_bytes or None if split in known else None


class Rows:
    """Rows of a streamed data set; the state is the one that `datasets` keeps, and how much was read."""

    def __init__(self, name: str, config: str | None, split: str, room: int | None, state: Any) -> None:
        import datasets  # type: ignore[import-not-found]  # an extra

        self.name, self.room = name, room
        try:
            self.rows = datasets.load_dataset(name, config, split=split, streaming=True)
            self.read = 0
            if state:
                self.read, position = state
                self.rows.load_state_dict(position)
        except Exception as error:
            raise ValueError(_unreadable(name, error)) from None

    def texts(self) -> Iterator[str]:
        field = None
        rows = iter(self.rows)
        while self.room is None or self.read < self.room:
            try:
                row = next(rows, None)
            except Exception as error:
                raise ValueError(_unreadable(self.name, error)) from None
            if row is None:
                return
            field = field or text_field(row)
            if not field or not isinstance(row.get(field), str | None):
                columns = ", ".join(map(str, row))
                raise ValueError(
                    _unreadable(self.name, f"no text in a column {' or '.join(FIELDS)} of {columns}")
                )
            text = row.get(field) or ""
            self.read += len(text.encode(errors="replace"))
            if text.strip():
                yield text.encode(errors="replace").decode()  # half of a surrogate pair is no text

    def state(self) -> Any:
        return [self.read, self.rows.state_dict()]


def _unreadable(name: str, error: object) -> str:
    return f"corpus hub:{name} cannot be streamed: {' '.join(str(error).split())[:500]}"
