"""The flips page: pairs of optimizers whose order depends on where one looks."""

from typing import Any

import altair as alt

from benchmark.analysis import places
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.frames import known, rows, together, where
from benchmark.report.study import Study, TaskFacts

KINDS = {
    "fraction": "Along training",
    "ratio": "Between token budgets",
    "scale": "Between model sizes",
    "seconds": "Between tokens and seconds",
    "budget": "Between tuning budgets",
}
NOTES = {
    "fraction": "Validation losses at each tenth of training against its end: what an early look would say.",
    "ratio": "Test losses at two Chinchilla ratios of one scale.",
    "scale": "Test losses at one Chinchilla ratio of two scales.",
    "seconds": "Equal tokens against equal training time on one machine.",
    "budget": "Best of few against best of many random-search trials.",
}


def page(study: Study) -> dict[str, Any]:
    sections = []
    for kind, title in KINDS.items():
        found = where(study.flips, kind=kind)
        split = ([_row(study, r) for r in rows(where(found, status=s))] for s in ("confirmed", "possible"))
        sections.append((title, NOTES[kind], *split))
    return {
        "heading": "Flips",
        "sections": sections,
        "confirmed": len(where(study.flips, status="confirmed")),
        "possible": len(where(study.flips, status="possible")),
        "figures": [bump(study, task) for task in study.tasks],
    }


def _row(study: Study, flip: dict[str, Any]) -> tuple[str, ...]:
    a, b = (study.titles.get(flip[k], flip[k]) for k in ("optimizer_a", "optimizer_b"))
    task = "-".join(part for part in (flip["scale"], _ratio(flip["chinchilla_ratio"])) if part)

    def side(n: int) -> str:
        gap, low, high = (flip[f"{name}_{n}"] for name in ("diff", "lo", "hi"))
        if gap < 0:  # a leads: told as its lead
            return f"{a} ahead by {-gap:.4f} [{text.fixed(-high, 4)}, {text.fixed(-low, 4)}]"
        return f"{b} ahead by {gap:.4f} [{text.fixed(low, 4)}, {text.fixed(high, 4)}]"

    return (
        f"{a} and {b}",
        task,
        f"{flip['where_1']}: {side(1)}",
        f"{flip['where_2']}: {side(2)}",
        flip["mechanism"] or text.MISSING,
    )


def _ratio(ratio: float) -> str:
    return f"{ratio:g}x" if text.is_number(ratio) else ""


def bump(study: Study, task: TaskFacts) -> Figure | None:
    """Rank over the fraction of training at one task; the last column is the end."""
    losses = where(study.losses, task=task.name)
    curves = where(study.curves, task=task.name, role="report")
    if not len(curves) or len(set(losses["optimizer"])) < 2:
        return None
    tenths = places.along_training(curves, losses)
    parts = []
    for fraction, frame in tenths.items():
        means = known(frame.groupby("optimizer", as_index=False).agg(val_loss=("val_loss", "mean")), "val_loss")
        parts.append(means.assign(fraction=fraction, rank=means["val_loss"].rank(method="first")))
    ranks = together(parts)
    if not len(ranks):
        return None
    count = int(max(ranks["rank"]))
    x = alt.X("fraction:Q", title="Fraction of training").axis(
        format=".0%", values=[i / 10 for i in range(1, 11)]
    )
    x = x.scale(domain=[0.08, 1.02], nice=False)
    y = alt.Y("rank:Q", title="Rank by validation loss (1 is best)")
    y = y.scale(domain=[count + 0.4, 0.6], nice=False).axis(
        values=list(range(1, count + 1)), format="d", grid=False
    )
    end = alt.Chart(alt.Data(values=[{"from": 0.97, "to": 1.02}])).mark_rect(opacity=0.08, color="currentColor")
    tooltip = charts.tips(fraction=".0%", rank="d", val_loss=".4f")
    return Figure(
        f"bump-{task.name}",
        f"Rank along training at {task.name}",
        f"Bump chart: rank of each optimizer by mean validation loss at each tenth of training at {task.name}.",
        f"Ranks of seed means (n = {losses['seed'].nunique()} seeds), without regard to noise; the shaded"
        " column is the end, which"
        " alone decides. The table says which crossings the noise allows to believe.",
        charts.lines(study, ranks, x, y, tooltip, [end.encode(x=alt.X("from:Q"), x2="to:Q")]),
        height=max(160, 44 * count),
    )
