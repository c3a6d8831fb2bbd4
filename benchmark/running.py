"""What is known of trials while they run: one file of JSON lines each, in a sweep's folder.

A line is written every few seconds by the process that trains, and read by the progress page and by whoever
likes. The file of a trial that has ended is removed, because its record says more.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.files import write_atomically

FOLDER = "running"
LARGE_BYTES, SAMPLES, LINE_BYTES = 200_000, 100, 2_000  # of a file that `read` does not read whole


@dataclass(frozen=True)
class Line:
    """What a run has come to.

    time: in seconds since 1970. loss: the mean training loss since the last line, in nats per token.
    tokens_per_second: since the last line, of this trial. share_of_peak: FLOPs of the model, as a share of what
    the device could do in that time, with all that is trained beside it in one program; None where the device's
    peak is not known. note: what went wrong beside the training.
    """

    time: float
    trial_id: str
    optimizer: str
    task: str
    step: int
    steps: int
    tokens: int
    loss: float
    tokens_per_second: float
    share_of_peak: float | None
    host: str
    pid: int
    note: str = ""


def append(folder: Path, line: Line) -> None:
    """Add a line to its trial's file. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with _file(folder, line.trial_id).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(line)) + "\n")


def cut(folder: Path, trial_id: str, step: int) -> None:
    """Remove what was said of steps beyond this one: the run goes on from there. Raises OSError."""
    kept = [line for line in lines(_file(folder, trial_id)) if line.step <= step]
    text = "".join(json.dumps(dataclasses.asdict(line)) + "\n" for line in kept)
    if kept:
        write_atomically(_file(folder, trial_id), text)
    else:
        end(folder, trial_id)


def end(folder: Path, trial_id: str) -> None:
    """Remove a trial's file."""
    with contextlib.suppress(OSError):
        _file(folder, trial_id).unlink(missing_ok=True)


def read(sweep: Path) -> list[list[Line]]:
    """The lines of every trial that has a file in this sweep's folder, in order of optimizer and task; of a run
    of days some of them, and the last."""
    found = [list(_sampled(path)) for path in sorted((sweep / FOLDER).glob("*.jsonl"))]
    return sorted(filter(None, found), key=lambda each: (each[-1].optimizer, each[-1].task, each[-1].trial_id))


def lines(path: Path) -> Iterator[Line]:
    """What can be read of a file that may be being written."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    yield from _parsed(text.splitlines())


def _sampled(path: Path) -> Iterator[Line]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = path.stat().st_size
        if size <= LARGE_BYTES:
            yield from _parsed(file.read().decode(errors="replace").splitlines())
            return
        for k in range(SAMPLES):
            file.seek(k * (size - 2 * LINE_BYTES) // (SAMPLES - 1))
            whole = file.read(2 * LINE_BYTES).decode(errors="replace").split("\n")[1:-1]
            yield from _parsed(whole[-1:])


def _parsed(texts: Iterable[str]) -> Iterator[Line]:
    for each in texts:
        with contextlib.suppress(ValueError, TypeError):
            yield Line(**json.loads(each))


def _file(folder: Path, trial_id: str) -> Path:
    return folder / f"{trial_id}.jsonl"
