"""Which files of a folder are text, and what was left out of it and why."""

import os
from collections.abc import Iterator
from pathlib import Path

from benchmark.data import files

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "lost+found", "$recycle.bin", "system volume information"}
DESCRIPTIONS = {"readme.md", "readme.rst", "readme.markdown"}  # of the data: a hub puts one into every folder
NAMED = 3  # examples in a line about what was left out


class LeftOut:
    """What of a folder was not read, by reason, for lines to people."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, list[str]] = {}
        self._fields: dict[str, list[str]] = {}
        self.rows_without_text = 0

    def add(self, reason: str, path: Path) -> None:
        self._names.setdefault(reason, []).append(self._shown(path))

    def found(self, field: str, path: Path) -> None:
        """Note in which field of a file its text stands."""
        self._fields.setdefault(field, []).append(self._shown(path))

    def lines(self) -> list[str]:
        told = [f"left out {_some(names)}: {reason}" for reason, names in self._names.items()]
        told += [f"text is in the field {field!r} of {_some(names)}" for field, names in self._fields.items()]
        if self.rows_without_text:
            told.append(f"left out {self.rows_without_text:,} rows without text")
        return told

    def _shown(self, path: Path) -> str:
        relative = path.name if path == self.root else os.path.relpath(path, self.root)
        return files.printable(relative)


def text_files(root: Path, left: LeftOut) -> list[Path]:
    """The files below a folder that are text by their names, each once, in an order of their names alone.

    Links are followed and judged by their own names, as in a hub's cache, where they lead to files without a
    suffix. Raises ValueError for a folder that cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    found = []
    for path in _entries(root, left, seen):
        try:
            stat = path.stat()
        except OSError:
            left.add("links to nothing", path)
            continue
        if not path.is_file():
            left.add("neither file nor folder", path)
        elif not files.kind(path.name):
            left.add("another kind of file" if path.suffix else "no suffix that says what it is", path)
        elif path.name.casefold() in DESCRIPTIONS:
            left.add("describes the data", path)
        elif (stat.st_dev, stat.st_ino) in seen:
            left.add("the same file as another", path)
        else:
            seen.add((stat.st_dev, stat.st_ino))
            found.append(path)
    return found


def _entries(folder: Path, left: LeftOut, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Everything that is no folder, depth first, but for what is hidden or a system's own."""
    pending = [folder]
    while pending:
        path = pending.pop()
        if path != folder and (path.name.startswith(".") or path.name.casefold() in CLUTTER):
            left.add("hidden, or of a system", path)
            continue
        try:
            is_folder = path.is_dir()
        except OSError:  # a link into a folder of another user's
            left.add("may not be looked at", path)
            continue
        if not is_folder:
            yield path
        else:
            stat = path.stat()
            if (stat.st_dev, stat.st_ino) in seen:
                left.add("a folder that was read already", path)
                continue
            seen.add((stat.st_dev, stat.st_ino))
            try:
                pending += sorted(path.iterdir(), key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                raise ValueError(f"{files.printable(path)} cannot be read ({error.strerror})") from None


def _some(names: list[str]) -> str:
    """`3 files (a, b, c)`, at most NAMED of them by name."""
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names):,} {'file' if len(names) == 1 else 'files'} ({', '.join(names[:NAMED])}{more})"
