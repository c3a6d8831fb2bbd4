"""Build the site: every page of every sweep, from a results folder and nothing else.

Same results, same bytes: no page holds a time of its own. Layout of the site:
index.html, <sweep>/*.html, <sweep>/cells/, <sweep>/figures/, records/<trial_id>.html, assets/.
"""

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchmark import store
from benchmark.report import (
    cells,
    claims,
    figures,
    flips,
    leaderboard,
    method,
    optimizer,
    parity,
    progress,
    records,
    speedup,
    style,
    text,
    tuning,
)
from benchmark.report.study import Study, studies

HERE = Path(__file__).parent
PAGES = (
    ("index.html", "Leaderboard"),
    ("speedup.html", "Speedup"),
    ("flips.html", "Flips"),
    ("tuning.html", "Tuning"),
    ("optimizers/index.html", "Optimizers"),
    ("claims.html", "Claims"),
    ("method.html", "Method"),
)


def build(results: Path, out: Path) -> Path:
    """Write the site for `results` into `out` and return its index. Raises ValueError without records."""
    loaded = store.load(results)
    found = studies(loaded)
    if not found:
        hint = f"; {len(loaded.damaged)} damaged file(s), first {loaded.damaged[0]}" if loaded.damaged else ""
        raise ValueError(
            f"no records in {results}; run a sweep first, or name another folder with --results{hint}"
        )
    twins = parity.load(results)
    site = Site(out, found)
    site.write_assets()
    for study in found:
        _write_study(site, study, loaded.damaged)
        optimizer.write(site, study, slug(study.name), twins)
    records.write(site, loaded, found)
    return out / "index.html"


def slug(name: str) -> str:
    """A file name for any name: unchanged where it is harmless, else marked by a hash so that none collide."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".")
    return safe if safe == name.replace("/", "--") else f"{safe}-{sha256(name.encode()).hexdigest()[:6]}"


def safe_url(url: str) -> str:
    """The address if it leads to the web; a harmless one for any other scheme."""
    return url if re.match(r"https?://", url) else "#"


@dataclass
class Site:
    """Where pages go and what they share."""

    out: Path
    studies: list[Study]

    def __post_init__(self) -> None:
        self._made: set[Path] = set()
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self.env.filters.update(
            text.FILTERS, safe_url=safe_url, slug=slug, marker=lambda o: Markup(style.marker(o))
        )

    def write_assets(self) -> None:
        assets = self.out / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        for source in sorted((HERE / "static").iterdir()):
            (assets / source.name).write_bytes(source.read_bytes())
        (assets / "charts.js").write_text(figures.javascript(), encoding="utf-8")

    def render(self, template: str, **values: Any) -> str:
        return self.env.get_template(template).render(**values)

    def write(
        self, path: str, template: str, study: Study | None, base: str | None = None, **values: Any
    ) -> None:
        """Render a page. `path` is relative to the site, `base` the way from the page to its sweep's folder."""
        folder = posixpath.dirname(path)
        root = "../" * (folder.count("/") + 1) if folder else ""
        if base is None:
            base = root + (f"{slug(study.name)}/" if study else "")
        owner = study or self.studies[0]
        home = f"{root}{slug(owner.name)}/"
        shared = {
            "root": root, "base": base, "study": study, "sweeps": self.studies, "figures": [], "here": "",
            "nav": self._nav(root, home), "filename": "index.html",
        }  # fmt: skip
        self.text(path, self.render(template, **{**shared, **values}))

    def _nav(self, root: str, home: str) -> list[tuple[str, str]]:
        pages = [(home + page, label) for page, label in PAGES]
        if self.published:
            pages.insert(-1, (f"{root}{slug(self.published.name)}/index.html", "Published"))
        return pages

    @cached_property
    def published(self) -> Study | None:
        """The first study of others among the results."""
        return next((s for s in self.studies if s.theirs), None)

    def text(self, path: str, content: str) -> None:
        target = self.out / path
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        target.write_text(content, encoding="utf-8")


def _write_study(site: Site, study: Study, damaged: tuple[str, ...]) -> None:
    folder = slug(study.name)
    _write_page(
        site, study, "index.html", "Published" if study.theirs else "Leaderboard", leaderboard.page(study)
    )
    _write_page(site, study, "speedup.html", "Speedup", speedup.page(study))
    _write_page(site, study, "flips.html", "Flips", flips.page(study))
    for name, context in tuning.pages(study):
        _write_page(site, study, slug(name), "Tuning", context, "tuning.html")
    _write_page(site, study, "claims.html", "Claims", claims.page(study, site.published))
    _write_page(site, study, "progress.html", "", progress.page(study))
    _write_page(site, study, "method.html", "Method", method.page(study, damaged))
    cells.write(site, study, folder)


def _write_page(
    site: Site, study: Study, name: str, label: str, context: dict[str, Any], template: str = ""
) -> None:
    """Write a sweep's page, and the files of its figures. `template` is the page's own name by default."""
    drawn = [figure for figure in context.pop("figures", ()) if figure is not None]
    for figure in drawn:
        figure.save(site.out / slug(study.name) / "figures")
    template = "leaderboard.html" if name == "index.html" else template or name
    shared = {"here": label, "filename": template if "-" in name else name, "figures": drawn, **context}
    site.write(f"{slug(study.name)}/{name}", template, study, **shared)
    if name == "index.html" and study is site.studies[0]:
        site.write(name, template, study, **shared)
