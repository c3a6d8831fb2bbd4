"""A running sweep's progress page, rebuilt as records land.

`python -m benchmark.report.live RESULTS OUT SWEEP` builds it. The sweep must not notice: that process has a
low priority and is started again only after a pause of a hundred times the processor time that it took, so
that it costs at most 1 % of one core. Whatever goes wrong in it ends it and nothing else.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from benchmark import running
from benchmark.report.addresses import slug

EVERY = 20.0  # seconds between two builds at least
REFRESH = 5.0  # seconds between two readings of what the trials that are running have come to
SHARE = 0.01  # of one core at most
NICE = 10  # a tenth of a busy core: at 19 the page would come minutes late


class Watched(Protocol):
    """What a sweep's driver offers: a callback for each record, and its manifest on disk."""

    on_record: Callable[..., None] | None

    def write_manifest(self) -> None: ...


class Page:
    """Starts a build of one sweep's progress page when one is due."""

    def __init__(self, results: Path, out: Path, sweep: str) -> None:
        self.command = [sys.executable, "-P", "-m", "benchmark.report.live", *map(str, (results, out, sweep))]
        self.results, self.out, self.sweep = results, out, sweep
        self.child: subprocess.Popen[bytes] | None = None
        self.next = 0.0
        self.lock = threading.Lock()
        self.lists_trials = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what hangs on its searcher, and a lock and a process cannot be."""
        return {}

    def due(self) -> bool:
        """Whether a build may start now. Takes note of the last one's end and cost."""
        if self.child is not None:
            pid, _, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.child.returncode, self.child = 0, None
            self.next = time.monotonic() + max(EVERY, (usage.ru_utime + usage.ru_stime) / SHARE)
        return time.monotonic() >= self.next

    def refresh(self) -> None:
        """Say on the page what the trials that are running have come to, without a build, but where there is no
        page yet. Costs a millisecond for each of them."""
        folder = self.results / self.sweep
        there = any((folder / running.FOLDER).glob("*.jsonl"))
        due = self.due()
        if self.child is not None or not (there or self.lists_trials):
            return  # a build is under way, or nothing takes long
        from benchmark.report import running_trials

        self.lists_trials = there
        if not running_trials.refresh(self.out / slug(self.sweep) / "progress.html", folder) and due:
            self.start()

    def start(self) -> None:
        none = subprocess.DEVNULL
        # "-P" and our own path: the child imports what this process does, whatever folder it is started in
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.child = subprocess.Popen(self.command, stdin=none, stdout=none, stderr=none, env=env)

    def close(self) -> None:
        """End a build that is still going: the whole site is built next."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


@contextlib.contextmanager
def watch(driver: Watched, results: Path, out: Path, sweep: str) -> Iterator[Page]:
    """While the block runs, rebuild the sweep's progress page after records, beside whoever else is told of
    them, and bring what it says of running trials up to date every few seconds.
    """
    page, told = Page(results, out, sweep), driver.on_record

    def record_came(*news: Any) -> None:
        if told:
            told(*news)
        with contextlib.suppress(OSError), page.lock:  # no process, no disk: the sweep goes on without its page
            if page.due():
                driver.write_manifest()
                page.start()

    def follow() -> None:
        while not over.wait(REFRESH):
            with contextlib.suppress(OSError, ImportError), page.lock:
                page.refresh()

    over, following = threading.Event(), threading.Thread(target=follow, daemon=True)
    driver.on_record = record_came
    following.start()
    try:
        yield page
    finally:
        over.set()
        following.join()
        driver.on_record = told
        with contextlib.suppress(OSError):
            page.close()


def build(results: Path, out: Path, sweep: str) -> Path:
    """Write one sweep's progress page into a site, beside what is there, and return it.

    Raises ValueError for an unknown sweep.
    """
    from benchmark import store
    from benchmark.report import pages, running_trials
    from benchmark.report.pages import progress
    from benchmark.report.site import Site
    from benchmark.studies import studies

    loaded = store.load(results)
    found = studies(loaded)
    path = f"{slug(sweep)}/{progress.FILE}"
    part = running_trials.section(results / sweep)
    study = next((s for s in found if s.name == sweep), None)
    if study is None:
        if sweep not in loaded.sweeps:
            raise ValueError(f"no sweep {sweep!r} in {results}")
        _assets(site := Site(out, [], loaded, results))
        site.before.pop(path, None)
        site.write(path, "starting.html", None, heading="Progress", sweep=sweep, live=True, running=part)
        site.list_files({**site.before, **site.written})
        return out / path
    there = {s.name for s in found if (out / slug(s.name) / "index.html").exists()}
    shown = [s for s in found if s.name in there] if sweep in there else [study]
    linked = pages.found() if sweep in there else []  # the others come with the sweep's end
    site = Site(out, shown, loaded, results, linked)
    _assets(site)
    site.before.pop(path, None)  # it is changed between two builds
    site.list_files(site.before)  # a killed build must not look finished
    content = {"filename": progress.FILE, "live": True, "running": part, **progress.page(study)}
    site.write(path, "progress.html", study, **content)
    site.list_files({**site.before, **site.written})
    return out / path


def _assets(site: Any) -> None:
    from benchmark.report.site import HERE

    for asset in ("site.css", "site.js"):
        site.text(f"assets/{asset}", (HERE / "static" / asset).read_text(encoding="utf-8"))


def main(arguments: list[str] | None = None) -> int:
    """Build the page at a low priority; the exit status."""
    from benchmark.arguments import Parser, folder

    parser = Parser(
        prog="python -m benchmark.report.live",
        usage="%(prog)s RESULTS OUT SWEEP",
        description="Build one page.",
    )
    parser.add_argument("results", type=folder, help="where the records are")
    parser.add_argument("out", type=folder, help="where the site is or will be")
    parser.add_argument("sweep", help="whose progress page")
    asked = parser.parse_args(arguments)
    os.nice(NICE)
    try:
        build(asked.results, asked.out, asked.sweep)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
