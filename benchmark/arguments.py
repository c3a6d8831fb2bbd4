"""What every command shares in reading its words: one line of usage, and refusals that say what to write.

The functions are types for `add_argument`. Each raises argparse.ArgumentTypeError with what was expected and
an example.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Never


class Parser(argparse.ArgumentParser):
    """argparse, but an option that is given twice with two values is refused, not overruled; an unknown one is
    named before anything else, with the one that it is like; and the usage is one line.

    former: what options were called before -> what they are called.
    """

    def __init__(self, former: Mapping[str, str] | None = None, **options: Any) -> None:
        self.former = former or {}
        usage = options.pop("usage", "%(prog)s [options]")
        super().__init__(usage=usage, **options)
        self.given: dict[str, Any] = {}
        for name in (None, "store"):
            self.register("action", name, _Once)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore
        self.given = {}
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore
        words = list(sys.argv[1:] if args is None else args)
        options = set(re.findall(r"--[a-z][a-z-]*", self.format_help()))
        for word in words[: words.index("--")] if "--" in words else words:
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in options):
                self._strange(name, options)
        found, extra = self.parse_known_args(words, namespace)
        if extra and extra[0].startswith("-"):
            self._strange(extra[0], options)
        if extra:
            self.error(
                f"nothing takes the word {extra[0]!r}; a list has no blanks (adamw,muon), or quotes around it"
            )
        return found

    def error(self, message: str) -> Never:
        said = " ".join(message.split())
        if lacking := re.fullmatch(r"argument (--[a-z-]+): expected one argument", said):
            said = f"argument {lacking[1]}: expected a value; one that begins with a dash: {lacking[1]}=VALUE"
        super().error(said)

    def _strange(self, name: str, options: set[str]) -> Never:
        from optimizers.shared.near import near  # not before: it must be ours (see report/__main__.py)

        if name in self.former:
            self.error(f"{name} is called {self.former[name]}")
        self.error(f"there is no option {name!r}{near(name, sorted(options))}; --help lists them")


class _Once(argparse.Action):
    """Stores a value, and refuses another one after it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        before = parser.given.setdefault(self.dest, values)
        if before != values:
            raise argparse.ArgumentError(self, f"given twice, as {before} and as {values}; give it once")
        setattr(namespace, self.dest, values)


def _refuse(expected: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"expected {expected}; got {text!r}")


def at_least(least: int, example: int) -> Callable[[str], int]:
    """A whole number from `least` on."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise _refuse(f"a whole number from {least} on, such as {example}", text)
        return value

    return read


whole = at_least(1, 3)


def up_to(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`."""

    def read(text: str) -> int:
        if (value := whole(text)) > most:
            raise _refuse(f"a whole number from 1 to {most}", text)
        return value

    return read


def positive(
    expected: str, none: bool = False, least: float = 0.0, most: float = math.inf
) -> Callable[[str], float]:
    """A finite number above 0, or with `none` 0 too. `expected`: its unit and an example, in words.
    least, most: what it can be at all; beyond them it is of another unit, or a slip."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if none and value == 0:
            return 0.0
        if not 0 < value < math.inf:
            raise _refuse(expected, text)
        if not least <= value <= most:
            raise _refuse(f"{expected}, between {least:g} and {most:g}", text)
        return value

    return read


def names(example: str) -> Callable[[str], list[str]]:
    """Names with commas between; blanks around them and a comma at the end are nothing. An empty place is
    refused: it is often a variable of the shell that is not set."""

    def read(text: str) -> list[str]:
        found = [part.strip() for part in text.rstrip().removesuffix(",").split(",")]
        if not any(found):
            raise _refuse(f"names with commas between, such as {example}", text)
        if not all(found):
            place = found.index("") + 1
            raise argparse.ArgumentTypeError(f"there is no name at place {place} of {text!r}; take a comma out")
        return list(dict.fromkeys(found))

    return read


def one_of(*known: str) -> Callable[[str], str]:
    """One of a few words."""

    def read(text: str) -> str:
        from optimizers.shared.near import near

        if text not in known:
            expected = " or ".join([", ".join(known[:-1]), known[-1]])
            raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}{near(text, known)}")
        return text

    return read


def path(text: str) -> Path:
    """Where something is or will be; `~` is one's home."""
    if not text or "\0" in text:
        raise _refuse("a path, such as results", text)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # of somebody who is not known here
        return Path(text)


def folder(text: str) -> Path:
    """A folder, which need not be there yet."""
    where = path(text)
    if _kind(where) == "a file":
        raise argparse.ArgumentTypeError(f"{where} is a file; name a folder")
    return where


def existing_folder(text: str) -> Path:
    """A folder that is there."""
    where = folder(text)
    if not _kind(where):
        raise argparse.ArgumentTypeError(f"there is no folder {where}")
    return where


def existing_file(text: str) -> str:
    """A file that is there, by its absolute path."""
    where = Path(text).expanduser().absolute()
    if _kind(where) != "a file":
        raise argparse.ArgumentTypeError(
            f"{where} is a folder" if _kind(where) else f"there is no file {where}"
        )
    return str(where)


def _kind(where: Path) -> str:
    """`a folder`, `a file` (whatever is not a folder), or "" where there is nothing."""
    try:
        return "a folder" if where.is_dir() else "a file" if where.exists() else ""
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise argparse.ArgumentTypeError(f"{where}: {error.strerror}") from None
