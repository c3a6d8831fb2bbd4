"""Numbers and names as a reader sees them: one spelling each, with the unit where a number stands alone."""

import json
import math
from typing import Any

from markupsafe import Markup

MISSING = "–"
VERDICTS = {
    "faster": "▲ faster", "slower": "▼ slower", "inseparable": "≈ inseparable", "undecided": "? undecided",
}  # fmt: skip
PAIRED = "paired test, no speedup"  # one ratio of the baseline's gives no curve to read a speedup off


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def fixed(value: Any, digits: int = 3) -> str:
    """A decimal; infinities by their sign, a missing value as a dash."""
    if not is_number(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """A change: a decimal with its sign."""
    return f"{'+' if is_number(value) and value >= 0 else ''}{fixed(value, digits)}"


def times(value: Any) -> str:
    """A ratio: 1.32×."""
    return MISSING if not is_number(value) else f"{fixed(value, 2)}×"


def interval(low: Any, high: Any) -> str:
    """[1.18, 1.47]; a dash where there is none."""
    return f"[{fixed(low, 2)}, {fixed(high, 2)}]" if is_number(low) and is_number(high) else MISSING


def quantity(value: Any) -> str:
    """A count in engineering notation: 552960 -> 553k."""
    if not is_number(value):
        return MISSING
    for limit, suffix in (
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ):
        if abs(value) >= limit * 0.9995:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def tokens(value: Any) -> str:
    """A count of tokens, with B for 10^9 as is usual for them."""
    return quantity(value).replace("G", "B")


def percent(value: Any) -> str:
    """A share or relative change with its sign: 0.15 -> +15 %."""
    if not is_number(value):
        return MISSING
    rounded = round(value * 100)
    return f"{rounded:+d} %".replace("-", "−") if rounded else "0 %"


def share(value: Any) -> str:
    """A share without a sign: 0.15 -> 15 %."""
    return MISSING if not is_number(value) else f"{value * 100:.0f} %"


def value(thing: Any) -> str:
    """A hyperparameter or a fact: short, exact enough to type in again."""
    if thing is None or (isinstance(thing, float) and math.isnan(thing)):
        return MISSING
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    if isinstance(thing, float):
        return f"{thing:.6g}"
    if isinstance(thing, dict):
        return ", ".join(f"{k}: {value(v)}" for k, v in thing.items())
    if isinstance(thing, list | tuple):
        return ", ".join(value(v) for v in thing)
    return str(thing)


def count(number: int, thing: str, things: str = "") -> str:
    """3 seeds, 1 seed; `things` is a plural that takes more than an s."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def names(titles: list[str], conjunction: str = "and") -> str:
    """A, B and C."""
    if len(titles) < 2:
        return "".join(titles)
    return f"{', '.join(titles[:-1])} {conjunction} {titles[-1]}"


def plain(thing: Any) -> Any:
    """JSON has no NaN or infinity: both become null, numpy's scalars become Python's."""
    if isinstance(thing, dict):
        return {str(k): plain(v) for k, v in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(v) for v in thing]
    thing = thing.item() if hasattr(thing, "item") else thing
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing


def script_json(thing: Any) -> Markup:
    """JSON for a script element: no `<`, `>` or `&`, so that no name can close the element."""
    text = json.dumps(plain(thing), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def number(thing: Any) -> str:
    """A number for sorting, empty where there is none."""
    return "" if not is_number(thing) else f"{thing:.6g}"


def sorting(thing: Any) -> str:
    """What a script sorts a value by: numbers as numbers, words as words."""
    return thing if isinstance(thing, str) else number(thing)


def verdict(name: str) -> str:
    """A verdict of `Study.speedups`."""
    if name.startswith("paired "):
        return f"{verdict(name.removeprefix('paired '))} ({PAIRED})"
    return VERDICTS.get(name, name or MISSING)


def compact_json(thing: Any) -> str:
    """JSON for an attribute."""
    return json.dumps(plain(thing), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


FILTERS = {
    "fixed": fixed,
    "quantity": quantity,
    "tokens": tokens,
    "value": value,
    "json": compact_json,
    "script_json": script_json,
    "number": number,
}
