"""Whether what a file says can be true: finite numbers in range, names that are names, every field of its type.

Records, manifests and measurements come from full disks, from editors, and from strangers. `parse` reads
their JSON, `shape` makes a dataclass of it by the dataclass's own annotations, `tree` takes what has no fixed
form. Whatever is wrong is a ValueError of one line that names the field. spec.py says which ranges hold.
"""

import dataclasses
import functools
import json
import re
import reprlib
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

KEY = "key"  # in the metadata of a dataclass's field: what JSON calls it, where that is another word
Check = Callable[[Any], Any]  # a value -> the value, or Wrong
Range = tuple[float, float]

COUNT: Range = (0, 2**63 - 1)  # of a whole number that has no range of its own
NUMBER: Range = (0.0, 1e39)  # of a decimal that has none: float32 ends at 3.4e38
LONGEST_NAME = 4096  # characters: a corpus may be a path
LONGEST_TEXT = 100_000  # characters of a sentence, such as why a trial failed
DEEPEST = 12  # levels of what has no fixed form; ours have three
MOST = 200_000  # values in it
MOST_POINTS = 10_000  # of a list of dataclasses, such as a curve; ours have 16
# what ends a line, moves a cursor or turns the direction of writing around would make a name look like another
DECEIVING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")  # what no page and no file can hold


class Wrong(ValueError):
    """What is wrong with a value, which a check says, and in which field, which the objects around it say."""

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.problem, self.field = problem, field

    def within(self, outer: str) -> "Wrong":
        return Wrong(self.problem, f"{outer}.{self.field}" if self.field else outer)


def parse(content: str | bytes) -> Any:
    """JSON as Python values, without NaN and infinities. Raises ValueError that says what is wrong."""
    text = ""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        return _DECODER.decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError("it is empty" if not text.strip() else f"JSONDecodeError: {error}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


_DECODER = json.JSONDecoder(parse_constant=_refused)


def shown(value: Any) -> str:
    """A value for a message: short, on one line."""
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxlevel = 2


def whole(low: float = COUNT[0], high: float = COUNT[1]) -> Check:
    """A whole number, also where it is written 520.0."""

    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        if type(value) is not int:  # not a bool either
            raise Wrong(f"{shown(value)} is not a whole number")
        return _within(value, low, high)

    return check


def number(low: float = NUMBER[0], high: float = NUMBER[1]) -> Check:
    """A finite number; an integer stays one."""

    def check(value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            raise Wrong(f"{shown(value)} is not a number")
        return _within(value, low, high)

    return check


def _within(value: Any, low: float, high: float) -> Any:
    if not low <= value <= high:  # false of NaN too
        raise Wrong(f"{shown(value)} is not from {low:g} to {high:g}")
    return value


@functools.lru_cache(4096)
def _is_name(value: str) -> bool:
    return len(value) <= LONGEST_NAME and not DECEIVING.search(value)


def name(value: Any) -> str:
    """A name: one line that looks like what it is. It may hold any script, and HTML: pages escape it."""
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a text")
    if not _is_name(value):
        long = len(value) > LONGEST_NAME
        raise Wrong(f"{shown(value)} {'is too long' if long else 'holds control characters'}")
    return value


def prose(value: Any) -> str:
    """A text of any lines."""
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a text")
    if len(value) > LONGEST_TEXT or UNWRITABLE.search(value):
        long = len(value) > LONGEST_TEXT
        raise Wrong(f"{shown(value)} {'is too long' if long else 'holds characters that cannot be written'}")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"{shown(value)} is neither true nor false")
    return value


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong(f"{shown(value)} is not one of {', '.join(allowed)}")
        return value

    return check


def maybe(check: Check) -> Check:
    """What a check takes, or null."""
    return lambda value: None if value is None else check(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object whose keys are names."""
    if not isinstance(value, dict):
        raise Wrong(f"{shown(value)} is not an object")
    for key in value:
        if not _is_name(key):
            raise Wrong(f"the key {shown(key)} is no name")
    return value


def each(check: Check) -> Check:
    """A JSON object with values of one kind."""
    return lambda value: {key: _inside(key, check, one) for key, one in mapping(value).items()}


def several(check: Check, most: int = MOST) -> Check:
    """A list of things of one kind."""

    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise Wrong(f"{shown(value)} is not a list")
        if len(value) > most:
            raise Wrong(f"it has {len(value):,} entries, more than {most:,}")
        return [_inside(str(place), check, one) for place, one in enumerate(value)]

    return checked


def _inside(field: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except Wrong as error:
        raise error.within(field) from None


def tree(given: Mapping[str, Check]) -> Check:
    """A JSON object of no fixed form, of which `given` says what some keys hold: finite, shallow, writable."""

    def check(value: Any) -> Mapping[str, Any]:
        left, waiting = MOST, [("", mapping(value), 0)]
        while waiting:
            field, here, depth = waiting.pop()
            left -= 1
            if depth > DEEPEST or left < 0:
                raise Wrong("nested too deeply" if depth > DEEPEST else "too large", field)
            if isinstance(here, dict):
                inner = _inside(field, mapping, here) if field else here
                waiting += [(field or key, one, depth + 1) for key, one in inner.items()]
            elif isinstance(here, list | tuple):
                waiting += [(field, one, depth + 1) for one in here]
            else:
                _inside(field, _leaf, here)
        return {key: _inside(key, given[key], one) if key in given else one for key, one in value.items()}

    return check


def _leaf(value: Any) -> None:
    if isinstance(value, str):
        prose(value)
    elif isinstance(value, int | float) and not abs(value) < 1e100:
        raise Wrong(f"{shown(value)} is not a number that can be meant")


def shape(kind: type, given: Mapping[str, Check]) -> Check:
    """A dataclass from a JSON object. A field without a default must be there, and no other may be. A field's
    key in the object is its name, or what its metadata say under KEY.

    given: checks that say more than a field's annotation, by "Class.field" or, for any class, by "field".
    """
    hints, fields, absent = get_type_hints(kind), dataclasses.fields(kind), dataclasses.MISSING
    keys = {f.metadata.get(KEY, f.name): f for f in fields}
    checks = {
        key: given.get(f"{kind.__name__}.{f.name}") or given.get(f.name) or _by_hint(hints[f.name], given)
        for key, f in keys.items()
    }
    needed = {key for key, f in keys.items() if f.default is absent is f.default_factory}

    def check(value: Any) -> Any:
        there = mapping(value).keys()
        if not needed <= there or not there <= checks.keys():
            missing, unknown = sorted(needed - there), sorted(there - checks.keys())
            raise Wrong("it is missing", missing[0]) if missing else Wrong("unknown field", shown(unknown[0]))
        found, field = {}, ""
        try:
            for field, one in value.items():
                found[keys[field].name] = checks[field](one)
        except Wrong as error:
            raise error.within(field) from None
        return kind(**found)

    return check


def _by_hint(hint: Any, given: Mapping[str, Check]) -> Check:
    """The check that an annotation stands for."""
    plain: dict[Any, Check] = {str: name, bool: flag, int: whole(), float: number()}
    origin, inside = get_origin(hint), get_args(hint)
    if hint in plain:
        return plain[hint]
    if origin is Literal:
        return one_of(*inside)
    if origin in (Union, types.UnionType) and type(None) in inside:
        return maybe(_by_hint(next(h for h in inside if h is not type(None)), given))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return shape(hint, given)
    if origin is tuple and inside[1:] == (...,):
        check = several(_by_hint(inside[0], given), MOST_POINTS)
        return lambda value: tuple(check(value))
    if origin is Mapping:
        return tree({})
    raise TypeError(f"no check for {hint}")  # ours: a field of a new kind needs one
