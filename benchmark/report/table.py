"""A table stated once: which fields of a row it shows, under which heading, how written, how sorted.

A page declares its columns and hands over rows (`frames.rows` of a frame, dicts or objects); the macro `table`
in templates/parts.html lays them out. Tests ask for a column by its name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.report import text

NUMBER, WORDS = "num", ""


@dataclass(frozen=True)
class Column:
    """One column: a name for code, a heading for people, and how its fields become text.

    format: from the fields' values to what is shown. unit: small print after the heading. kind: "num" is set to
    the right. of: the row's fields that `format` takes; by default the one called `name`. sort: from the same
    fields to the key that a script sorts by. link: an address below the site's root, with {} for the text.
    """

    name: str
    heading: str
    format: Callable[..., str] = text.value
    kind: str = WORDS
    unit: str = ""
    of: tuple[str, ...] = ()
    sort: Callable[..., Any] = text.sorting
    link: str = ""

    def show(self, row: Any) -> str:
        """What a row's cell says."""
        return self.format(*self._fields(row))

    def key(self, row: Any) -> Any:
        """What a row's cell is sorted by."""
        return self.sort(*self._fields(row))

    def target(self, row: Any) -> str:
        """Where a row's cell leads, seen from the site's root; empty without a link."""
        return self.link.format(self.show(row)) if self.link else ""

    def _fields(self, row: Any) -> list[Any]:
        names = self.of or (self.name,)
        return [row[n] if isinstance(row, Mapping) else getattr(row, n) for n in names]


@dataclass(frozen=True)
class Table:
    """Columns over rows.

    caption: what the numbers are, and their unit. quiet: the caption is for screen readers alone, where a
    heading or a summary above says the same.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Any]
    quiet: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def shown(self) -> list[dict[str, str]]:
        """Every row as it is read: column name -> text."""
        return [{c.name: c.show(row) for c in self.columns} for row in self.rows]


def numbers(name: str, heading: str, written: Callable[..., str] = text.value, **more: Any) -> Column:
    """A column of numbers, set to the right."""
    return Column(name, heading, written, NUMBER, **more)


def fixed(digits: int) -> Callable[[Any], str]:
    """A format: so many decimals."""
    return lambda value: text.fixed(value, digits)


def titled(titles: Mapping[str, str], heading: str = "Optimizer") -> Column:
    """The column that names a row's optimizer by its title."""
    return Column("optimizer", heading, lambda name: titles.get(name, name))


def named(column: Column, heading: str) -> Column:
    """The same column under another heading."""
    return replace(column, heading=heading)


# what many pages show of a comparison with the baseline
TASK = Column("task", "Task")
SPEEDUP = numbers("speedup", "Speedup in tokens", text.times)
INTERVAL = numbers("interval", "95 % interval", text.interval, of=("lo", "hi"))
VERDICT = Column("verdict", "Verdict", text.verdict)
SEEDS = numbers("n", "n runs", lambda n: str(int(n)))
FLAGS = Column("flags", "Notes", lambda flags: flags or text.MISSING)
