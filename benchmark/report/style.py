"""Colours, markers and the style of charts: the same for an optimizer on every page.

Colours keep 3:1 contrast on the light and on the dark page; a marker's shape says the same as its colour.
"""

import hashlib
from typing import Any

# Scalar methods in cool colours, matrix methods in warm ones; after Okabe and Ito's and Tol's palettes.
_KNOWN = {
    "adamw": ("#7d7f85", "circle"),
    "nadamw": ("#3f83c4", "square"),
    "lion": ("#1f948a", "diamond"),
    "mars": ("#7f76d6", "triangle-up"),
    "cautious": ("#4b93ad", "triangle-down"),
    "adam_mini": ("#848c35", "cross"),
    "sophia": ("#a567bd", "triangle-right"),
    "muon": ("#d2621f", "circle"),
    "soap": ("#cb4c86", "square"),
    "kron": ("#ab7f12", "diamond"),
    "scion": ("#cc4f4f", "triangle-up"),
}
_SHAPES = (
    "circle",
    "square",
    "cross",
    "diamond",
    "triangle-up",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
_OTHERS = ("#5b8a3c", "#b0662f", "#5f7fd0", "#b3569f", "#2f929e", "#98805a")


def appearance(optimizer: str) -> tuple[str, str]:
    """Colour and marker shape of an optimizer, from its name alone, so that no page or sweep changes them."""
    if optimizer in _KNOWN:
        return _KNOWN[optimizer]
    digest = hashlib.sha256(optimizer.encode()).digest()
    return _OTHERS[digest[0] % len(_OTHERS)], _SHAPES[digest[1] % len(_SHAPES)]


TILE = "#3f83c4"  # of a heat map, darker where the value is larger
_INK = "currentColor"
# `currentColor` lets the page's own text colour reach into a chart, so that one chart serves light and dark.
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "aria": False,  # the figure as a whole is labelled; a label for each mark would be most of the page
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": _INK,
        "tickColor": _INK,
        "gridColor": _INK,
        "domainOpacity": 0.35,
        "tickOpacity": 0.35,
        "gridOpacity": 0.1,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "titlePadding": 10,
        "labelPadding": 5,
        "tickSize": 4,
        "labelOpacity": 0.85,
    },
    "legend": {
        "labelColor": _INK,
        "titleColor": _INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "orient": "bottom",
        "columns": 6,
        "symbolSize": 90,
        "titleFontWeight": 500,
        "labelLimit": 130,
        "offset": 16,
        "columnPadding": 14,
    },
    "header": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12},
    "title": {"color": _INK, "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 12},
    "text": {"color": _INK, "fontSize": 12},
    "rule": {"color": _INK},
    "line": {"strokeWidth": 2},
    "point": {"size": 70, "filled": True, "opacity": 1},
}
