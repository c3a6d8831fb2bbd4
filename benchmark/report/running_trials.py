"""The part of a progress page that says what the trials which are running have come to.

It is put into the page when that is built, and replaced there every few seconds without a build.
"""

import html
import re
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark import running
from benchmark.files import write_atomically
from benchmark.running import Line

BEGIN, END = "<!-- running trials -->", "<!-- end of running trials -->"
GONE_SECONDS = 3600.0  # a trial that has said nothing for so long is not running any more
SILENT_SECONDS = 120.0
WIDTH, HEIGHT, POINTS = 90, 18, 60  # of the small curve, in pixels and points
_BETWEEN = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


def section(sweep: Path, now: float | None = None) -> str:
    """The part of the page as HTML, empty between its marks where nothing runs that takes long.

    sweep: a sweep's folder. now: seconds since 1970.
    """
    now = time.time() if now is None else now
    shown = [each for each in running.read(sweep) if now - each[-1].time < GONE_SECONDS]
    return f"{BEGIN}{_table(shown, now) if shown else ''}{END}"


def replaced(page: str, part: str) -> str:
    """The page with this part in place of the one that it has."""
    return _BETWEEN.sub(lambda _: part, page, count=1)


def refresh(page: Path, sweep: Path) -> bool:
    """Bring a page's part up to date; False where there is no page yet. Raises OSError."""
    try:
        before = page.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    after = replaced(before, section(sweep))
    if after != before:
        write_atomically(page, after)
    return True


def _table(shown: Sequence[Sequence[Line]], now: float) -> str:
    heads = ("Optimizer", "Task", "Step", "Training loss", "Curve", "Tokens/s", "Of peak", "Left", "Last heard")
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    rows = "".join(_row(each, now) for each in shown)
    notes = "".join(f'<p class="quiet">{html.escape(note)}</p>' for note in _notes(shown))
    caption = "Trials that are running: mean training loss of the last steps, in nats per token"
    return (
        f'<h2>Running now <span class="quiet">{len(shown)}</span></h2>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table class="grid">'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>{notes}"
    )


def _notes(shown: Sequence[Sequence[Line]]) -> list[str]:
    return sorted({each[-1].note for each in shown if each[-1].note})


def _row(lines: Sequence[Line], now: float) -> str:
    last = lines[-1]
    share = "" if last.share_of_peak is None else f"{last.share_of_peak:.0%}"
    per_step = last.tokens / last.step
    seconds = (last.steps - last.step) * per_step / last.tokens_per_second
    ago = now - last.time
    heard = f"{_duration(ago)} ago{', silent' if ago > SILENT_SECONDS else ''}"
    cells = (
        html.escape(last.task),
        f"{last.step:,} of {last.steps:,}",
        f"{last.loss:.4f}",
        _curve([line.loss for line in lines]),
        f"{last.tokens_per_second:,.0f}",
        share,
        _duration(seconds),
        heard,
    )
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{html.escape(last.optimizer)}</th>{rest}</tr>'


def _curve(losses: Sequence[float]) -> str:
    """A small line of the losses so far, without axes: only its shape counts."""
    every = max(1, len(losses) // POINTS)
    kept = [loss for loss in losses[::-1][::every][::-1] if loss == loss]  # NaN is no point
    if len(kept) < 2:
        return ""
    low, high = min(kept), max(kept)
    across, up = WIDTH / (len(kept) - 1), (HEIGHT - 2) / ((high - low) or 1.0)
    points = " ".join(f"{i * across:.1f},{1 + (high - loss) * up:.1f}" for i, loss in enumerate(kept))
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="from {kept[0]:.3f} to {kept[-1]:.3f}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/></svg>'
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
