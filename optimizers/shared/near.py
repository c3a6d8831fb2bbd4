"""What somebody probably meant: the one place that suggests a name."""

import difflib
from collections.abc import Iterable

ALIKE = 0.7  # of difflib's ratio: one letter in four may differ


def alike(word: str, known: Iterable[str], most: int = 5) -> list[str]:
    """The known names that are most like it, by case and letters; none if none is."""
    return difflib.get_close_matches(word, list(known), most, 0.5)


def near(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'adamw'?)` where a known name is like it but for case and a few letters, else ""."""
    by_lower = {name.lower(): name for name in known}
    if word in by_lower.values():
        return ""  # it is spelt right: something else is wrong
    found = difflib.get_close_matches(word.strip().lower(), by_lower, 1, ALIKE)
    return f" (did you mean {by_lower[found[0]]!r}?)" if found else ""
