"""Numbers and tables however they were written: what was written is what is read, or it is asked about."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.published import sheet
from benchmark.published.numbers import decimal_mark, number, quantity


def _written(value: float, digits: int, mark: str, thousands: str) -> str:
    """A number with this decimal mark, and this mark between thousands."""
    return f"{value:,.{digits}f}".replace(",", "T").replace(".", mark).replace("T", thousands)


MARKS = [(".", ","), (".", ""), (".", " "), (".", "_"), (",", "."), (",", ""), (",", "\u202f"), (",", "'")]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(0, 1e12), min_size=1, max_size=6),
    st.sampled_from(MARKS),
    st.sampled_from(["", "-", "+"]),
)
def test_what_is_written_is_read(values: list[float], marks: tuple[str, str], sign: str) -> None:
    mark, thousands = marks
    texts = [sign + _written(v, 2, mark, thousands) for v in values]
    found = decimal_mark(enumerate(texts, 2))
    assert found == mark
    expected = [float(f"{sign}{v:.2f}") for v in values]
    assert [number(t, found) for t in texts] == expected


@pytest.mark.parametrize(
    ("cells", "likely", "mark"),
    [
        (["3.521", "3.46"], None, "."),
        (["3.521"], None, "."),
        (["3,52"], None, ","),
        (["3,521", "0,5"], ";", ","),
        (["3,521"], ",", ","),
        (["1,234,567", "3.521"], None, "."),
        (["1.234.567", "3,521"], None, ","),
        (["1,234.5"], None, "."),
        (["1.234,5"], None, ","),
        (["0,123"], None, ","),
        (["130m", "1e8", "7"], None, "."),
        (["1,25B"], None, ","),
        (["2,5e9"], None, ","),
    ],
)
def test_the_decimal_mark_is_told_by_the_numbers(cells: list[str], likely, mark: str) -> None:
    assert decimal_mark(enumerate(cells, 2), likely) == mark


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["3,521"], "line 2: '3,521' may be 3.521 or 3521; say which with --decimal comma or --decimal point"),
        (["3.521", "134,217"], "line 3: '134,217' may be"),
        (["3,52", "3.46"], "line 3 has a decimal point ('3.46') and line 2 a decimal comma ('3,52')"),
    ],
)
def test_what_does_not_tell_is_asked_about(cells: list[str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        decimal_mark(enumerate(cells, 2))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.2B", 1.2e9),
        ("130m", 1.3e8),
        ("1e8", 1e8),
        ("2.6 B", 2.6e9),
        ("27k", 27e3),
        ("1T", 1e12),
        ("512", 512),
    ],
)
def test_counts_have_units(text: str, value: float) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "12,34,5", "1,2", "low", "3..2", "1_0", "٣", "0x1", "B", "1.2Q", "--3"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        quantity(text)


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda t: t.strip() == t and not t.startswith(("#", "sep=")) and "\u2028" not in t and "\u2029" not in t
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_a_table_is_read_however_it_was_saved(
    tmp_path_factory, rows: list[list[str]], separator: str, encoding: str, end: str, padded: bool
) -> None:
    header = ["optimizer", "scale", "val_loss"]
    lines = [separator.join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    comments = ["# exported by hand", ""] if padded else []
    text = end.join([*comments, separator.join(header), *comments, *lines, ""])
    path: Path = tmp_path_factory.mktemp("sheet") / "t.csv"
    path.write_bytes(text.encode(encoding))
    table = sheet.read(path)
    assert table.header == header and table.separator == separator
    assert [cells for _, cells in table.rows] == rows
    assert table.rows[0][0] == 2 + 2 * len(comments)  # the file's own line numbers


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("first", ["sep={}", '"sep={}"', "SEP={} "])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_excel_names_its_separator_and_windows_its_letters(
    tmp_path: Path, separator: str, first: str, end: str
) -> None:
    path = tmp_path / "t.csv"
    lines = [first.format(separator), f"name{separator}loss", f"Müller{separator}3,5", ""]
    path.write_bytes(end.join(lines).encode("cp1252"))
    table = sheet.read(path)
    assert table.rows == [(3, ["Müller", "3,5"])] and (table.separator, table.encoding) == (separator, "cp1252")
