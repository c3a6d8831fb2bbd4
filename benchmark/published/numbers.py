"""Numbers as people write them: decimal comma or point, thousands, 1.2B; one spelling for a whole table.

`1,234` alone may be 1.234 or 1234. `decimal_mark` decides it from the table's other numbers, and asks where
they do not tell: no number is guessed.
"""

import re
from collections.abc import Iterable
from typing import Literal

Mark = Literal[".", ","]
MARKS: dict[str, Mark] = {"point": ".", "comma": ","}
FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
NOT_A_NUMBER = ("nan", "n/a", "na", "none", "null", "diverged")
INFINITE = ("inf", "+inf", "infinity", "+infinity")
SHOWN = 60  # characters of a field in a message

_BLANKS = re.compile("(?<=[0-9])[ _'\u2019\u00a0\u202f\u2009](?=[0-9]{3}(?![0-9]))")
_WRITTEN = re.compile(r"[+-]?(?P<digits>[0-9.,]*[0-9][0-9.,]*)(?P<exponent>[eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(T[0-9]{3})+)?(D[0-9]*)?([eE][+-]?[0-9]+)?")
_SUFFIX = re.compile(r"\s*[kKmMbBgGtT]$")


def shown(text: str) -> str:
    """A field for a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def decimal_mark(cells: Iterable[tuple[int, str]], likely: Mark | None = None) -> Mark:
    """The decimal mark of a table, from its numbers with their lines.

    likely: what decides where every comma or point could be either (a table between semicolons: the comma).
    Raises ValueError where numbers of both kinds are there, or where nothing tells.
    """
    certain: dict[Mark, tuple[int, str]] = {}
    either: dict[Mark, tuple[int, str]] = {}
    for line, text in cells:
        mark, sure = _evidence(text)
        if mark:
            (certain if sure else either).setdefault(mark, (line, text))
    if len(certain) == 2:
        (one, first), (two, second) = certain["."], certain[","]
        raise ValueError(
            f"line {one} has a decimal point ({shown(first)}) and line {two} a decimal comma ({shown(second)}):"
            " write all numbers one way"
        )
    if certain:
        return next(iter(certain))
    if "," not in either:
        return "."
    if likely is None or "." in either:
        line, text = either[","]
        clean = text.strip()
        raise ValueError(
            f"line {line}: {shown(clean)} may be {clean.replace(',', '.')[:SHOWN]} or"
            f" {clean.replace(',', '')[:SHOWN]}; say which with --decimal comma or --decimal point"
        )
    return likely


def _evidence(text: str) -> tuple[Mark | None, bool]:
    """The decimal mark that a field speaks for, and whether it could not be otherwise."""
    match = _WRITTEN.fullmatch(_SUFFIX.sub("", _BLANKS.sub("", text.strip())))
    if not match:
        return None, False
    digits = match["digits"]
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        return ("." if digits.rfind(".") > digits.rfind(",") else ","), True
    if points + commas == 0:
        return None, False
    mark: Mark = "." if points else ","
    if points + commas > 1:
        return ("," if points else "."), True  # it divides thousands
    left, right = digits.split(mark)
    could_be_thousands = len(right) == 3 and 1 <= len(left) <= 3 and left[0] != "0"
    return mark, not could_be_thousands


def number(text: str, mark: Mark = ".") -> float:
    """A number; NaN and infinities by their usual names. Raises ValueError for anything else."""
    clean = _BLANKS.sub("", text.strip().replace("\u2212", "-"))
    if clean.lower() in NOT_A_NUMBER:
        return float("nan")
    if clean.lower() in (*INFINITE, "-inf", "-infinity"):
        return float(clean)
    other = "," if mark == "." else "."
    plain = clean.replace(other, "T").replace(mark, "D")
    if not re.search("[0-9]", clean) or not _PLAIN.fullmatch(plain):
        raise ValueError(f"{shown(text)} is no number")
    return float(plain.replace("T", "").replace("D", "."))


def quantity(text: str, mark: Mark = ".") -> float:
    """A count that may carry k, M, B (or G) or T: 130m is 130 million. Raises ValueError for anything else."""
    clean = text.strip()
    suffix = _SUFFIX.search(clean)
    if not suffix:
        return number(clean, mark)
    try:
        return round(number(clean[: suffix.start()], mark) * FACTORS[suffix[0].strip().lower()], 6)
    except ValueError:
        raise ValueError(f"{shown(text)} is no number") from None
