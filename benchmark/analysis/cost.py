"""What the speedup in tokens is worth in seconds, FLOPs and gradients, with the memory it takes beside it.

A method that needs fewer tokens but more time per token is worth its tokens times the baseline's cost per token
over its own. Seconds compare where machine and conditions are the same (`benchmark/machine.py`), and nowhere
else.
"""

import numpy as np
import pandas as pd

from benchmark.analysis.speedup import verdicts
from benchmark.frames import CELL

COLUMNS = [
    *CELL, "speedup", "lo", "hi", "machine", "seconds_per_token", "speedup_seconds", "lo_seconds", "hi_seconds",
    "verdict_seconds", "step_overhead", "flops_per_token", "optimizer_share", "speedup_flops", "lo_flops",
    "hi_flops", "verdict_flops", "gradients_per_step", "speedup_gradients", "lo_gradients", "hi_gradients",
    "verdict_gradients", "peak_memory_bytes", "state_bytes",
]  # fmt: skip


def costs(
    speedups: pd.DataFrame, runs: pd.DataFrame, baseline: str = "adamw", timed: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Speedup in tokens, in seconds, in FLOPs and in gradients, one row per cell of `speedups` and machine.

    Args:
        speedups: as `speedup.speedups` returns it.
        runs: as in `store.Results.runs`; finished report runs count.
        timed: as in `step_overheads`.

    speedup_seconds = speedup x baseline's training seconds per token / the optimizer's, on one machine, under
    the same conditions and at the same task; NaN where the baseline was not timed so. speedup_flops likewise
    with the FLOPs of model and optimizer, counted from shapes, so on no machine in particular.
    optimizer_share: the optimizer's part. speedup_gradients likewise with `gradients_per_step`, how many
    gradients of its batch a step evaluates: 1.3 in tokens is 0.65 in gradients where a step takes two.
    lo and hi carry the interval of the token speedup alone: the spread of times is not in it.
    verdict_seconds, verdict_flops and verdict_gradients are read off them as those in tokens are
    (`speedup.verdicts`).
    step_overhead: see `step_overheads`. Memory is the median over runs on that machine, in bytes; zero (not
    measured) is NaN.
    """
    if speedups.empty:  # a sweep that has reported nothing yet
        return pd.DataFrame(columns=COLUMNS)
    done = runs.loc[(runs["use"] == "report") & (runs["status"] == "finished")]
    seconds, flops = seconds_per_token(done, baseline), _flops_per_token(done)
    memory = done.groupby(["machine", *CELL], as_index=False)[["peak_memory_bytes", "state_bytes"]].median()
    table = speedups.reindex(columns=[*CELL, "speedup", "lo", "hi"])
    table = table.merge(memory.replace(0, np.nan), on=CELL, how="left")
    table = table.merge(seconds, on=["machine", *CELL], how="left").merge(flops, on=CELL, how="left")
    table = table.merge(_gradients_per_step(done), on=CELL, how="left")
    for unit, price, by in (
        ("seconds", "seconds_per_token", ["machine", *CELL[1:]]),
        ("flops", "flops_per_token", CELL[1:]),
        ("gradients", "gradients_per_step", CELL[1:]),  # a step's gradients are of all its tokens
    ):
        own = table.loc[table["optimizer"] == baseline].drop_duplicates(by).set_index(by)[price]
        yardstick = own.reindex(pd.MultiIndex.from_frame(table.reindex(columns=by))).to_numpy(float)
        factor = yardstick / table[price].to_numpy(float)
        table = table.assign(**{f"{name}_{unit}": table[name] * factor for name in ("speedup", "lo", "hi")})
        lo, hi = (table[f"{end}_{unit}"].to_numpy(float) for end in ("lo", "hi"))
        verdict = verdicts(lo, hi, (table["optimizer"] == baseline).to_numpy())
        table[f"verdict_{unit}"] = verdict
    table = table.merge(step_overheads(runs, baseline, timed), on=CELL, how="left")
    return table.reindex(columns=COLUMNS).sort_values(by=[*CELL, "machine"], ignore_index=True)


def seconds_per_token(runs: pd.DataFrame, baseline: str = "adamw") -> pd.DataFrame:
    """Median training seconds per token of each cell's finished report runs on each machine that is named,
    under the conditions in which the baseline's runs of the task were timed there (of several, under those in
    which most optimizers were): a cell that was timed in others has no row.

    Columns machine, optimizer, scale, chinchilla_ratio, seconds_per_token.
    """
    timed = runs.loc[(runs["use"] == "report") & (runs["status"] == "finished")]
    timed = timed.loc[(timed["train_seconds"] > 0) & (timed["tokens"] > 0) & (timed["machine"] != "")]
    by = ["machine", "optimizer", "scale", "chinchilla_ratio"]
    timed = _beside_the_baseline(timed, baseline)
    timed = timed.assign(seconds_per_token=timed["train_seconds"].astype(float) / timed["tokens"].astype(float))
    return timed.groupby(by, sort=True)[["seconds_per_token"]].median().reset_index()


def _beside_the_baseline(timed: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The runs under the conditions that `seconds_per_token` chooses for each task and machine."""
    if "conditions" not in timed or timed.empty:
        return timed
    place = ["machine", "scale", "chinchilla_ratio"]
    there = timed.groupby([*place, "conditions"])["optimizer"].agg(
        lambda o: len(set(o)) if baseline in set(o) else 0
    )
    best = there.loc[there > 0].reset_index(name="count").sort_values([*place, "count", "conditions"])
    return timed.merge(best.drop_duplicates(place, keep="last")[[*place, "conditions"]])


def step_overheads(
    runs: pd.DataFrame, baseline: str = "adamw", timed: pd.DataFrame | None = None
) -> pd.DataFrame:
    """How much longer a step takes than the baseline's, one row per cell but the baseline's: CELL,
    step_overhead.

    timed: optimizer, scale, step_overhead, as measured in turns with the baseline (`benchmark/timing.py`); it
    counts before what follows.

    The ratio of median step seconds less one: at one batch size, on one machine, under the same conditions; the
    median over these. All finished runs count, also those of tuning. A cell without a timed pair has no row.
    """
    found = _overheads_of_runs(runs, baseline)
    if timed is None or timed.empty or not set(CELL) <= set(runs.columns):
        return found
    cells = (
        runs.loc[runs["status"] == "finished", CELL].drop_duplicates().merge(timed, on=["optimizer", "scale"])
    )
    both = pd.concat([cells[found.columns], found]) if len(found) else cells[found.columns]
    return both.drop_duplicates(CELL).sort_values(by=CELL, ignore_index=True)


def _overheads_of_runs(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    if not {"step_seconds", "batch_size"} <= set(runs.columns):  # nothing timed, or no run at all
        return pd.DataFrame(columns=[*CELL, "step_overhead"])
    timed = runs.loc[(runs["status"] == "finished") & (runs["step_seconds"] > 0)]
    same = ["scale", "chinchilla_ratio", "machine", "conditions", "batch_size"]
    same = [name for name in same if name in timed]
    timed = timed.loc[timed["machine"] != ""]
    steps = timed.groupby([*same, "optimizer"])["step_seconds"].median().unstack()
    if baseline not in steps:
        return pd.DataFrame(columns=[*CELL, "step_overhead"])
    ratios = steps.div(steps[baseline], axis=0).drop(columns=baseline).stack().rename("step_overhead")
    return (ratios.dropna().groupby(CELL).median() - 1).reset_index()


def _gradients_per_step(done: pd.DataFrame) -> pd.DataFrame:
    frame = done.reindex(columns=[*CELL, "gradients_per_step"])
    return frame.groupby(CELL)[["gradients_per_step"]].median().reset_index()


def _flops_per_token(done: pd.DataFrame) -> pd.DataFrame:
    model, optimizer = done["model_flops"].to_numpy(float), done["optimizer_flops"].to_numpy(float)
    total = np.where(model > 0, model + optimizer, np.nan)
    priced = done.assign(
        flops_per_token=total / done["tokens"].to_numpy(float), optimizer_share=optimizer / total
    )
    prices = priced.groupby(CELL)[["flops_per_token", "optimizer_share"]].median()
    return prices.reset_index()
