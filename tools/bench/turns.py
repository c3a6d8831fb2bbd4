"""Contestants take turns: each is a process of its own, on one core, that does one block of work when told to.

A B C A B C ...: whatever slows the machine for a while meets all of them. A process of its own keeps one
framework's threads and memory out of another's way.
"""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmark import resources

Build = Callable[..., Callable[[], object]]


@dataclass(frozen=True)
class Contestant:
    """Something to time, in a process of its own."""

    name: str
    work: float
    """What a block does, in tokens or FLOPs."""

    build: Build
    """build(*arguments), called in the process, returns the block: a function without arguments, run once to
    compile and warm up and then timed. If a block returns a float, that is its wall seconds."""

    arguments: tuple = ()
    """For `build`."""


@dataclass(frozen=True)
class Clock:
    """Which clock counts. On one core of a CPU it is the process's CPU time, which is wall time on a quiet
    machine and changes little on a busy one; on an accelerator it is wall time, and nothing is pinned."""

    pinned: bool

    def seconds(self, wall: float, cpu: float) -> float:
        return cpu if self.pinned else wall


class Worker:
    """One contestant's process."""

    def __init__(self, contestant: Contestant, core: int | None) -> None:
        self.contestant = contestant
        context = multiprocessing.get_context("spawn")  # a forked framework may hang
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, contestant.build, contestant.arguments, core)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def begin(self) -> None:
        """Start a block without waiting for it."""
        self._pipe.send(True)

    def finish(self) -> tuple[float, float]:
        """Wait for the block: its wall and CPU seconds. The first answer is that of the warm-up."""
        try:
            answer = self._pipe.recv()
        except EOFError:
            answer = "its process ended"
        if isinstance(answer, str):
            raise ValueError(f"{self.contestant.name}: {answer}")
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()


@contextlib.contextmanager
def workers(contestants: Sequence[Contestant], cores: Sequence[int | None]) -> Iterator[list[Worker]]:
    """One warm process per contestant on the core beside it in `cores`, closed at the end."""
    with contextlib.ExitStack() as stack:
        started = []
        for contestant, core in zip(contestants, cores, strict=True):
            worker = Worker(contestant, core)
            stack.callback(worker.close)
            worker.finish()  # compiles: one after the other
            started.append(worker)
        yield started


def take_turns(contestants: Sequence[Contestant], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Seconds of every block, [rounds] by contestant's name."""
    core = first_cores(1)[0] if clock.pinned else None
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    with workers(contestants, [core] * len(contestants)) as started:
        for _ in range(rounds):
            for worker in started:
                worker.begin()
                seconds[worker.contestant.name].append(clock.seconds(*worker.finish()))
    return seconds


def first_cores(count: int) -> list[int]:
    """Cores that this process may use, the last ones first: the first one serves interrupts."""
    allowed = resources.affinity()[::-1]
    if len(allowed) < count:
        raise ValueError(f"{count} cores are needed, but this process may use {len(allowed)}")
    return allowed[:count]


def ask(question: Callable[..., Any], *arguments: Any) -> Any:
    """What `question(*arguments)` answers in a fresh process, so that this one needs no framework."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(question, arguments)


def _serve(pipe: Connection, build: Build, arguments: tuple, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})  # before a framework counts the cores
    try:
        block = build(*arguments)
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            own = block()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            pipe.send((own if isinstance(own, float) else wall, cpu))
            pipe.recv()
    except (EOFError, BrokenPipeError):  # the bench ended
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
