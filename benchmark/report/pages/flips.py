"""The flips page: pairs of optimizers whose order depends on where one looks."""

from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.flips import along_training
from benchmark.described import TaskFacts
from benchmark.frames import groups, known, rows, where
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.plot import Axis
from benchmark.report.table import Column, Table
from benchmark.study import Study

LABEL, ORDER, FILE = "Flips", 30, "flips.html"
KINDS = {
    "fraction": "Along training",
    "ratio": "Between token budgets",
    "scale": "Between model sizes",
    "seconds": "Between tokens and seconds",
    "budget": "Between tuning budgets",
}
NOTES = {
    "fraction": "Validation losses at each tenth of training against its end: what an early reading would say.",
    "ratio": "Test losses at two Chinchilla ratios of one scale.",
    "scale": "Test losses at one Chinchilla ratio of two scales.",
    "seconds": "Equal tokens against equal training time on the machine named, without the spread of timings.",
    "budget": "Best of few against best of many random-search trials.",
}


def page(study: Study) -> dict[str, Any]:
    drawn = [f for f in _figures(study) if f is not None]
    sections = []
    for kind, title in KINDS.items():
        found = where(study.flips, kind=kind)
        tables = {s: pairs(study, title, s, where(found, status=s)) for s in ("confirmed", "possible")}
        nothing = "" if any(tables.values()) else _why_none(study, kind)
        figures = [f for f in drawn if f.group == title]
        sections.append({"title": title, "note": NOTES[kind], "figures": figures, "nothing": nothing, **tables})
    return {
        "heading": "Flips",
        "sections": sections,
        "confirmed": len(where(study.flips, status="confirmed")),
        "possible": len(where(study.flips, status="possible")),
        "figures": drawn,
    }


def _figures(study: Study) -> list[Figure | None]:
    ratios = sorted({t.ratio for t in study.tasks})
    return [
        *(bump(study, task) for task in study.tasks),
        *(over_ratios(study, scale) for scale in study.scales),
        *(over_scales(study, ratio) for ratio in ratios),
        *(over_budgets(study, task) for task in study.tasks),
    ]


def _why_none(study: Study, kind: str) -> str:
    """What stands in place of a table without rows."""
    compared = study.losses.loc[study.losses["optimizer"] != study.baseline]
    if compared.empty:
        return f"Nothing to compare yet: this needs report runs of {study.baseline_title} and of others."
    if kind == "scale" and compared["scale"].nunique() < 2:
        return f"Only one scale was compared: {compared['scale'].iloc[0]}."
    if kind == "ratio" and compared["chinchilla_ratio"].nunique() < 2:
        return f"Only one ratio was compared: {compared['chinchilla_ratio'].iloc[0]:g}x."
    if kind == "budget" and not len(study.expected):
        return "This sweep has no random search (--search random); other searches' trials are not independent."
    if kind == "fraction" and not len(where(study.curves, use="report")):
        return "These runs have no losses along training."
    return "No pair changes its order."


def pairs(study: Study, title: str, status: str, flips: pd.DataFrame) -> Table:
    """Pairs whose order changes, with the difference at either place."""
    both = ("optimizer_a", "optimizer_b")

    def name(optimizer: str) -> str:
        return study.titles.get(optimizer, optimizer)

    def side(where: str, a: str, b: str, gap: float, low: float, high: float) -> str:
        if gap < 0:  # a leads: told as its lead
            a, b, gap, low, high = b, a, -gap, -high, -low
        return f"{where}: {name(b)} ahead by {gap:.4f} [{text.fixed(low, 4)}, {text.fixed(high, 4)}]"

    columns = (
        Column("pair", "Pair", lambda a, b: f"{name(a)} and {name(b)}", of=both),
        Column("task", "Task", _task, of=("scale", "chinchilla_ratio")),
        *(
            Column(word.lower(), word, side, of=(f"where_{n}", *both, f"diff_{n}", f"lo_{n}", f"hi_{n}"))
            for n, word in enumerate(("Here", "There"), 1)
        ),
        Column("mechanism", "What may explain it", lambda mechanism: mechanism or text.MISSING),
    )
    return Table(f"{title}, {status}: differences in nats/token with 95 % intervals", columns, rows(flips))


def _task(scale: str, ratio: float) -> str:
    """27k-2x, or the part of it that a flip between scales or ratios keeps."""
    return "-".join(part for part in (scale, f"{ratio:g}x" if text.is_number(ratio) else "") if part)


def bump(study: Study, task: TaskFacts) -> Figure | None:
    """Rank over the fraction of training at one task; the last column is the end."""
    losses = where(study.losses, task=task.name)
    curves = where(study.curves, task=task.name, use="report")
    if not len(curves) or len(set(losses["optimizer"])) < 2:
        return None
    tenths = along_training(curves, losses)
    means = [(fraction, _means(frame)) for fraction, frame in sorted(tenths.items())]
    if not dict(means).get(1.0):
        return None  # curves that stop before the end, as in published results: there is no final rank
    seeds = f"n = {text.count(len(set(losses['seed'])), 'seed')}"
    x = Axis("Fraction of training", False, [i / 10 for i in range(1, 11)], "percent", (0.08, 1.02))
    return Figure(
        f"bump-{task.name}",
        f"Rank along training at {task.name}",
        f"Bump chart: rank of each optimizer by mean validation loss at each tenth of training at {task.name}.",
        f"Ranks of seed means ({seeds}), without regard to noise; the shaded"
        " column is the end, which alone decides. The table says which crossings the noise allows to believe.",
        charts.ranks(study, means, x, end=1.0),
        group=KINDS["fraction"],
    )


def _means(frame: pd.DataFrame) -> dict[str, float]:
    return {
        str(o): float(np.mean(f["val_loss"])) for o, f in groups(known(frame, "val_loss"), "optimizer").items()
    }


def over_ratios(study: Study, scale: str) -> Figure | None:
    """Rank over the Chinchilla ratio at one scale, of the optimizers that ran at each of its ratios."""
    title = f"Rank over token budgets at {scale}"
    at = {r: _means(f) for r, f in groups(where(study.losses, scale=scale), "chinchilla_ratio").items()}
    axis = "Chinchilla ratio (tokens per parameter / 20)"
    return _across(study, at, f"bump-ratio-{scale}", title, axis, KINDS["ratio"])


def over_scales(study: Study, ratio: float) -> Figure | None:
    """Rank over the model size at one ratio, of the optimizers that ran at each of its scales."""
    sizes = {t.scale: float(t.num_params) for t in study.tasks}
    losses = where(study.losses, chinchilla_ratio=ratio)
    at = {sizes[s]: _means(f) for s, f in groups(losses, "scale").items()}
    title, key = f"Rank over model sizes at {ratio:g}x", f"bump-scale-{ratio:g}x"
    return _across(study, at, key, title, "Non-embedding parameters", KINDS["scale"])


def over_budgets(study: Study, task: TaskFacts) -> Figure | None:
    """Rank over the number of random-search trials at one task."""
    frame = where(study.expected, task=task.name)
    powers = {k for k in (2**i for i in range(12)) if k <= max(frame["k"], default=0)}
    at = {
        float(k): dict(zip(f["optimizer"], f["expected"], strict=True)) for k, f in groups(frame, "k").items()
    }
    title, key = f"Rank over tuning budgets at {task.name}", f"bump-budget-{task.name}"
    kept = {k: v for k, v in at.items() if k in powers}
    return _across(study, kept, key, title, "Random-search trials", KINDS["budget"])


def _across(
    study: Study, at: dict[float, dict[str, float]], key: str, title: str, axis: str, group: str
) -> Figure | None:
    """A bump chart over places that two optimizers or more share; None where only one place has them."""
    at = {place: losses for place, losses in at.items() if len(losses) > 1}
    shared = set.intersection(*map(set, at.values())) if at else set()
    if len(at) < 2 or len(shared) < 2:
        return None
    means = [(place, {o: losses[o] for o in losses if o in shared}) for place, losses in sorted(at.items())]
    labels = "count" if "parameters" in axis else "number"
    return Figure(
        key,
        title,
        f"Bump chart: {title.lower()}, one line per optimizer.",
        f"Ranks of mean losses of the {len(shared)} optimizers that ran at every place, without regard to"
        " noise.",
        charts.ranks(study, means, Axis(axis, True, [place for place, _ in means], labels)),
        group=group,
    )
