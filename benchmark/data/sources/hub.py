"""`hub:NAME[:CONFIG/SPLIT][@MEGABYTES]`: a data set streamed from a hub, its text in a column of FIELDS."""

import importlib.util
import io
import re
from collections.abc import Iterator

from benchmark.data.sources.base import FIELDS, Document, Source, paragraphs, text_field
from benchmark.extras import install

WHERE = "NAME[:CONFIG/SPLIT][@MEGABYTES]"
MEGABYTES = 1000  # of text, where the name does not say how much


def source(where: str) -> Source:
    """A data set from a hub, `NAME[:CONFIG/SPLIT][@MEGABYTES]`, its text in a column that FIELDS names.

    The first megabytes of text are streamed (1000 unless said). What is cached stays as it is when the data
    set changes.
    """
    match = re.fullmatch(
        r"(?P<name>[^:@]+)(:(?P<config>[^:/@]*)(/(?P<split>[^/@]+))?)?(@(?P<size>\d+))?", where
    )
    if not match:
        raise ValueError(f"corpus hub:{where}: write hub:{WHERE}")
    if not importlib.util.find_spec("datasets"):
        raise ValueError(f"corpus hub:{where} needs the package datasets: {install('hub')}")
    room = int(match["size"] or MEGABYTES) * 1_000_000
    return Source(
        where, lambda: _documents(match["name"], match["config"] or None, match["split"] or "train", room)
    )


def _documents(name: str, config: str | None, split: str, room: int) -> Iterator[Document]:
    import datasets  # type: ignore[import-not-found]  # an extra

    field = None
    try:
        for row in datasets.load_dataset(name, config, split=split, streaming=True):
            field = field or text_field(row)
            if not field or not isinstance(row.get(field), str | None):
                raise ValueError(f"no text in a column {' or '.join(FIELDS)}; there are {', '.join(row)}")
            text = row.get(field) or ""
            yield Document(list(paragraphs(io.StringIO(text))))
            room -= len(text.encode())
            if room <= 0:
                return
    except (OSError, ValueError) as error:
        raise ValueError(f"corpus hub:{name} cannot be streamed: {' '.join(str(error).split())}") from None
