"""The charts that several pages share. Study and frame in, Figure out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.described import TaskFacts
from benchmark.frames import groups, known, rows, together, where
from benchmark.report import style, text
from benchmark.report.figures import Figure
from benchmark.report.plot import Axis, Guide, Lines, Series
from benchmark.study import Study

CEILING = 4.0  # speedups are drawn up to here; the end of a longer interval is in the table
APART = 0.04  # octaves between optimizers at one ratio, so that their intervals do not hide each other
POWERS = [2.0**k for k in range(-10, 11)]  # ticks of an axis of ratios
LOSS = "loss (nats/token, lower is better)"
SPEEDUP = "Speedup in tokens (×, higher is better)"


def series(
    study: Study, frame: pd.DataFrame, x: str, y: str, tips: Mapping[str, str] | None = None
) -> list[Series]:
    """One line per optimizer of the frame, in the study's order. `tips` are the tooltips' fields."""
    found = []
    kept = [name for name in (*(tips or {}), "lo", "hi") if name in frame]
    for optimizer in study.optimizers:
        mine = rows(where(frame, optimizer=optimizer).sort_values(x))
        points = [{"x": r[x], "y": r[y], **{k: r[k] for k in kept}} for r in mine]
        if points:
            found.append(Series(study.titles[optimizer], *style.appearance(optimizer), points))
    return found


def level(low: float, high: float) -> Guide:
    """The baseline's own speedup: a dashed line at 1."""
    return Guide([(low, 1.0), (high, 1.0)])


def ratio_axis(ratios: Sequence[float], title: str = "Chinchilla ratio (tokens per parameter / 20)") -> Axis:
    """A log axis of ratios, with a tick at each measured one."""
    return Axis(title, log=True, ticks=sorted(set(ratios)))


def seeds(frame: pd.DataFrame) -> str:
    """(n = 3 runs a point), or nothing."""
    counts = sorted({int(n) for n in frame["n"] if n > 0})
    return f"(n = {text.value(counts)} run{'s' if counts != [1] else ''} a point)" if counts else ""


def capped(frame: pd.DataFrame) -> pd.DataFrame:
    """Speedups and their ends as far up as they are drawn: `drawn`, `lo` and `hi`. What a tooltip says stays
    what it is: `speedup` and `interval`, as text, because JSON has no infinity."""
    ends = zip(frame["lo"], frame["hi"], strict=True)
    said = {
        "drawn": frame["speedup"].clip(upper=CEILING),
        "speedup": [text.times(v) for v in frame["speedup"]],
        "interval": [text.interval(lo, hi) for lo, hi in ends],
        "cut": (frame[["speedup", "hi"]] > CEILING).any(axis=1),
    }
    return frame.assign(**said, **{c: frame[c].clip(upper=CEILING) for c in ("lo", "hi")})


def cut(frame: pd.DataFrame) -> str:
    """What a caption says of what `capped` does not draw."""
    return (
        f" What lies above {CEILING:g}× is drawn there; its number is in the tooltip."
        if any(frame["cut"])
        else ""
    )


def speedup_by_ratio(study: Study, scale: str) -> Figure | None:
    """Speedup over the baseline against the Chinchilla ratio at one scale, with 95 % intervals; None where no
    speedup is defined."""
    frame = known(capped(where(study.speedups, scale=scale)), "drawn")
    frame = frame.loc[frame["optimizer"] != study.baseline]
    if not len(frame):
        return None
    order = sorted(set(frame["optimizer"]))
    ratios = frame["chinchilla_ratio"]
    apart = [2 ** (APART * (order.index(o) - (len(order) - 1) / 2)) for o in frame["optimizer"]]
    frame = frame.assign(ratio=ratios, chinchilla_ratio=ratios * apart)
    tips = {"ratio": "~g", "speedup": "", "interval": "", "n": "d"}
    ends = [0.8 * min(ratios, default=1.0), 1.25 * max(ratios, default=1.0)]
    base, tuned = study.baseline_title, study.tuned_baseline
    plot = Lines(
        ratio_axis(list(ratios)),
        Axis(SPEEDUP),
        series(study, frame, "chinchilla_ratio", "drawn", tips),
        tips,
        guides=[level(*ends)],
        intervals=True,
    )
    return Figure(
        f"speedup-{scale}",
        f"Speedup against token budget at {scale}",
        f"Line chart: speedup over {tuned} against Chinchilla ratio at {scale}, one line per optimizer.",
        f"Points are speedups over {tuned} at {scale}, bars 95 % intervals {seeds(frame)}, at one ratio"
        f" set slightly apart. The dashed line at 1 is {base}.{cut(frame)}",
        plot,
        group="Against the token budget",
    )


def lr_sensitivity(study: Study, task: TaskFacts) -> Figure | None:
    """Loss against learning rate, every optimizer's own axis shifted to its best rate."""
    frame = where(study.lr_curves, task=task.name, diverged=False)
    if not len(frame):
        return None
    frame = together(f for f in groups(frame, "optimizer").values() if len(set(f["peak_lr"])) > 1)
    if not len(frame):
        return None
    frame = frame.assign(relative=2.0 ** frame["octaves"], loss=frame["val_loss"])
    tips = {"peak_lr": ".3g", "loss": ".4f", "seeds": "d"}
    return Figure(
        f"lr-{task.name}",
        f"Learning-rate sensitivity at {task.name}",
        f"Line chart: validation loss against learning rate relative to each optimizer's best at {task.name}.",
        "Tuning runs that differ from the optimizer's best only in the learning rate; n = 1 tuning seed unless"
        " the tooltip says more. Diverged runs have no loss and are not drawn.",
        Lines(
            Axis("Peak learning rate / best peak learning rate", log=True, ticks=POWERS),
            Axis(f"Validation {LOSS}"),
            series(study, frame, "relative", "loss", tips),
            tips,
        ),
    )


def ranks(
    study: Study, means: Sequence[tuple[float, Mapping[str, float]]], x: Axis, end: float | None = None
) -> Lines:
    """A bump chart. means: a place along x and each optimizer's mean loss there. end: a place to mark."""
    found: dict[str, list[dict[str, Any]]] = {}
    for place, losses in means:
        order = sorted((o for o in losses if text.is_number(losses[o])), key=lambda o: losses[o])
        for rank, optimizer in enumerate(order, 1):
            found.setdefault(optimizer, []).append(
                {"x": place, "y": rank, "rank": rank, "loss": losses[optimizer]}
            )
    lines = [Series(study.titles[o], *style.appearance(o), found[o]) for o in study.optimizers if o in found]
    count = max((p["y"] for points in found.values() for p in points), default=1)
    y = Axis("Rank by loss (1 is best)", False, range(1, count + 1), "whole", (count + 0.4, 0.6), grid=False)
    shade = (end - 0.03, end + 0.02) if end is not None else None
    tips = {"rank": "d", "loss": ".4f"}
    return Lines(x, y, lines, tips, named=True, shade=shade, height=max(160, 36 * count))
