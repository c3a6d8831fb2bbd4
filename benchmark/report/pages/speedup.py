"""The speedup page: against ratio and scale, as effective data, and how good the baseline's curve is."""

from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.speedup import fit_quality
from benchmark.frames import known, rows, where
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.plot import Axis, Guide, Lines
from benchmark.report.table import (
    FLAGS,
    INTERVAL,
    SEEDS,
    SPEEDUP,
    TASK,
    VERDICT,
    Column,
    Table,
    fixed,
    named,
    numbers,
    titled,
)
from benchmark.study import Study
from benchmark.tasks import task_name

LABEL, ORDER, FILE = "Speedup", 20, "speedup.html"
BANDS = (1.0, 1.2, 1.3, 1.4)  # those of the published study's figure 3 (arXiv 2509.02046)


def page(study: Study) -> dict[str, Any]:
    measured = [s for s in study.scales if len(known(where(study.speedups, scale=s), "speedup"))]
    others = known(study.speedups.loc[study.speedups["optimizer"] != study.baseline], "speedup")
    compared = [s for s in measured if s in set(others["scale"])]
    ratios, effective = ([f(study, s) for s in compared] for f in (charts.speedup_by_ratio, effective_data))
    curves = [baseline_curve(study, s) for s in measured]
    fits = fit_quality(study.losses, study.baseline) if measured else pd.DataFrame()
    return {
        "heading": "Speedup",
        "figures": [*ratios, *by_scale(study), *effective, *curves],
        "speedups": every(study),
        "residuals": residuals(study, fits),
        "changes": changes(study, fits),
    }


def every(study: Study) -> Table:
    """Every optimizer's speedup at every task."""
    columns = (
        titled(study.titles),
        TASK,
        named(SPEEDUP, "Speedup"),
        INTERVAL,
        VERDICT,
        numbers("d_eff", "Effective ratio", fixed(2)),
        numbers("val_loss", "Test loss", fixed(4)),
        SEEDS,
        FLAGS,
    )
    others = study.speedups.loc[study.speedups["optimizer"] != study.baseline]
    caption = f"Speedup in tokens over {study.tuned_baseline}; loss in nats/token, lower is better"
    return Table(caption, columns, rows(others))


def residuals(study: Study, fits: pd.DataFrame) -> Table:
    """How far the baseline's curve misses its own points."""
    columns = (
        Column("scale", "Scale"),
        numbers("baseline_ratio", "Chinchilla ratio"),
        numbers("baseline_loss", "Mean test loss", fixed(4)),
        numbers("fitted", "Fitted", fixed(4)),
        numbers("residual", "Residual", lambda nats: text.signed(nats, 4)),
    )
    once = fits.drop_duplicates(["scale", "baseline_ratio"]) if len(fits) else fits
    return Table(f"Residuals of {study.baseline_title}'s curve, nats/token", columns, rows(once))


def changes(study: Study, fits: pd.DataFrame) -> Table:
    """What leaving out the baseline point that matters most does to each speedup."""
    columns = (
        titled(study.titles),
        Column("task", "Task", task_name, of=("scale", "chinchilla_ratio")),
        numbers("baseline_ratio", "Ratio left out"),
        named(SPEEDUP, "With all"),
        numbers("speedup_without", "Without it", text.times),
        numbers("change", "Change", lambda change: text.signed(change, 2)),
    )
    caption = "Speedups without the baseline point that matters most"
    return Table(caption, columns, rows(_largest_changes(fits)))


def _largest_changes(fits: pd.DataFrame) -> pd.DataFrame:
    """The baseline point that matters most to each speedup."""
    if not len(fits):
        return fits
    fits = fits.dropna(subset=["change"])
    place = (
        fits.assign(size=fits["change"].abs())
        .groupby(["scale", "optimizer", "chinchilla_ratio"])["size"]
        .idxmax()
    )
    return fits.loc[place.to_numpy()]


def by_scale(study: Study) -> list[Figure]:
    """Speedup against model size, one chart for each ratio that two scales or more have."""
    table = known(charts.capped(study.speedups), "drawn")
    table = table.assign(num_params=[study.sizes[s] for s in table["scale"]])
    table = table.loc[table["optimizer"] != study.baseline]
    found = []
    for ratio in sorted(set(table["chinchilla_ratio"])):
        frame = where(table, chinchilla_ratio=ratio)
        sized = sorted(set(frame["num_params"]))
        if len(sized) < 2:
            continue
        tips = {"num_params": ".3s", "speedup": "", "interval": "", "n": "d"}
        plot = Lines(
            Axis("Non-embedding parameters", log=True, ticks=sized, labels="count"),
            Axis(charts.SPEEDUP),
            charts.series(study, frame, "num_params", "drawn", tips),
            tips,
            guides=[charts.level(sized[0], sized[-1])],
            intervals=True,
        )
        found.append(
            Figure(
                f"scale-{ratio:g}x",
                f"Speedup against model size at {ratio:g}x",
                f"Line chart: speedup against non-embedding parameters at Chinchilla ratio {ratio:g}.",
                f"Bars are 95 % intervals {charts.seeds(frame)}; the dashed line at 1 is"
                f" {study.baseline_title}.{charts.cut(frame)}",
                plot,
                group="Against model size",
            )
        )
    return found


def effective_data(study: Study, scale: str) -> Figure:
    """D_eff against D at one scale, with lines of equal speedup."""
    frame = where(study.speedups, scale=scale)
    frame = known(frame, "d_eff").query("d_eff > 0")
    frame = frame.loc[frame["optimizer"] != study.baseline]
    ratios = sorted(set(frame["chinchilla_ratio"])) or [1.0]
    ends = (ratios[0] * 0.95, ratios[-1] * 1.05)
    guides = [Guide([(r, r * b) for r in ends], f"{b:g}×") for b in BANDS]
    tips = {"chinchilla_ratio": "~g", "d_eff": ".2f", "speedup": ".2f", "n": "d"}
    return Figure(
        f"deff-{scale}",
        f"Effective data at {scale}",
        f"Line chart: the data that the baseline would need against the data used at {scale}, both as"
        " Chinchilla ratios.",
        "Higher is better. Dashed lines are speedups of 1, 1.2, 1.3 and 1.4; below the lowest an optimizer is"
        f" slower than {study.baseline_title} {charts.seeds(frame)}.",
        Lines(
            charts.ratio_axis(ratios, "Data used, D (Chinchilla ratio)"),
            Axis("Data the baseline would need, D_eff (Chinchilla ratio)", log=True, ticks=charts.POWERS),
            charts.series(study, frame, "chinchilla_ratio", "d_eff", tips),
            tips,
            guides=guides,
        ),
        group="Effective data",
    )


def baseline_curve(study: Study, scale: str) -> Figure | None:
    """The baseline's losses and the curve through them: what every speedup at this scale rests on."""
    base = where(study.speedups, scale=scale, optimizer=study.baseline)
    base = known(base, "val_loss").sort_values("chinchilla_ratio")
    if len(base) < 2:
        return None
    ratios, means = base["chinchilla_ratio"].to_numpy(float), base["val_loss"].to_numpy(float)
    grid = np.geomspace(ratios[0], ratios[-1], 60)
    fitted = curve.fit(ratios, means[None]).loss(grid)[0]
    runs = where(study.losses, scale=scale, optimizer=study.baseline)
    runs = runs.assign(loss=runs["val_loss"])
    title = study.baseline_title
    drawn = Guide([(float(x), float(y)) for x, y in zip(grid, fitted, strict=True)], dashed=False)
    tips = {"chinchilla_ratio": "~g", "loss": ".4f", "seed": "d"}
    return Figure(
        f"fit-{scale}",
        f"{title}'s loss curve at {scale}",
        f"Line chart: {study.loss_name} of {title} against Chinchilla ratio at {scale}, with the fitted curve.",
        f"Each point is one report run (n = {len(runs)} runs); the line is L(r) = α r⁻ᴮ + β through the seed"
        " means.",
        Lines(
            charts.ratio_axis(list(ratios)),
            Axis(f"{study.loss_name.capitalize()} (nats/token, lower is better)"),
            charts.series(study, runs, "chinchilla_ratio", "loss", tips),
            tips,
            guides=[drawn],
            joined=False,
        ),
        group=f"What it rests on: {title}'s curve",
    )
