"""A chart with its title and caption, shown three ways: as SVG for every reader, with hover where scripts run,
and as files to download. All come from one plot. What draws (altair, matplotlib, vl_convert) is imported where
it does: a running sweep's progress page needs none of it.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from markupsafe import Markup

from benchmark.report import text
from benchmark.report.addresses import slug
from benchmark.report.plot import Forest, Plot

if TYPE_CHECKING:
    from benchmark.report.site import Site


@dataclass
class Figure:
    """A chart with what a reader needs beside it.

    key: file name and anchor, unique on its page. description: what the chart shows, for those who do not see
    it. wide: whether it needs more width than a phone has, and scrolls there. group: the heading it stands
    under.
    """

    key: str
    title: str
    description: str
    caption: str
    plot: Plot
    wide: bool = False
    group: str = ""

    svg: str = field(default="", init=False, repr=False, compare=False)  # its drawing, once saved

    @property
    def inline(self) -> Markup:
        """The drawing for the page: it takes the page's text colour. Call `save` first."""
        from benchmark.report import paper

        return Markup(paper.inline(self.svg))

    @property
    def data(self) -> Markup:
        """The specification for the script that draws it anew with hover."""
        from benchmark.report import interactive

        return text.script_json(interactive.spec(self.plot))

    def save(self, site: "Site", folder: str) -> None:
        """Write KEY.svg and KEY.png below a folder of the site."""
        self.svg = save(site, folder, self.key, self.plot)


def save(site: "Site", folder: str, key: str, plot: Plot | Forest) -> str:
    """Write a plot as KEY.svg and KEY.png below a folder of the site, unless an earlier build drew the same;
    return the SVG."""
    from benchmark.report import paper

    name, mark = f"{folder}/{slug(key)}", site.mark(key, plot)
    if site.keep(f"{name}.png", mark) and site.keep(f"{name}.svg", mark):
        return (site.out / f"{name}.svg").read_text(encoding="utf-8")
    drawing = paper.Drawing(plot, key)
    svg = drawing.svg()
    site.bytes(f"{name}.svg", svg.encode(), mark)
    site.bytes(f"{name}.png", drawing.png(), mark)
    return svg


def bundle() -> str:
    """What the bundle is made from, beside this package."""
    return f"vl-convert {version('vl-convert-python')}, altair {version('altair')}"


@cache  # a second or more, and always the same
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script, wrapped, because the bundle leaks its top-level names; and
    the one specification of the curves of single runs, whose pages hold nothing but their numbers."""
    import vl_convert

    from benchmark.report import interactive

    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue] # its stub lacks the default
    curves = text.script_json(interactive.run_curves())
    return f"(function () {{\n{bundle}\n}})();\nwindow.runCurves = {curves};\n"
