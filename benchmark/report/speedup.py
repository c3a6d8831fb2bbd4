"""The speedup page: against ratio and scale, as effective data, and how good the baseline's curve is."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.speedup import fit_quality
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.frames import known, rows, where
from benchmark.report.study import Study

BANDS = (1.0, 1.2, 1.3, 1.4)  # those of the study's figure 3 (arXiv 2509.02046)


def page(study: Study) -> dict[str, Any]:
    measured = [s for s in study.scales if len(known(where(study.speedups, scale=s), "speedup"))]
    drawn = [f(study, s) for s in measured for f in (charts.speedup_by_ratio, effective_data, baseline_curve)]
    fits = fit_quality(study.losses, study.baseline) if measured else pd.DataFrame()
    return {
        "heading": "Speedup",
        "figures": [*drawn, *by_scale(study)],
        "table": [
            (
                study.titles.get(r["optimizer"], r["optimizer"]),
                r["task"],
                text.times(r["speedup"]),
                text.interval(r["lo"], r["hi"]),
                text.verdict(r["verdict"]),
                text.fixed(r["d_eff"], 2),
                text.fixed(r["val_loss"], 4),
                int(r["n"]),
                r["flags"] or text.MISSING,
            )
            for r in rows(study.speedups)
            if r["optimizer"] != study.baseline
        ],
        "residuals": [
            (
                r["scale"],
                f"{r['baseline_ratio']:g}",
                text.fixed(r["baseline_loss"], 4),
                text.fixed(r["fitted"], 4),
                f"{r['residual']:+.4f}".replace("-", "−"),
            )
            for r in rows(fits.drop_duplicates(["scale", "baseline_ratio"]) if len(fits) else fits)
        ],
        "changes": [
            (
                study.titles.get(r["optimizer"], r["optimizer"]),
                f"{r['scale']}-{r['chinchilla_ratio']:g}x",
                f"{r['baseline_ratio']:g}",
                text.times(r["speedup"]),
                text.times(r["speedup_without"]),
                f"{r['change']:+.2f}".replace("-", "−"),
            )
            for r in rows(_largest_changes(fits))
        ],
    }


def _largest_changes(fits: pd.DataFrame) -> pd.DataFrame:
    """The baseline point that matters most to each speedup."""
    if not len(fits) or not len(known(fits, "change")):
        return fits.iloc[:0]
    fits = known(fits, "change")
    place = (
        fits.assign(size=fits["change"].abs())
        .groupby(["scale", "optimizer", "chinchilla_ratio"])["size"]
        .idxmax()
    )
    return fits.loc[place.to_numpy()]


def by_scale(study: Study) -> list[Figure]:
    """Speedup against model size, one chart for each ratio that two scales or more have."""
    sizes = {t.scale: t.num_params for t in study.tasks}
    table = study.speedups.loc[study.speedups["speedup"].notna()]
    table = table.assign(num_params=[sizes[s] for s in table["scale"]])
    table = table.assign(**{c: table[c].clip(upper=charts.CEILING) for c in ("speedup", "lo", "hi")})
    found = []
    for ratio in sorted(set(table["chinchilla_ratio"])):
        frame = where(table, chinchilla_ratio=ratio)
        others = frame.loc[frame["optimizer"] != study.baseline]
        if len(set(others["scale"])) < 2:
            continue
        x = alt.X("num_params:Q", title="Non-embedding parameters").scale(**charts.LOG)
        x = x.axis(values=sorted(set(frame["num_params"])), format=".3~s")
        y = alt.Y("speedup:Q", title="Speedup in tokens (×, higher is better)").scale(zero=False)
        tooltip = charts.tips(num_params=".3s", speedup=".2f", lo=".2f", hi=".2f", n="d")
        found.append(
            Figure(
                f"scale-{ratio:g}x",
                f"Speedup against model size at {ratio:g}x",
                f"Line chart: speedup against non-embedding parameters at Chinchilla ratio {ratio:g}.",
                "Bars are 95 % intervals; the dashed line is the baseline.",
                charts.lines(study, frame, x, y, tooltip, [charts.rule(1)], ("lo", "hi")),
            )
        )
    return found


def effective_data(study: Study, scale: str) -> Figure:
    """D_eff against D at one scale, with lines of equal speedup."""
    frame = where(study.speedups, scale=scale)
    frame = known(frame, "d_eff").query("d_eff > 0")
    ratios = sorted(set(frame["chinchilla_ratio"]))
    ends = [
        {"chinchilla_ratio": r, "d_eff": r * b, "band": f"{b:g}×"}
        for b in BANDS
        for r in (ratios[0], ratios[-1])
    ]
    x = charts.ratio_axis(ratios, "Data used (Chinchilla ratio)")
    y = (
        alt.Y("d_eff:Q", title="Data the baseline would need (Chinchilla ratio)")
        .scale(**charts.LOG)
        .axis(values=charts.POWERS, format="~g")
    )
    band = alt.Chart(alt.Data(values=ends)).encode(x=x, y=y, detail="band:N")
    grey = {"color": "currentColor", "opacity": 0.45}
    last = f"datum.chinchilla_ratio == {ratios[-1]} && datum.band != '1.3×'"  # 1.3 would lie on its neighbours
    labels = band.transform_filter(last).mark_text(align="left", dx=6, **grey)
    under = [band.mark_line(strokeWidth=1, strokeDash=[3, 3], **grey), labels.encode(text="band:N")]
    tooltip = charts.tips(chinchilla_ratio="~g", d_eff=".2f", speedup=".2f", n="d")
    return Figure(
        f"deff-{scale}",
        f"Effective data at {scale}",
        f"Line chart: the data that the baseline would need against the data used at {scale}, both as"
        " Chinchilla ratios.",
        "Higher is better. Dashed lines are speedups of 1, 1.2, 1.3 and 1.4; below the lowest an"
        " optimizer is slower than"
        " the baseline.",
        charts.lines(study, frame, x, y, tooltip, under),
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
    drawn = pd.DataFrame({"chinchilla_ratio": grid, "val_loss": fitted})
    seeds = where(study.losses, scale=scale, optimizer=study.baseline)
    seeds = seeds.reindex(columns=["optimizer", "chinchilla_ratio", "val_loss", "seed"])
    y = alt.Y("val_loss:Q", title=f"Test {charts.LOSS}").scale(zero=False)
    x = charts.ratio_axis(list(ratios))
    line = (
        alt.Chart(alt.Data(values=text.plain(rows(drawn))))
        .mark_line(color="currentColor", opacity=0.6)
        .encode(x=x, y=y)
    )
    tip = [alt.Tooltip("chinchilla_ratio:Q", title="ratio"), alt.Tooltip("val_loss:Q", format=".4f"), "seed:N"]
    dots = alt.Chart(alt.Data(values=charts.points(seeds, study))).mark_point(
        color="currentColor", opacity=0.8, size=45
    )
    title = study.baseline_title
    return Figure(
        f"fit-{scale}",
        f"{title}'s loss curve at {scale}",
        f"Line chart: test loss of {title} against Chinchilla ratio at {scale}, with the fitted curve.",
        f"Each point is one report seed (n = {len(seeds)} runs); the line is L(r) = α r^−B + β through the"
        " seed means.",
        alt.layer(line, dots.encode(x=x, y=y, tooltip=tip)),
    )
