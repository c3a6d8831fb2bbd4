"""A table says what its columns say, once, and the one macro lays it out."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark import store
from benchmark.report import text
from benchmark.report.site import Site
from benchmark.report.table import INTERVAL, SPEEDUP, Column, Table, fixed, named, numbers, titled
from benchmark.studies import studies

ROWS = [
    {"optimizer": "muon", "speedup": 1.234, "lo": 1.1, "hi": math.inf, "id": "a<b"},
    {"optimizer": "soap", "speedup": math.nan, "lo": math.nan, "hi": math.nan, "id": "c"},
]
COLUMNS = (
    titled({"muon": "Muon"}),
    named(SPEEDUP, "Gain"),
    INTERVAL,
    Column("id", "Id", link="records/{}.html"),
)


def laid_out(results: Path, out: Path, table: Table) -> str:
    loaded = store.load(results)
    site = Site(out, studies(loaded), loaded, results)
    macro = site.env.from_string('{% from "parts.html" import table %}{{ table(t, "../") }}')
    return macro.render(t=table)


def test_cells_are_asked_for_by_name() -> None:
    shown = Table("Speedups", COLUMNS, ROWS).shown()
    assert [r["optimizer"] for r in shown] == ["Muon", "soap"]
    assert [r["interval"] for r in shown] == ["[1.10, ∞]", "–"]


def test_the_macro_writes_headings_cells_links_and_escapes(results: Path, tmp_path: Path) -> None:
    html = laid_out(results, tmp_path, Table("Speedups", COLUMNS, ROWS))
    assert re.findall(r"<th scope=\"col\"( class=\"num\")?>(.*?)</th>", html) == [
        ("", "Optimizer"), (' class="num"', "Gain"), (' class="num"', "95 % interval"), ("", "Id"),
    ]  # fmt: skip
    assert '<th scope="row">Muon</th><td class="num">1.23×</td><td class="num">[1.10, ∞]</td>' in html
    assert '<a href="../records/a&lt;b.html"><code>a&lt;b</code></a>' in html


def test_without_rows_it_says_so(results: Path, tmp_path: Path) -> None:
    html = laid_out(results, tmp_path, Table("Speedups", COLUMNS, []))
    assert '<td colspan="4" class="quiet">Nothing to show yet.</td>' in html
    assert not Table("Speedups", COLUMNS, [])


@dataclass
class Thing:
    loss: float
    note: str


def test_rows_may_be_objects_and_sort_by_what_their_fields_are() -> None:
    loss = numbers("loss", "Loss", fixed(2), unit="nats")
    badges = Column("notes", "Notes", of=("note",), sort=len)
    row = Thing(1.23456, "abc")
    assert (loss.show(row), loss.key(row)) == ("1.23", "1.23456")
    assert (badges.show(row), badges.key(row)) == ("abc", 3)
    assert loss.key(Thing(math.nan, "")) == ""


def test_a_column_of_a_field_that_no_row_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="speedup"):
        Table("Speedups", (SPEEDUP,), [{"optimizer": "muon"}]).shown()


def test_a_change_has_its_sign() -> None:
    assert [text.signed(v, 2) for v in (0.1, -0.1, math.inf, math.nan)] == ["+0.10", "−0.10", "+∞", "–"]
