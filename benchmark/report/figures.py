"""A chart with its title and caption, shown three ways: as SVG for every reader, with hover where scripts run,
and
as files to download. All come from one plot.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import vl_convert
from markupsafe import Markup

from benchmark.report import interactive, paper, text
from benchmark.report.plot import Plot

if TYPE_CHECKING:
    from benchmark.report.site import Site


@dataclass(frozen=True)
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

    @cached_property
    def drawing(self) -> paper.Drawing:
        return paper.Drawing(self.plot, self.key)

    @cached_property
    def svg(self) -> str:
        return self.drawing.svg()

    @property
    def inline(self) -> Markup:
        """The drawing for the page: it takes the page's text colour."""
        return Markup(paper.inline(self.svg))

    @property
    def data(self) -> Markup:
        """The specification for the script that draws it anew with hover."""
        return text.script_json(interactive.spec(self.plot))

    def save(self, site: "Site", folder: str) -> None:
        """Write KEY.svg and KEY.png below a folder of the site."""
        name = f"{folder}/{site.env.filters['slug'](self.key)}"
        mark = site.mark(self.key, self.plot)
        if site.keep(f"{name}.png", mark) and site.keep(f"{name}.svg", mark):  # drawn by an earlier build
            self.__dict__["svg"] = (site.out / f"{name}.svg").read_text(encoding="utf-8")
            return
        site.bytes(f"{name}.svg", self.svg.encode(), mark)
        site.bytes(f"{name}.png", self.drawing.png(), mark)


def bundle() -> str:
    """What the bundle is made from: it is made anew only for another version."""
    return f"vl-convert {version('vl-convert-python')}, 1"


@cache  # a second or more, and always the same
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script; wrapped, because the bundle leaks its top-level names."""
    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue] # its stub lacks the default
    return f"(function () {{\n{bundle}\n}})();\n"
