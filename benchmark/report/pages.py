"""Build the site: every page of every sweep, from a results folder and nothing else.

Same results, same bytes: no page holds a time of its own. Layout of the site:
index.html, <sweep>/*.html, <sweep>/cells/, <sweep>/figures/, records/<trial_id>.html, assets/.
"""

from pathlib import Path
from typing import Any

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
    speed,
    speedup,
    tuning,
)
from benchmark.report.site import HERE, Site, slug
from benchmark.studies import Studies, load
from benchmark.study import Study


def build(results: str | Path | Studies, out: str | Path) -> Path:
    """Write the site for `results`, a folder or what `benchmark.load` made of one, into `out` and return its
    index. Raises ValueError without records."""
    loaded = results if isinstance(results, Studies) else load(results)
    found, out = list(loaded.each), Path(out)
    twins = parity.load(loaded.path)
    site = Site(out, found)
    _write_assets(site)
    for study in found:
        _write_study(site, study, loaded.results.damaged)
        optimizer.write(site, study, slug(study.name), twins)
    records.write(site, loaded.results, found)
    speed.write(site, loaded.path)
    site.finish()
    return out / "index.html"


def _write_assets(site: Site) -> None:
    for source in sorted((HERE / "static").iterdir()):
        site.text(f"assets/{source.name}", source.read_text(encoding="utf-8"))
    if not site.keep("assets/charts.js", figures.bundle()):
        site.bytes("assets/charts.js", figures.javascript().encode(), figures.bundle())


def _write_study(site: Site, study: Study, damaged: tuple[str, ...]) -> None:
    folder = slug(study.name)
    board = leaderboard.page(study)
    leaderboard.save_figures(site, f"{folder}/figures", study, board["boards"])
    _write_page(site, study, "index.html", "Published" if study.theirs else "Leaderboard", board)
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
        figure.save(site, f"{slug(study.name)}/figures")
    if name == "index.html":
        context["choices"] = [
            [slug(s.name), s.title, *(str(s.manifest[k]) for k in ("corpus", "backend"))] for s in site.studies
        ]
    template = "leaderboard.html" if name == "index.html" else template or name
    shared = {"here": label, "filename": template if "-" in name else name, "figures": drawn, **context}
    site.write(f"{slug(study.name)}/{name}", template, study, **shared)
    if name == "index.html" and study is site.studies[0]:
        site.write(name, template, study, **shared)
