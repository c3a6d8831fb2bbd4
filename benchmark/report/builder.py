"""Build the site: every page of every sweep, from a results folder and nothing else.

Same results, same bytes: no page holds a time of its own. Layout of the site:
index.html, <sweep>/*.html, <sweep>/cells/, <sweep>/figures/, records/<trial_id>.html, assets/.
Which pages there are: pages/__init__.py.
"""

from pathlib import Path

from benchmark.report import figures, pages, place
from benchmark.report.site import HERE, Site
from benchmark.studies import Studies, load


def build(results: str | Path | Studies, out: str | Path) -> Path:
    """Write the site for `results`, a folder or what `benchmark.load` made of one, into `out` and return its
    index. Raises ValueError without records, or where `out` holds files of somebody else."""
    return build_site(results, out).out / "index.html"


def build_site(results: str | Path | Studies, out: str | Path) -> Site:
    """The same; returns the site, which knows what was `damaged` among the results."""
    loaded = results if isinstance(results, Studies) else load(results)
    found, out = list(loaded.each), Path(out)
    place.claim(out, loaded.path)
    site = Site(out, found, loaded.results, loaded.path, pages.found())
    _write_assets(site)
    for study in found:
        for page in site.pages:
            if page.write:
                page.write(site, study)
    for page in site.pages:
        if page.write_site:
            page.write_site(site)
    site.finish()
    return site


def _write_assets(site: Site) -> None:
    for source in sorted((HERE / "static").iterdir()):
        site.text(f"assets/{source.name}", source.read_text(encoding="utf-8"))
    mark = site.mark(figures.bundle())
    if not site.keep("assets/charts.js", mark):
        site.bytes("assets/charts.js", figures.javascript().encode(), mark)
