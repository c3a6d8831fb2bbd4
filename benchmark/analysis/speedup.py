"""How many fewer tokens than a tuned baseline, and how sure are we?

The point estimate is that of "Fantastic Pretraining Optimizers and Where to Find Them" (arXiv:2509.02046): the
baseline's losses of one scale give a curve over data; `d_eff` is where that curve reaches an optimizer's loss,
and the speedup is `d_eff` over the data the optimizer had. The interval is parametric: the pooled residual of
residuals.py gives draws of every cell's mean, and the curve is fitted again in each draw.
"""

import zlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.analysis import curve
from benchmark.analysis.residuals import ScaleModel, check_losses, fit_scale

LEVEL = 0.95
COLUMNS = [
    "optimizer", "scale", "chinchilla_ratio", "n", "val_loss", "val_loss_sd", "d_eff", "speedup", "lo", "hi",
    "verdict", "extrapolated", "flags",
]  # fmt: skip
Floats = NDArray[np.float64]


def speedups(
    losses: pd.DataFrame,
    baseline: str = "adamw",
    noise_sd: float | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Speedup of every optimizer over the baseline in tokens, one row per (optimizer, scale, chinchilla_ratio).

    Args:
        losses: optimizer, scale, chinchilla_ratio, seed, val_loss (nats per token; inf = diverged, NaN =
            failed). Exact duplicates count once.
        baseline: the optimizer whose curve is the yardstick; its own speedup is 1 by definition.
        noise_sd: standard deviation of one run's loss in nats, used at scales where one seed leaves no other
            way to know; without it such scales have no interval.
        n_bootstrap: draws behind each interval.
        seed: of the draws. A scale's draws do not depend on which other scales are there.

    Returns columns n (finished seeds), val_loss (mean over seeds, adjusted for missing ones), val_loss_sd, d_eff
    (the ratio at which the baseline reaches this loss; infinite at or below its floor), speedup, lo and hi
    (95 % interval), verdict (faster, slower, inseparable), extrapolated (d_eff outside the baseline's ratios),
    flags (text, "; " between, empty where all is well). Where the baseline has one ratio only, speedup is NaN and
    the verdict is that of the paired comparison at that ratio. Raises ValueError for unusable input.
    """
    frame = check_losses(losses)
    if baseline not in set(frame.optimizer):
        raise ValueError(
            f"no losses of the baseline {baseline!r}; there are {', '.join(sorted(set(frame.optimizer)))}"
        )
    if n_bootstrap < 100:
        raise ValueError(f"n_bootstrap must be 100 or more for a 95 % interval, not {n_bootstrap}")
    tables = []
    for scale, group in frame.groupby("scale", sort=True):
        rng = np.random.default_rng([seed, zlib.crc32(str(scale).encode())])
        model = fit_scale(group, noise_sd)
        tables.append(_scale_table(model, baseline, n_bootstrap, rng).assign(scale=scale))
    table = pd.concat(tables)[COLUMNS]
    return table.sort_values(["scale", "optimizer", "chinchilla_ratio"], ignore_index=True)


def fit_quality(losses: pd.DataFrame, baseline: str = "adamw") -> pd.DataFrame:
    """How much each speedup rests on single baseline points: three parameters on four points are fragile.

    Returns one row per (scale, baseline_ratio, optimizer, chinchilla_ratio): baseline_loss, fitted and residual
    (nats) of that baseline point, speedup with all points, speedup_without it, and their difference `change`.
    The last two are NaN where fewer than four points would remain; scales with one baseline ratio are left out.
    """
    tables = []
    for scale, group in check_losses(losses).groupby("scale", sort=True):
        cells = fit_scale(group).cells
        cells = cells[np.isfinite(cells.val_loss)]
        base, other = cells[cells.optimizer == baseline], cells[cells.optimizer != baseline]
        if len(base) < 2:
            continue
        ratios, means = base.chinchilla_ratio.to_numpy(), base.val_loss.to_numpy()[None]
        full = curve.fit(ratios, means)
        fitted = full.loss(ratios)[0]
        keep = other[["optimizer", "chinchilla_ratio"]].assign(scale=scale, speedup=_point(full, other))
        for i, ratio in enumerate(ratios):
            without = np.nan
            if len(ratios) > 4:
                without = _point(curve.fit(np.delete(ratios, i), np.delete(means, i, axis=1)), other)
            point = {"baseline_ratio": ratio, "baseline_loss": means[0, i], "fitted": fitted[i]}
            tables.append(keep.assign(**point, residual=means[0, i] - fitted[i], speedup_without=without))
    columns = [
        "scale", "baseline_ratio", "baseline_loss", "fitted", "residual", "optimizer", "chinchilla_ratio", "speedup",
        "speedup_without",
    ]  # fmt: skip
    table = (
        pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns, dtype=float)
    )
    return table.assign(change=table.speedup_without - table.speedup)


def _point(fitted: curve.Curve, cells: pd.DataFrame) -> Floats:
    return fitted.d_eff(cells.val_loss.to_numpy()[None])[0] / cells.chinchilla_ratio.to_numpy()


def _scale_table(model: ScaleModel, baseline: str, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    table = model.cells.assign(d_eff=np.nan, speedup=np.nan, lo=np.nan, hi=np.nan)
    finite = model.finite
    is_base = (table.optimizer == baseline).to_numpy()
    base = is_base[finite]
    known = table[finite]
    ratios = known.chinchilla_ratio.to_numpy()
    flag = _baseline_flag(table[is_base])
    if base.sum() >= 2:
        fitted = curve.fit(ratios[base], known.val_loss.to_numpy()[base][None])
        d_eff = fitted.d_eff(known.val_loss.to_numpy()[None])[0]
        table.loc[finite, "d_eff"], table.loc[finite, "speedup"] = d_eff, d_eff / ratios
        if model.df:
            means = model.draw(draws, rng)
            drawn = curve.fit(ratios[base], means[:, base]).d_eff(means) / ratios
            table.loc[finite, "lo"], table.loc[finite, "hi"] = interval(drawn)
        flag = (
            [*flag, fitted.flag] if fitted.falls[0] else [*flag, "undefined: the baseline's loss does not fall"]
        )
        table.loc[np.isposinf(table.val_loss), ["d_eff", "speedup", "lo", "hi"]] = 0.0
    table.loc[is_base & finite, ["speedup", "lo", "hi"]] = 1.0
    table.loc[is_base & finite, "d_eff"] = table.chinchilla_ratio
    span = (ratios[base].min(), ratios[base].max()) if base.any() else (np.nan, np.nan)
    table["extrapolated"] = (table.d_eff < span[0]) | (table.d_eff > span[1])
    direct = _direct_verdict(model, baseline)
    table["verdict"] = _verdicts(table, direct, defined=base.sum() >= 2)
    table["flags"] = _flags(table, flag, direct, model.df, is_base)
    return table


def interval(draws: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper quantile of each column of (draws, cells).

    Infinite draws count as what they are; an undefined one (a curve that does not fall) as the worst for either
    end. Quantiles are order statistics, because interpolating towards infinity is not defined.
    """
    tail = (1 - level) / 2
    lo = np.quantile(np.where(np.isnan(draws), 0.0, draws), tail, axis=0, method="lower")
    hi = np.quantile(np.where(np.isnan(draws), np.inf, draws), 1 - tail, axis=0, method="higher")
    return lo, hi


def _direct_verdict(model: ScaleModel, baseline: str) -> pd.Series:
    """Verdict of the paired comparison with the baseline at the same ratio, for every cell of the scale."""
    cells = model.cells
    out = pd.Series("inseparable", index=cells.index)
    place = {i: k for k, i in enumerate(cells.index[model.finite])}
    own = {r: i for i, r in cells.chinchilla_ratio[(cells.optimizer == baseline) & model.finite].items()}
    cov = model.covariance
    for i, ratio in cells.chinchilla_ratio.items():
        if ratio not in own or own[ratio] == i or not model.df:
            continue
        if np.isposinf(cells.val_loss[i]):
            out[i] = "slower"
        if i not in place:
            continue
        j, k = place[i], place[own[ratio]]
        se = model.residual_sd * np.sqrt(cov[j, j] + cov[k, k] - 2 * cov[j, k])
        gap = cells.val_loss[own[ratio]] - cells.val_loss[i]
        if abs(gap) > se * stats.t.ppf((1 + LEVEL) / 2, model.df):
            out[i] = "faster" if gap > 0 else "slower"
    return out


def _verdicts(table: pd.DataFrame, direct: pd.Series, defined: bool) -> pd.Series:
    if not defined:
        return direct
    verdict = pd.Series("inseparable", index=table.index)
    verdict[table.lo > 1] = "faster"
    verdict[table.hi < 1] = "slower"
    return verdict


def _baseline_flag(base: pd.DataFrame) -> list[str]:
    flags = [f"baseline diverged at {r:g}x" for r in base.chinchilla_ratio[np.isposinf(base.val_loss)]]
    count = int(np.isfinite(base.val_loss).sum())
    if count < 2:
        flags.append("undefined: one baseline ratio" if count else "undefined: no finished baseline")
    return flags


def _flags(
    table: pd.DataFrame, scale: list[str], direct: pd.Series, df: float, is_base: NDArray[np.bool_]
) -> list[str]:
    noise = ["no interval: one seed and no noise_sd"] if not df else ["noise_sd given"] if np.isinf(df) else []
    out = []
    for i, row in enumerate(table.itertuples()):
        flags = [*scale, *noise]
        if row.diverged:
            flags.append(f"diverged seeds: {row.diverged}" + ("" if row.n else " (all)"))
        if row.failed:
            flags.append(f"failed seeds: {row.failed}" + ("" if row.n or row.diverged else " (all)"))
        if row.adjusted:
            flags.append("adjusted for missing seeds")
        if np.isposinf(row.d_eff):
            flags.append("at or below the baseline's floor")
        if not is_base[i] and row.n and row.verdict != direct.iloc[i]:
            flags.append(f"paired comparison at this ratio: {direct.iloc[i]}")
        out.append("; ".join(f for f in flags if f))
    return out
