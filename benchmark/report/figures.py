"""A chart once, shown three ways: inline SVG for every reader, the same with hover where scripts run, and files
to download. All come from one Vega-Lite specification, so that they cannot disagree.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import vl_convert
from markupsafe import Markup

from benchmark.report import style, text

WIDTH, HEIGHT = 640, 340
PRINT = "#1d1f21"  # what `currentColor` becomes in a file that leaves its page


@dataclass(frozen=True)
class Figure:
    """A chart with what a reader needs beside it.

    key: file name and anchor, unique on its page. description: what the chart shows, for those who do not see
    it. chart: an Altair chart.
    """

    key: str
    title: str
    description: str
    caption: str
    chart: Any
    width: int = WIDTH
    height: int = HEIGHT

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, look included."""
        sized = self.chart.properties(width=self.width, height=self.height)
        return {**sized.to_dict(validate=False), "config": style.CONFIG}

    @cached_property
    def svg(self) -> str:
        drawn = vl_convert.vegalite_to_svg(self.spec)
        # clip paths are numbered through the whole process: neither stable nor unique on a page
        numbers = {n: i for i, n in enumerate(dict.fromkeys(re.findall(r"\bclip(\d+)\b", drawn)))}
        drawn = re.sub(r"\bclip(\d+)\b", lambda m: f"clip-{self.key}-{numbers[m[1]]}", drawn)
        return re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", drawn)  # the page labels the drawing as a whole

    @property
    def inline(self) -> Markup:
        """The SVG for the page: it takes the page's text colour."""
        return Markup(self.svg)

    @property
    def data(self) -> Markup:
        """The specification for the script that draws it anew with hover."""
        return text.script_json(self.spec)

    def save(self, folder: Path) -> None:
        """Write KEY.svg and KEY.png (twice the size, white ground) into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        svg = self.svg.replace("currentColor", PRINT)
        (folder / f"{self.key}.svg").write_text(svg, encoding="utf-8")
        white = svg.replace("<g ", '<rect width="100%" height="100%" fill="#fff"/><g ', 1)
        (folder / f"{self.key}.png").write_bytes(vl_convert.svg_to_png(white, scale=2))


@cache  # a second or more, and always the same
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script; wrapped, because the bundle leaks its top-level names."""
    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue] # its stub lacks the default
    return f"(function () {{\n{bundle}\n}})();\n"
