"""The schedules page, of sweeps that compare schedules or kept averages: what each is worth, and what one long
run in place of several saves."""

from typing import TYPE_CHECKING, Any

from benchmark.analysis import averaging, horizon
from benchmark.frames import rows, where
from benchmark.report import text
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
from optimizers.shared.copies import split
from optimizers.shared.schedules import Schedule, scheduled

if TYPE_CHECKING:
    from benchmark.report.site import Site

FILE = "schedules.html"
AVERAGES = {
    "ema2": "exponential, mean age 2 % of the run",
    "ema10": "exponential, mean age 10 %",
    "tail": "mean of the last 10 % (LAWA)",
}


def write(site: "Site", study: Study) -> None:
    if has(study):
        site.put(study, FILE, page(study), site.template("schedules"))


def has(study: Study) -> bool:
    """Whether there is anything to say."""
    stated = any(_stated(name)[1] for name in study.optimizers)
    kept = [name for name in study.runs.columns if name.startswith(averaging.PREFIX)]
    return stated or bool(study.runs[kept].notna().to_numpy().any())


def _stated(name: str) -> tuple[str, Schedule | None]:
    """Rule and stated schedule of a name in anybody's records, where a mark may mean something else."""
    try:
        return scheduled(split(name)[0])
    except ValueError:
        return name, None


def page(study: Study) -> dict[str, Any]:
    return {
        "heading": "Schedules and averages",
        "lead": "Each contestant is tuned like any other and differs from its fellows in its schedule alone, or"
        " is the average of weights of the same runs. The last iterate is what the leaderboard ranks.",
        "tables": [table for table in (worth(study), long_runs(study), averages(study)) if len(table)],
    }


def worth(study: Study) -> Table:
    """Every contestant under a stated schedule, and the rule as it usually is."""
    stated = {name for name in study.optimizers if _stated(name)[1]}
    rules = {_stated(name)[0] for name in stated}
    compared = [name for name in (*stated, *rules) if name != study.baseline]
    shown = study.speedups.loc[study.speedups["optimizer"].isin(compared)]
    columns = (
        titled(study.titles, "Rule and schedule"),
        TASK,
        named(SPEEDUP, "Speedup"),
        INTERVAL,
        VERDICT,
        numbers("val_loss", "Test loss", fixed(4)),
        SEEDS,
        FLAGS,
    )
    caption = f"Schedules: speedup in tokens over {study.tuned_baseline}, whose rate decays linearly"
    return Table(caption, columns, rows(shown))


def long_runs(study: Study) -> Table:
    """One long run, with a decay for each smaller budget, against a run planned for each."""
    found = []
    for name in study.optimizers:
        schedule = _stated(name)[1]
        if schedule is None or not schedule.horizon_free:
            continue
        for scale in study.scales:
            own = where(study.speedups, optimizer=name, scale=scale).sort_values("chinchilla_ratio")
            ratios = [float(r) for r in own["chinchilla_ratio"]]
            if len(ratios) < 2:
                continue
            branched = horizon.branched_tokens(ratios, float(schedule.fixed["decay_fraction"]))
            verdicts = [f"{r['chinchilla_ratio']:g}x {text.verdict(r['verdict'])}" for r in rows(own)]
            budgets = ", ".join(f"{r:g}x" for r in ratios)
            of = {"optimizer": name, "scale": scale, "budgets": budgets, "verdicts": " · ".join(verdicts)}
            found.append({**of, "share": branched / sum(ratios)})
    columns = (
        titled(study.titles, "Rule and schedule"),
        Column("scale", "Scale"),
        Column("budgets", "Budgets"),
        numbers("share", "Tokens of one long run over those of planned runs", fixed(2)),
        Column("verdicts", f"Against {study.baseline_title} planned for each"),
    )
    return Table("Horizon-free: one run with a decay branched off at each budget", columns, found)


def averages(study: Study) -> Table:
    """What the averages gain over the last iterate of the same runs."""
    table = averaging.gains(study.runs.loc[study.runs["use"] == "report"])
    names = [task_name(r["scale"], r["chinchilla_ratio"]) for r in rows(table)]
    columns = (
        titled(study.titles, "Rule and schedule"),
        TASK,
        Column("average", "Average of the weights", lambda name: AVERAGES.get(name) or name),
        numbers("gain", "Gain over the last iterate, nats", lambda nats: text.signed(nats, 4)),
        numbers("interval", "95 % interval", _interval, of=("lo", "hi")),
        Column("verdict", "Verdict"),
        numbers("n", "n runs", lambda n: str(int(n))),
    )
    caption = "Averages of the weights: nats below the last iterate (intervals hold for all rows at once)"
    by_average = {name: place for place, name in enumerate(AVERAGES)}
    found = sorted(rows(table.assign(task=names)), key=lambda r: by_average.get(r["average"], len(by_average)))
    return Table(
        caption, columns, sorted(found, key=lambda r: (r["scale"], r["chinchilla_ratio"], r["optimizer"]))
    )


def _interval(lo: float, hi: float) -> str:
    """As fine as the verdict that it is of."""
    return f"[{text.signed(lo, 4)}, {text.signed(hi, 4)}]" if text.is_number(lo) else text.MISSING
