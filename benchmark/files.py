"""Reading files that anybody may have written: plain files only, so much at a time, each line by itself.

A link that leads nowhere, a folder, a pipe that never ends or a line of a gigabyte is one ValueError.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

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
