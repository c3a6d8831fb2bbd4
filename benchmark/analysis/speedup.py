"""How many fewer tokens than a tuned baseline, and how sure are we?

A verdict is a contrast in nats with the baseline at the same task (contrasts.py); the baseline's curve only
converts it to tokens (conversion.py). "Fantastic Pretraining Optimizers and Where to Find Them"
(arXiv:2509.02046) reads the speedup off the fitted curve instead: `method="study"` (formula.py) does so too,
for its figures.
"""

import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis import conversion, curve, formula
from benchmark.analysis.arrays import Bools, Floats
from benchmark.analysis.contrasts import ALPHA, Gaps, gaps
from benchmark.analysis.quality import fit_quality as fit_quality
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.scale_model import ScaleModel

EQUIVALENCE = 1.2  # "inseparable": the whole interval lies within this factor of 1
CURVES = 500  # draws of a curve; the noise of a gap is integrated, not drawn
COLUMNS = [
    "optimizer", "scale", "chinchilla_ratio", "n", "searches", "val_loss", "val_loss_sd", "gap", "gap_lo",
    "gap_hi", "d_eff", "speedup", "lo", "hi", "lo_one", "hi_one", "verdict", "extrapolated", "flags",
]  # fmt: skip
Method = Literal["anchored", "study"]


def speedups(
    losses: pd.DataFrame,
    baseline: str = "adamw",
    noise_sd: float | None = None,
    choosing_sd: float | None = None,
    looks: Sequence[int] = (),
    n_bootstrap: int = 2000,
    seed: int = 0,
    method: Method = "anchored",
) -> pd.DataFrame:
    """Speedup of every optimizer over the baseline in tokens, one row per (optimizer, scale, chinchilla_ratio).

    Args:
        losses: optimizer, scale, chinchilla_ratio, seed, val_loss (nats per token; inf = diverged, NaN =
            failed), and search, which of an optimizer's independent searches chose the setting (absent: one).
        baseline: the optimizer whose curve is the yardstick; its own speedup is 1 by definition.
        noise_sd, choosing_sd: standard deviations in nats of one run's residual and of what a search adds, at
            scales where nothing tells them: one seed, one search for each optimizer.
        looks: numbers of report seeds at which cells were judged and might have stopped (`contrasts.spending`).
        n_bootstrap: draws behind each interval. seed: of the draws.
        method: "anchored", or "study" for the published study's formula.

    Returns columns n (finished runs), searches, val_loss (mean over searches, adjusted for missing seeds),
    val_loss_sd, gap (nats: val_loss less the baseline's at the same ratio) with gap_lo and gap_hi, d_eff (the
    ratio at which the baseline reaches this loss; infinite at or below its floor), speedup, lo and hi,
    lo_one and hi_one, verdict, extrapolated (d_eff outside the baseline's ratios), flags (text, "; " between).
    gap_lo to gap_hi and lo to hi hold 95 % for all contrasts of the frame at once; lo_one to hi_one for a cell
    looked at by itself. The verdict is read off lo and hi: faster, slower, inseparable (within EQUIVALENCE of
    1), undecided; "baseline" for its own rows, and empty where nothing is known. Where nats cannot be converted
    it is read off the gap. Raises ValueError for unusable input.
    """
    scales = list(by_scale(losses, noise_sd, choosing_sd))
    names = sorted({name for _, model in scales for name in model.optimizer})
    if baseline not in names:
        raise ValueError(
            f"no losses of the baseline {baseline!r}; there are {', '.join(names) or 'none at all'}"
        )
    if n_bootstrap < 100:
        raise ValueError(f"n_bootstrap must be 100 or more for a 95 % interval, not {n_bootstrap}")
    if method not in ("anchored", "study"):
        raise ValueError(f"method must be 'anchored' or 'study', not {method!r}")
    tables = []
    for (scale, model), found in zip(scales, gaps([m for _, m in scales], baseline, looks), strict=True):
        rng = np.random.default_rng([seed, zlib.crc32(scale.encode())])
        if method == "study":
            table = formula.scale_table(model, baseline, n_bootstrap, rng)
        else:
            table = _anchored(model, found, baseline, min(n_bootstrap, CURVES), rng)
        tables.append(_with_verdicts(table, model, found, baseline, choosing_sd).assign(scale=scale))
    order = ["scale", "optimizer", "chinchilla_ratio"]
    return pd.concat(tables).reindex(columns=COLUMNS).sort_values(by=order, ignore_index=True)


def undecided(
    losses: pd.DataFrame,
    baseline: str = "adamw",
    looks: Sequence[int] = (),
    choosing_sd: float | None = None,
) -> set[tuple[str, str, float]]:
    """The cells (optimizer, scale, chinchilla_ratio) that `speedups` calls undecided: more seeds may tell."""
    table = speedups(losses, baseline, choosing_sd=choosing_sd, looks=looks)
    open_ = table.loc[table["verdict"] == "undecided", ["optimizer", "scale", "chinchilla_ratio"]]
    return {(str(o), str(s), float(r)) for o, s, r in open_.itertuples(index=False, name=None)}


def verdicts(lo: Floats, hi: Floats, is_base: Bools) -> NDArray[np.str_]:
    """What the interval of a ratio to the baseline says, of tokens, seconds or FLOPs: faster, slower,
    inseparable (within EQUIVALENCE of 1), undecided; "" without an interval, "baseline" for its own."""
    same = (lo > 1 / EQUIVALENCE) & (hi < EQUIVALENCE)
    words = {"baseline": is_base, "": ~np.isfinite(lo), "faster": lo > 1, "slower": hi < 1, "inseparable": same}
    return np.select([*words.values()], [*words], "undecided")


def _anchored(
    model: ScaleModel, found: Gaps, baseline: str, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    finite, is_base = model.finite, model.optimizer == baseline
    base, ratios = is_base[finite], model.ratio[finite]
    d_eff, lo, hi, lo_one, hi_one = (np.full(len(finite), np.nan) for _ in range(5))
    notes = ""
    if base.sum() >= 2:
        means = model.mean[finite][base]
        fitted = curve.fit(ratios[base], means[None])
        notes = fitted.flag if fitted.falls[0] else "undefined: the baseline's loss does not fall with data"
        if fitted.falls[0]:
            notes = "; ".join(n for n in (notes, _no_law(fitted, means)) if n)
            d_eff[finite] = fitted.d_eff(model.mean[None, finite])[0]  # where the baseline was not run
            cell = found.cell
            at = model.ratio[cell]
            d_eff[cell] = conversion.anchored(fitted, at, found.family.gap)
            if model.df and len(cell):
                drawn = model.draw(draws, rng)[:, base]
                curves = conversion.draw(ratios[base], drawn, at, rng)
                ends = _ends(curves, found, found.level, np.log(at))
                lo[cell], hi[cell] = _with_point(*ends, d_eff[cell] / at)
                ends = _ends(curves, found, np.full(len(cell), ALPHA), np.log(at))
                lo_one[cell], hi_one[cell] = _with_point(*ends, d_eff[cell] / at)
            lost = np.isposinf(model.mean) & np.isin(model.ratio, ratios[base])
            for column in (d_eff, lo, hi, lo_one, hi_one):  # no amount of the baseline's data is too small
                column[lost] = 0.0
    columns = {"d_eff": d_eff, "lo": lo, "hi": hi, "lo_one": lo_one, "hi_one": hi_one, "notes": notes}
    return pd.DataFrame(columns)


def _ends(
    curves: conversion.Conversion, found: Gaps, levels: Floats, log_ratio: Floats
) -> tuple[Floats, Floats]:
    """Both ends of the speedups at these levels, on the side of 1 that the gap's own ends are on."""
    family = found.family
    shape = (log_ratio, family.gap, family.error, family.df)
    lo, hi = (curves.bound(*shape, tail) for tail in (levels / 2, 1 - levels / 2))
    gap_lo, gap_hi = found.interval(levels)
    lo = np.where(gap_hi < 0, np.maximum(lo, np.nextafter(1, 2)), np.minimum(lo, 1.0))
    hi = np.where(gap_lo > 0, np.minimum(hi, np.nextafter(1, 0)), np.maximum(hi, 1.0))
    return lo, hi


def _with_point(lo: Floats, hi: Floats, point: Floats) -> tuple[Floats, Floats]:
    return np.fmin(lo, point), np.fmax(hi, point)


def _no_law(fitted: curve.Curve, means: Floats) -> str:
    """What is wrong with the shape of a curve of three free parameters; empty where it is a law."""
    exponent = float(fitted.exponent[0])
    if fitted.flag or (exponent > 0 and fitted.floor[0] < means.min()):
        return ""
    return f"the baseline's curve is no law here: B = {exponent:.2g}, floor {fitted.floor[0]:.3g}"


def _with_verdicts(
    table: pd.DataFrame, model: ScaleModel, found: Gaps, baseline: str, choosing_sd: float | None
) -> pd.DataFrame:
    is_base, ratios = model.optimizer == baseline, model.ratio
    own = is_base & model.finite
    gap, gap_lo, gap_hi = (np.full(len(ratios), np.nan) for _ in range(3))
    gap[found.cell] = found.family.gap
    gap_lo[found.cell], gap_hi[found.cell] = found.interval()
    lost = np.isposinf(model.mean) & np.isin(ratios, ratios[own])
    for column in (gap, gap_lo, gap_hi):
        column[own], column[lost] = 0.0, np.inf
    table.loc[own, "d_eff"] = ratios[own]
    table.loc[own, ["lo", "hi", "lo_one", "hi_one"]] = 1.0
    d_eff, lo, hi = (table[c].to_numpy(float) for c in ("d_eff", "lo", "hi"))
    base_ratios = ratios[own]
    known = np.isfinite(gap_lo) | lost
    paired = np.select([~known, gap_hi < 0, gap_lo > 0], ["", "faster", "slower"], "undecided")
    verdict = np.where(is_base | np.isfinite(lo), verdicts(lo, hi, is_base), paired)
    return table.assign(
        optimizer=model.optimizer,
        chinchilla_ratio=ratios,
        n=model.n,
        searches=model.searches,
        val_loss=model.mean,
        val_loss_sd=model.sd,
        gap=gap,
        gap_lo=gap_lo,
        gap_hi=gap_hi,
        speedup=d_eff / ratios,
        verdict=verdict,
        extrapolated=(d_eff < base_ratios.min(initial=np.inf)) | (d_eff > base_ratios.max(initial=0.0)),
        flags=_flags(model, str(table["notes"].iloc[0]), d_eff, is_base, choosing_sd),
    )


def _notes(model: ScaleModel, is_base: Bools, curve_notes: str, choosing_sd: float | None) -> list[str]:
    notes = [f"baseline diverged at {r:g}x" for r in model.ratio[is_base & np.isposinf(model.mean)]]
    count = (is_base & model.finite).sum()
    if count < 2:
        notes.append("undefined: one baseline ratio" if count else "undefined: no finished baseline")
    notes.append(curve_notes)
    if np.isinf(model.df):
        notes.append("noise_sd given")
    if not model.components.choosing_df:
        notes.append("choosing unknown: one search each" if choosing_sd is None else "choosing_sd given")
    return notes


def _flags(
    model: ScaleModel, curve_notes: str, d_eff: Floats, is_base: Bools, choosing_sd: float | None
) -> list[str]:
    notes = _notes(model, is_base, curve_notes, choosing_sd)
    with_base = np.isin(model.ratio, model.ratio[is_base & model.finite])
    out = []
    for i in range(len(d_eff)):
        flags = [*notes]
        if not model.df and not is_base[i]:
            flags.append("no interval: too few seeds and no noise_sd")
        if not with_base[i] and not is_base[i]:
            flags.append("no interval: no baseline at this ratio")
        if model.diverged[i]:
            flags.append(
                f"diverged seeds: {model.diverged[i]}" + (" (all)" if np.isposinf(model.mean[i]) else "")
            )
        if model.failed[i]:
            flags.append(f"failed seeds: {model.failed[i]}" + (" (all)" if np.isnan(model.mean[i]) else ""))
        if model.adjusted[i]:
            flags.append("adjusted for missing seeds")
        if np.isposinf(d_eff[i]):
            flags.append("at or below the baseline's floor")
        out.append("; ".join(f for f in flags if f))
    return out
