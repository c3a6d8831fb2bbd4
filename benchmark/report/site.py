"""The site as files: rendering, writing what changed, and removing what a build no longer makes.

assets/files.json lists every file that a build wrote, with a digest. Nothing else in the folder is touched.
"""

import hashlib
import itertools
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from benchmark import measurements
from benchmark.files import write_atomically
from benchmark.report import parity, style, text
from benchmark.report.addresses import safe_url, slug
from benchmark.report.place import FILES
from benchmark.store import MEASUREMENTS, Results
from benchmark.study import Study

HERE = Path(__file__).parent
PUBLISHED = 65  # the place in the head of others' results, among the pages' ORDER


def digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


@dataclass(frozen=True)
class Page:
    """What a module of pages/ states. write: for one study; write_site: once."""

    name: str
    file: str
    label: str
    order: int
    write: Callable[["Site", Study], None] | None
    write_site: Callable[["Site"], None] | None


@dataclass
class Site:
    """Where pages go and what they share. Call `finish` when everything is written.

    results, source: all records, and the folder that they are from. pages: those that there are; the head of
    each leads to the others. before, written: path -> digest, of the last build and of this one. machines,
    parity: what else was measured. damaged: a line for each thing among the results that could not be used.
    """

    out: Path
    studies: list[Study]
    results: Results
    source: Path
    pages: Sequence[Page] = ()
    written: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._made: set[Path] = set()
        self.damaged = list(self.results.damaged)
        self.machines = measurements.machines(self.source / MEASUREMENTS, self.damaged)
        self.parity = parity.load(self.source, self.damaged)
        self.before = _listed(self.out)
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self.env.filters.update(
            text.FILTERS,
            safe_url=safe_url,
            slug=slug,
            appearance=style.appearance,
            groupby_order=lambda figures: [
                (k, list(g)) for k, g in itertools.groupby(figures, lambda f: f.group)
            ],
        )

    @cached_property
    def edition(self) -> str:
        """A digest of this package's own files: what decides, beside the records, what a page looks like."""
        sources = sorted(p for p in HERE.rglob("*") if p.suffix in (".py", ".html"))
        drawn_by = f"matplotlib {version('matplotlib')}"
        return digest(b"".join(path.read_bytes() for path in sources) + drawn_by.encode())

    def mark(self, *sources: Any) -> str:
        """A digest of what a file is made from, for `keep` and `bytes`."""
        return digest(f"{self.edition} {sources!r}")

    def template(self, name: str) -> str:
        """The template of a page of this name: its own where there is one, else the shared one."""
        return f"{name}.html" if f"{name}.html" in self.env.list_templates() else "page.html"

    def render(self, template: str, **values: Any) -> str:
        return self.env.get_template(template).render(**values)

    def put(
        self,
        study: Study,
        file: str,
        context: Mapping[str, Any],
        template: str = "page.html",
        label: str = "",
        menu: str = "",
        also: str = "",
    ) -> None:
        """Write a page of a sweep and the files of its figures.

        file: the page, below the sweep's folder. label: the entry in the head that it belongs to. menu: the
        page of another sweep that the menu of sweeps leads to, by default the same. also: a second path of the
        site for the same page.
        """
        drawn = [figure for figure in context.get("figures", ()) if figure is not None]
        for figure in drawn:
            figure.save(self, f"{slug(study.name)}/figures")
        shared = {**context, "here": label, "filename": menu or file, "figures": drawn}
        for path in filter(None, (f"{slug(study.name)}/{file}", also)):
            self.write(path, template, study, **shared)

    def write(self, path: str, template: str, study: Study | None, **values: Any) -> None:
        """Render a page and write it."""
        self.text(path, self.page(path, template, study, **values))

    def page(
        self, path: str, template: str, study: Study | None, base: str | None = None, **values: Any
    ) -> str:
        """Render a page. `path` is relative to the site, `base` the way from the page to its sweep's folder."""
        folder = posixpath.dirname(path)
        root = "../" * (folder.count("/") + 1) if folder else ""
        if base is None:
            base = root + (f"{slug(study.name)}/" if study else "")
        owner = study or next(iter(self.studies), None)
        nav = self.nav(root, f"{root}{slug(owner.name)}/") if owner else []
        shared = {
            "root": root, "base": base, "study": study, "sweeps": self.studies, "here": "",
            "nav": nav, "filename": "index.html", "live": False,
            "lead": "", "figures": [], "curves": None, "tables": (), "sections": (), "nothing": "",
        }  # fmt: skip
        return self.render(template, **{**shared, **values})

    def nav(self, root: str, home: str) -> list[tuple[str, str]]:
        """(address, label) of the main pages, from a page whose way up is `root`."""
        linked = [(page.order, home + page.file, page.label) for page in self.pages if page.label]
        others = self.published or next((s for s in self.studies if s.theirs), None)
        if linked and others:
            linked.append((PUBLISHED, f"{root}{slug(others.name)}/index.html", "Published"))
        return [(address, label) for _, address, label in sorted(linked, key=lambda entry: entry[0])]

    @cached_property
    def published(self) -> Study | None:
        """The results of the study whose claims are judged, where they are among the results."""
        return next((s for s in self.studies if s.is_source), None)

    def text(self, path: str, content: str) -> None:
        self.bytes(path, content.encode())

    def bytes(self, path: str, content: bytes, mark: str = "") -> None:
        """Write a file of the site unless it is there already. `mark`: a digest of what it was made from."""
        mark = mark or digest(content)
        if not self.keep(path, mark):
            target = self.out / path
            if target.parent not in self._made:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(target.parent)
            target.write_bytes(content)
            self.written[path] = mark

    def keep(self, path: str, mark: str) -> bool:
        """Whether the file is there and was made from the same; it then stays as it is."""
        same = self.before.get(path) == mark and (self.out / path).exists()
        if same:
            self.written[path] = mark
        return same

    def finish(self) -> None:
        """Remove what an earlier build wrote and this one did not, and list what there is."""
        gone = [self.out / path for path in self.before if path not in self.written]
        for path in gone:
            path.unlink(missing_ok=True)
        for folder in sorted(
            {up for path in gone for up in path.parents if self.out in up.parents}, reverse=True
        ):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self.list_files(self.written)

    def list_files(self, files: dict[str, str]) -> None:
        write_atomically(self.out / FILES, json.dumps(files, indent=0, sort_keys=True))


def _listed(out: Path) -> dict[str, str]:
    """What the last build says that it wrote into this folder, and nothing outside it; empty if it cannot
    be read.
    """
    try:
        files = json.loads((out / FILES).read_text(encoding="utf-8"))
        return {p: str(m) for p, m in files.items() if not p.startswith("/") and ".." not in p.split("/")}
    except (OSError, ValueError, AttributeError):
        return {}
