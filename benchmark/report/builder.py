"""Build the site: every page of every sweep, from a results folder and nothing else.

Same results, same bytes: no page holds a time of its own. Layout of the site:
index.html, <sweep>/*.html, <sweep>/cells/, <sweep>/figures/, records/<trial_id>.html, assets/.
Which pages there are: pages/__init__.py.
"""

from pathlib import Path

from benchmark import store
from benchmark.report import figures, pages
from benchmark.report.site import HERE, Site
from benchmark.study import studies


def build(results: Path, out: Path) -> Path:
    """Write the site for `results` into `out` and return its index. Raises ValueError without records."""
    loaded = store.load(results)
    found = studies(loaded)
    if not found:
        hint = f"; {len(loaded.damaged)} damaged file(s), first {loaded.damaged[0]}" if loaded.damaged else ""
        raise ValueError(
            f"no records in {results}; run a sweep first, or name another folder with --results{hint}"
        )
    site = Site(out, found, loaded, results, pages.found())
    _write_assets(site)
    for study in found:
        for page in site.pages:
            if page.write:
                page.write(site, study)
    for page in site.pages:
        if page.write_site:
            page.write_site(site)
    site.finish()
    return out / "index.html"


def _write_assets(site: Site) -> None:
    for source in sorted((HERE / "static").iterdir()):
        site.text(f"assets/{source.name}", source.read_text(encoding="utf-8"))
    mark = site.mark(figures.bundle())
    if not site.keep("assets/charts.js", mark):
        site.bytes("assets/charts.js", figures.javascript().encode(), mark)
