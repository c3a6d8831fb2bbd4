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
from benchmark.analysis.residuals import Bools, Floats, ScaleModel, by_scale

LEVEL = 0.95
COLUMNS = [
    "optimizer", "scale", "chinchilla_ratio", "n", "val_loss", "val_loss_sd", "d_eff", "speedup", "lo", "hi",
    "verdict", "extrapolated", "flags",
]  # fmt: skip
QUALITY_COLUMNS = [
    "scale", "baseline_ratio", "baseline_loss", "fitted", "residual", "optimizer", "chinchilla_ratio",
    "speedup", "speedup_without", "change",
]  # fmt: skip


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

    Returns columns n (finished seeds), val_loss (mean over seeds, adjusted for missing ones), val_loss_sd,
    d_eff (the ratio at which the baseline reaches this loss; infinite at or below its floor), speedup, lo and
    hi (95 % interval), verdict (faster, slower, inseparable), extrapolated (d_eff outside the baseline's
    ratios), flags (text, "; " between, empty where all is well). Where the baseline has one ratio only, speedup
    is NaN and the verdict is that of the paired comparison at that ratio. Raises ValueError for unusable input.
    """
    models = list(by_scale(losses, noise_sd))
    names = sorted({name for _, model in models for name in model.optimizer})
    if baseline not in names:
        raise ValueError(
            f"no losses of the baseline {baseline!r}; there are {', '.join(names) or 'none at all'}"
        )
    if n_bootstrap < 100:
        raise ValueError(f"n_bootstrap must be 100 or more for a 95 % interval, not {n_bootstrap}")
    tables = []
    for scale, model in models:
        rng = np.random.default_rng([seed, zlib.crc32(scale.encode())])
        tables.append(_scale_table(model, baseline, n_bootstrap, rng).assign(scale=scale))
    order = ["scale", "optimizer", "chinchilla_ratio"]
    return pd.concat(tables).reindex(columns=COLUMNS).sort_values(by=order, ignore_index=True)


def fit_quality(losses: pd.DataFrame, baseline: str = "adamw") -> pd.DataFrame:
    """How much each speedup rests on single baseline points: three parameters on four points are fragile.

    Returns one row per (scale, baseline_ratio, optimizer, chinchilla_ratio): baseline_loss, fitted and residual
    (nats) of that baseline point, speedup with all points, speedup_without it, and their difference `change`.
    The last two are NaN where fewer than four points would remain; scales with one baseline ratio are left out.
    """
    rows = []
    for scale, model in by_scale(losses):
        base, other = model.finite & (model.optimizer == baseline), model.finite & (model.optimizer != baseline)
        ratios, means = model.ratio[base], model.mean[base]
        if len(ratios) < 2:
            continue
        full = curve.fit(ratios, means[None])
        speedup = full.d_eff(model.mean[None, other])[0] / model.ratio[other]
        for i, fitted in enumerate(full.loss(ratios)[0]):
            without = np.full(other.sum(), np.nan)
            if len(ratios) > 4:
                rest = curve.fit(np.delete(ratios, i), np.delete(means, i)[None])
                without = rest.d_eff(model.mean[None, other])[0] / model.ratio[other]
            point = (scale, ratios[i], means[i], fitted, means[i] - fitted)
            cells = zip(model.optimizer[other], model.ratio[other], speedup, without, strict=True)
            rows += [(*point, *cell, cell[3] - cell[2]) for cell in cells]
    return pd.DataFrame(rows, columns=pd.Index(QUALITY_COLUMNS))


def _scale_table(model: ScaleModel, baseline: str, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    finite, is_base = model.finite, model.optimizer == baseline
    base, ratios = is_base[finite], model.ratio[finite]
    d_eff, lo, hi = (np.full(len(finite), np.nan) for _ in range(3))
    notes = _baseline_notes(model, is_base)
    if base.sum() >= 2:
        means = model.mean[None, finite]
        if model.df:
            means = np.vstack([means, model.draw(draws, rng)])
        fitted = curve.fit(ratios[base], means[:, base])  # row 0 is the estimate, the others are draws
        notes.append(
            fitted.flag if fitted.falls[0] else "undefined: the baseline's loss does not fall with data"
        )
        reached = fitted.d_eff(means)
        d_eff[finite] = reached[0]
        if model.df:
            lo[finite], hi[finite] = interval(reached[1:] / ratios)
        never = np.isposinf(model.mean)  # every seed diverged: no amount of baseline is too small
        d_eff[never], lo[never], hi[never] = 0.0, 0.0, 0.0
    own = is_base & finite
    d_eff[own], lo[own], hi[own] = model.ratio[own], 1.0, 1.0
    direct = paired_verdicts(model, baseline)
    interval_verdict = np.where(lo > 1, "faster", np.where(hi < 1, "slower", "inseparable"))
    verdict = interval_verdict if base.sum() >= 2 else np.where(direct == "", "inseparable", direct)
    columns = {
        "optimizer": model.optimizer,
        "chinchilla_ratio": model.ratio,
        "n": model.n,
        "val_loss": model.mean,
        "val_loss_sd": model.sd,
        "d_eff": d_eff,
        "speedup": d_eff / model.ratio,
        "lo": lo,
        "hi": hi,
        "verdict": verdict,
        "extrapolated": (d_eff < ratios[base].min(initial=np.inf)) | (d_eff > ratios[base].max(initial=0.0)),
        "flags": _flags(model, notes, d_eff, np.where(verdict == direct, "", direct), is_base),
    }
    return pd.DataFrame(columns)


def interval(draws: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper quantile of each column of (draws, cells).

    Infinite draws count as what they are; an undefined one (a curve that does not fall) as the worst for either
    end. Quantiles are order statistics, because interpolating towards infinity is not defined.
    """
    tail = (1 - level) / 2
    lo = np.quantile(np.where(np.isnan(draws), 0.0, draws), tail, axis=0, method="lower")
    hi = np.quantile(np.where(np.isnan(draws), np.inf, draws), 1 - tail, axis=0, method="higher")
    return lo, hi


def paired_verdicts(model: ScaleModel, baseline: str) -> NDArray[np.str_]:
    """Each cell against the baseline's at the same ratio: Student's t at 95 % with the pooled residual.

    No curve enters, so this holds for a single ratio too. A cell whose seeds all diverged is slower; where
    there is nothing to compare (the baseline itself, a ratio it lacks, noise unknown) the text is empty.
    """
    out = np.full(len(model.mean), "", dtype="U11")
    if not model.df:
        return out
    t = stats.t.ppf((1 + LEVEL) / 2, model.df)
    place = np.cumsum(model.finite) - 1
    errors = model.standard_errors()
    for own in np.flatnonzero(model.finite & (model.optimizer == baseline)):
        same = (model.ratio == model.ratio[own]) & (np.arange(len(out)) != own)
        out[same & np.isposinf(model.mean)] = "slower"
        same &= model.finite
        bound = errors[place[own], place[same]] * t
        gap = model.mean[same] - model.mean[own]
        out[same] = np.where(gap < -bound, "faster", np.where(gap > bound, "slower", "inseparable"))
    return out


def _baseline_notes(model: ScaleModel, is_base: Bools) -> list[str]:
    notes = [f"baseline diverged at {r:g}x" for r in model.ratio[is_base & np.isposinf(model.mean)]]
    count = (is_base & model.finite).sum()
    if count < 2:
        notes.append("undefined: one baseline ratio" if count else "undefined: no finished baseline")
    return [*notes, "noise_sd given"] if np.isinf(model.df) else notes


def _flags(
    model: ScaleModel, notes: list[str], d_eff: Floats, otherwise: NDArray[np.str_], is_base: Bools
) -> list[str]:
    out = []
    for i in range(len(d_eff)):
        flags = [*notes]
        if not model.df and not is_base[i]:
            flags.append("no interval: too few seeds and no noise_sd")
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
        if otherwise[i]:
            flags.append(f"paired comparison at this ratio: {otherwise[i]}")
        out.append("; ".join(f for f in flags if f))
    return out
