"""Ctrl-C, SIGTERM (a scheduler, `docker stop`, `timeout`) and SIGHUP (a closed terminal) end a command alike.

One line says what is kept and how to go on; the exit status is 128 + the signal; no process of the command's is
left. While a command's own work runs, a signal is a KeyboardInterrupt in its main thread, which puts things in
order. It ends at once where nothing is to be put in order, if it is told twice, and if order takes too long.
Training is told by a question instead (`held`, `requested`), so that it ends with its state kept.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ORDER_SECONDS = 8.0  # `docker stop` kills after ten
RETELL_SECONDS = 0.05
TWICE_SECONDS = 1.0  # `timeout` sends every signal twice; what comes later is meant

_line = "Interrupted before anything was begun; run the command again."
_received: tuple[int, float] | None = None  # the first signal, and when it came
_retold = threading.Semaphore(0)  # how many signals are to come that nobody sent
_told = False  # whether the main thread has been told, by a KeyboardInterrupt or a handler of a library's
_temporary: list[Path] = []
_working = False  # whether a KeyboardInterrupt would be caught
_held = 0  # blocks under way that ask by themselves
_allowed = 0.0  # until when order may take, where somebody has asked for longer
_first: list[Callable[[], None]] = []  # what is done before the main thread is told
_listened: Callable[[], None] | None = None  # in a worker: how it leaves
_theirs: Any = None  # a library's own handler of Ctrl-C, which is told by ours


def run(main: Callable[[], int], line: str) -> int:
    """What main() returns, or 128 + the signal that stopped it, with the line on stderr."""
    global _line, _received, _working, _told, _allowed
    if threading.current_thread() is not threading.main_thread():
        return main()  # signals go to the main thread, and so to whoever holds that
    before = {number: signal.getsignal(number) for number in SIGNALS}
    outer, there = (_line, _received, _working, _told), set(descendants(os.getpid()))
    _line, _received, _working, _told, _allowed = line, None, True, False, 0.0
    _install()
    with _watched():
        try:
            status = main()
            # what broke because its processes were told to stop, too
            return _stopped(there) if _received and status else status
        except KeyboardInterrupt:
            return _stopped(there)
        except SystemExit:
            if not _received:
                raise
            return _stopped(there)
        finally:
            _line, _received, _working, _told = outer
            for number, handler in before.items():
                signal.signal(number, handler)


def _stopped(there: set[int]) -> int:
    """Say the line, and end what has been started since `there`."""
    print(f"\n{_line}", file=sys.stderr, flush=True)
    end_all(pid for pid in descendants(os.getpid()) if pid not in there)
    return _status()


def requested() -> bool:
    """Whether a signal has come that this command is about to heed."""
    return _received is not None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While inside, a signal raises nothing: the block asks `requested()` now and then and ends by itself. What
    the signal would have done is done then."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if _received and not _held and threading.current_thread() is threading.main_thread():
            if _listened:
                _listened()
            elif _working:
                _tell(None)


def allow(seconds: float) -> None:
    """Let what puts things in order take so long from now on, instead of ORDER_SECONDS."""
    global _allowed
    _allowed = max(_allowed, time.monotonic() + seconds)


@contextlib.contextmanager
def first(what: Callable[[], None]) -> Iterator[None]:
    """While inside, a signal does this before anything else, in the main thread."""
    _first.append(what)
    try:
        yield
    finally:
        _first.remove(what)


def listen(leave: Callable[[], None] | None = None) -> None:
    """In a worker, which others end: a SIGTERM has it leave, but where its main thread is in a block of held()
    only when that has ended. leave: how, by default with 128 + the signal as its status."""
    global _listened
    if threading.current_thread() is not threading.main_thread() or _listened:
        return
    _listened = leave or (lambda: sys.exit(_status()))

    def heed(number: int, frame: FrameType | None) -> None:
        global _received
        _received = _received or (number, time.monotonic())
        if not _held and _listened:
            _listened()

    signal.signal(signal.SIGTERM, heed)


def again() -> None:
    """Take the signals back from a library that has taken them since. Does nothing outside run()."""
    global _theirs
    if _working and threading.current_thread() is threading.main_thread():
        _theirs = None
        _install()


def share() -> None:
    """As again(), but a library that has taken Ctrl-C is told of signals, once what comes `first` is done."""
    global _theirs
    theirs = signal.getsignal(signal.SIGINT)
    here = _working and threading.current_thread() is threading.main_thread()
    if here and callable(theirs) and theirs is not _heed:
        again()
        _theirs = theirs


def descendants(pid: int) -> list[int]:
    """Process ids of all below a process, parents before their children."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # one that ends meanwhile
            parent = int(stat.read_text().rpartition(") ")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += (child for child in children.get(parent, ()) if child not in found)
    return found[1:]


def end_all(pids: Iterable[int], patience: float = 0.0) -> None:
    """Kill those of these processes that have not ended by themselves after so many seconds.

    In the order given: a shell that outlives its child says "Killed" of it.
    """
    pids = list(pids)
    deadline = time.monotonic() + patience
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        if alive(pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def unless_done(seconds: float, otherwise: Callable[[], None]) -> Iterator[None]:
    """Call `otherwise`, in a thread, if the block takes longer: it should end the process, since what hangs
    heeds nothing gentler."""
    timer = threading.Timer(seconds, otherwise)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def alive(pid: int) -> bool:
    """Whether a process is there and not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X", "")
    except OSError:
        return False


def _install() -> None:
    for number in SIGNALS:
        handler = signal.getsignal(number)
        # `nohup` ignores SIGHUP, and a shell SIGINT for what runs in the background: so do we
        if handler is not signal.SIG_IGN:
            signal.signal(number, _heed)


def _heed(number: int, frame: FrameType | None) -> None:
    global _received
    _received = _received or (number, time.monotonic())
    if not _working:
        end()
    if not _held:
        _tell(frame)


def _tell(frame: FrameType | None) -> None:
    """Tell the main thread, which this is, that a signal came."""
    global _told
    if _told:  # it is being heeded: what comes again is counted by the watcher alone
        return
    _told = True
    for what in _first:
        what()
    theirs = _theirs or signal.getsignal(signal.SIGINT)  # Tune's, while it runs: it lets go of its workers
    if theirs is _heed or not callable(theirs):
        raise KeyboardInterrupt
    theirs(signal.SIGINT, frame)


def _status() -> int:
    return 128 + (_received[0] if _received else signal.SIGINT)


def end(status: int | None = None, line: str | None = None) -> None:
    """End this process and all below it now, with this line and status or those of a stop."""
    status = _status() if status is None else status
    with contextlib.suppress(OSError):  # such as a closed terminal; sys.stderr may be in use where this came
        os.write(2, f"\n{_line if line is None else line}\n".encode())
    end_all(descendants(os.getpid()))
    for folder in _temporary:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)


@contextlib.contextmanager
def removing(folder: Path) -> Iterator[None]:
    """Remove a folder when the block ends, and where end() ends the process in it."""
    _temporary.append(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _temporary.remove(folder)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Count signals in a thread: the main one may be in a library that waits for something else."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    timers: list[threading.Timer] = []

    def arm(seconds: float) -> None:
        timers.append(threading.Timer(seconds, late))
        timers[-1].daemon = True
        timers[-1].start()

    def late() -> None:
        more = _allowed - time.monotonic()
        arm(more) if more > 0 else end()

    def watch() -> None:
        global _received
        while number := os.read(reading, 1)[0]:
            if number not in SIGNALS or _retold.acquire(blocking=False):
                continue
            now = time.monotonic()
            _received = _received or (number, now)
            if now - _received[1] > TWICE_SECONDS:
                end()
            if not timers:
                arm(ORDER_SECONDS)

    def lost(about: "sys.UnraisableHookArgs") -> None:
        """A KeyboardInterrupt that came in a destructor, which cannot raise: tell it again."""
        global _told
        if about.exc_type is not KeyboardInterrupt or not _received:
            return hook(about)
        _told = False
        _retold.release()
        main, number = threading.main_thread().ident, _received[0]
        return threading.Timer(RETELL_SECONDS, signal.pthread_kill, (main, number)).start()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    hook, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        os.write(writing, b"\0")
        watcher.join()
        for timer in timers:
            timer.cancel()
        os.close(reading)
        os.close(writing)


def _own_process() -> bool:
    """Whether this is the process of one of the project's commands, and not one that it started."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", "").partition(".")[0] in ("sweeps", "benchmark")


if _own_process():  # imports come next, which are slow and have nothing to put in order
    _install()
