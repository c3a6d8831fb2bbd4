"""Reading files that anybody may have written, and writing files that anybody may read meanwhile.

Plain files only are read, so much at a time, each line by itself: a link that leads nowhere, a folder, a pipe
that never ends or a line of a gigabyte is one ValueError. What is written is there whole or not at all.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 8 * 2**20  # bytes; a record has about two thousand
LARGEST = 64 * 2**20  # bytes of a file that is read in one piece: manifests of ours have a quarter of a million
SKIPPED = 2**30  # bytes of a line too long that are passed over before the file is given up


def content(path: Path, most: int = LARGEST) -> bytes:
    """A file in one piece. Raises ValueError where it is no plain file, cannot be read, or is larger."""
    handle = _opened(path)
    try:
        with os.fdopen(handle, "rb") as file:
            read = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if len(read) > most:
        raise ValueError(f"larger than {most // 2**20} MiB")
    return read


def lines(path: Path) -> Iterator[tuple[int, bytes | ValueError]]:
    """Number and content of every line that is not blank; of one that is too long what is wrong with it.

    Raises ValueError where the file cannot be read, or not to its end.
    """
    with os.fdopen(_opened(path), "rb") as file:
        number = 0
        try:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    passed = len(line)
                    while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                        passed += len(line)
                        if passed > SKIPPED:
                            raise ValueError(f"line {number} does not end; what follows is not read")
                    yield number, ValueError(f"longer than {LONGEST_LINE // 2**20} MiB")
                elif line.strip(b" \t\r\n\xef\xbb\xbf"):
                    yield number, line
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from None


def name(path: Path) -> str:
    """A path for a message: on one line, whatever is in it."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to `path` so that a reader, or a crash, sees the old file or the new one, never half."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes its place at `path` whole when the block ends, and not if it raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide results from other readers
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)


def _opened(path: Path) -> int:
    """A handle of a plain file. A pipe would wait for its writer, and a device may have no end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', error)})") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("cannot be read (it is no plain file)")
    return handle
