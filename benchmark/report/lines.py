"""A small line chart as plain SVG: thousands of them, for records and cells, must cost next to nothing."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from benchmark.report import text

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 420, 200, 52, 26, 8, 12


def line_chart(
    series: Sequence[Sequence[tuple[float, float]]],
    colour: str,
    label: str,
    beside: Sequence[Sequence[tuple[float, float]]] = (),
) -> Markup:
    """Loss against tokens, one line per run; empty where no run has two points. beside: dashed lines.

    The first quarter of training is left out, where there is more: its fall would hide the rest.
    """
    end = max((x for line in series for x, _ in line), default=0)
    series, beside = _late(series, end), _late(beside, end)
    if not series:
        return Markup("")
    xs, ys = zip(*(point for line in (*series, *beside) for point in line), strict=True)
    low, high, left, right = min(ys), max(ys), min(xs), max(xs)
    high = high if high > low else low + 1e-3

    def place(x: float, y: float) -> str:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return f"{across:.1f},{TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM):.1f}"

    parts = []
    for i in range(4):
        y = low + (high - low) * i / 3
        _, down = place(left, y).split(",")
        parts.append(f'<path class="gridline" d="M{LEFT} {down}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down}" dy=".35em" text-anchor="end">{y:.3f}</text>')
    for x, anchor in ((left, "start"), (right, "end")):
        across, _ = place(x, low).split(",")
        parts.append(f'<text x="{across}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text.tokens(x)}</text>')
    for line in beside:
        points = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline class="beside" points="{points}"/>')
    for line in series:
        points = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline points="{points}" stroke="{colour}"/>')
    return Markup(
        f'<svg class="lines" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _late(lines: Sequence[Sequence[tuple[float, float]]], end: float) -> list[list[tuple[float, float]]]:
    cut = [[(x, y) for x, y in line if x >= end / 4] for line in lines]
    return [line for line in cut if len(line) > 1]
