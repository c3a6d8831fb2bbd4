"""A running sweep's progress page, rebuilt as records land.

`python -m benchmark.report.live RESULTS OUT SWEEP` builds it. The sweep must not notice: that process has a
low priority and is started again only after a pause of a hundred times the processor time that it took, so
that it costs at most 1 % of one core. Whatever goes wrong in it ends it and nothing else.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

EVERY = 20.0  # seconds between two builds at least
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
        self.child: subprocess.Popen[bytes] | None = None
        self.next = 0.0

    def due(self) -> bool:
        """Whether a build may start now. Takes note of the last one's end and cost."""
        if self.child is not None:
            pid, _, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.child.returncode, self.child = 0, None
            self.next = time.monotonic() + max(EVERY, (usage.ru_utime + usage.ru_stime) / SHARE)
        return time.monotonic() >= self.next

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
    them.
    """
    page, told = Page(results, out, sweep), driver.on_record

    def record_came(*news: Any) -> None:
        if told:
            told(*news)
        with contextlib.suppress(OSError):  # no process, no disk: the sweep goes on without its page
            if page.due():
                driver.write_manifest()
                page.start()

    driver.on_record = record_came
    try:
        yield page
    finally:
        driver.on_record = told
        with contextlib.suppress(OSError):
            page.close()


def build(results: Path, out: Path, sweep: str) -> Path:
    """Write one sweep's progress page into a site, beside what is there, and return it.

    Raises ValueError for an unknown sweep.
    """
    from benchmark import store
    from benchmark.report import pages
    from benchmark.report.pages import progress
    from benchmark.report.site import HERE, Site, slug
    from benchmark.studies import studies

    loaded = store.load(results)
    found = studies(loaded)
    study = next((s for s in found if s.name == sweep), None)
    if study is None:
        raise ValueError(f"no sweep {sweep!r} in {results}")
    there = {s.name for s in found if (out / slug(s.name) / "index.html").exists()}
    shown = [s for s in found if s.name in there] if sweep in there else [study]
    linked = pages.found() if sweep in there else []  # the others come with the sweep's end
    site = Site(out, shown, loaded, results, linked)
    path = f"{slug(sweep)}/{progress.FILE}"
    for asset in ("site.css", "site.js"):
        site.text(f"assets/{asset}", (HERE / "static" / asset).read_text(encoding="utf-8"))
    site.list_files(
        {p: m for p, m in site.before.items() if p != path}
    )  # a killed build must not look finished
    site.write(path, "progress.html", study, filename=progress.FILE, live=True, **progress.page(study))
    site.list_files({**site.before, **site.written})
    return out / path


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
