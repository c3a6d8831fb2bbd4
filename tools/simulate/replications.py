"""Simulated sweeps whose truth is known. Shares no code with the analysis that is judged by them.

A run's loss is the truth, plus what its search found more or less of than another search would have, plus what
its seed does to every ratio, plus what its seed does at this ratio, plus its own residual. A speedup is planted
by definition: an optimizer `s` times as fast reaches at ratio r what the baseline reaches at s * r.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]
BASELINE = "adamw"
MENU = (1.0, 1.1, 1.2, 1.4, 0.9)  # speedups to plant
PLANTED: Mapping[str, float] = {BASELINE: 1.0, "a": 0.9, "b": 1.0, "c": 1.1, "d": 1.2, "e": 1.4}
# Nats per token, as `python -m tools.bench.components results/micro-27k-1x results/reference` measures
# them. The first are pooled over replicates of tuning and report runs (5 to 48 df each), the second over the
# report runs of two tasks (4 df each, so they are more unequal than the truth: a hard case).
RESIDUAL_SD: Mapping[str, float] = {
    "adam_mini": 0.0126, "adamw": 0.0109, "cautious": 0.0108, "kron": 0.0168, "lion": 0.0134, "mars": 0.0112,
    "muon": 0.0192, "nadamw": 0.0107, "scion": 0.0173, "soap": 0.0053, "sophia": 0.0070,
}  # fmt: skip
REFERENCE_SD: Mapping[str, float] = {
    "adam_mini": 0.0159, "adamw": 0.0200, "cautious": 0.0098, "kron": 0.0265, "lion": 0.0233, "mars": 0.0116,
    "muon": 0.0107, "nadamw": 0.0343, "scion": 0.0468, "soap": 0.0130, "sophia": 0.0274,
}  # fmt: skip
REPORT_SD = (
    0.0173  # of a report run of micro-27k-1x, all optimizers together, 28 df; .021 and .027 in reference
)
SEED_SD = 0.0066  # of one report seed at one task, 2 df; .0041 at 4 df in results/reference
CHOOSING_SD = 0.012  # .0108 at 4 df: .0160 for Muon, 0 for AdamW


@dataclass(frozen=True)
class Design:
    """What a simulated sweep looks like. Losses are in nats per token.

    curve: alpha, B, beta of the baseline's power law. misfit: ratio -> how far the baseline's truth lies above
        it; linear in the logarithm of the ratio between, constant beyond.
    speedups: the optimizers, and what is planted. ratios: where they are run; beyond: where the baseline alone
        is.
    residual_sd: of a run; residual_sds: of the optimizers that have another. seed_sd, shared_sd: of a seed at
        one ratio and at all of them. choosing_sd: of one search's choice.
    searches: independent ones per cell; the k-th reports on seeds k, k + searches, ...
    baseline_times: how many times as many the baseline has at `ratios`; each round of them has all seeds to
        report on.
    looks: numbers of seeds at which a cell may stop; one number where all cells have as many.
    """

    name: str
    curve: tuple[float, float, float] = (0.42, 0.5, 3.11)
    misfit: Mapping[float, float] = field(default_factory=dict)
    speedups: Mapping[str, float] = field(default_factory=lambda: PLANTED)
    ratios: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    beyond: tuple[float, ...] = ()
    residual_sd: float = 0.002
    residual_sds: Mapping[str, float] = field(default_factory=dict)
    seed_sd: float = 0.001
    shared_sd: float = 0.001
    choosing_sd: float = 0.0
    searches: int = 1
    baseline_times: int = 1
    looks: tuple[int, ...] = (3,)


def dealt(design: Design, number: int, menu: Sequence[float] = MENU) -> Design:
    """The design with the menu dealt out in turn, from another place in every replication, so that over the
    replications every challenger has every speedup. A menu of (1,) makes all equal."""
    others = [name for name in design.speedups if name != BASELINE]
    given = {name: menu[(number + i) % len(menu)] for i, name in enumerate(others)}
    return replace(design, speedups={BASELINE: 1.0, **given})


def baseline_loss(design: Design, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """The baseline's true loss at any ratio."""
    alpha, exponent, beta = design.curve
    law = alpha * ratio**-exponent + beta
    if not design.misfit:
        return law
    known = sorted(design.misfit)
    return law + np.interp(np.log(ratio), np.log(known), [design.misfit[r] for r in known])


def truths(design: Design) -> Iterator[tuple[str, float, float]]:
    """(optimizer, ratio, true loss) of every cell, ratio by ratio."""
    for ratio in (*design.ratios, *design.beyond):
        names = list(design.speedups) if ratio in design.ratios else [BASELINE]
        reached = baseline_loss(design, ratio * np.array([design.speedups[name] for name in names]))
        yield from ((name, ratio, float(loss)) for name, loss in zip(names, reached, strict=True))


def replication(design: Design, seeds: int, rng: np.random.Generator) -> pd.DataFrame:
    """One losses frame with the design's speedups planted; seeds are numbered from 0."""
    number = np.arange(seeds)
    search = number % design.searches
    shared = rng.normal(0, design.shared_sd, seeds)
    own = {ratio: rng.normal(0, design.seed_sd, seeds) for ratio in (*design.ratios, *design.beyond)}
    parts = []
    for name, ratio, truth in truths(design):
        more = name == BASELINE and ratio in design.ratios
        for again in range(design.baseline_times if more else 1):
            chosen = rng.normal(0, design.choosing_sd, design.searches)[search]
            residual = rng.normal(0, design.residual_sds.get(name, design.residual_sd), seeds)
            losses = truth + chosen + shared + own[ratio] + residual
            which = search + design.searches * again
            parts += [(name, "simulated", ratio, *run) for run in zip(which, number, losses, strict=True)]
    return pd.DataFrame(parts, columns=pd.Index(COLUMNS))


LARGE = Design("130m")  # noise as the published study states it: about .002 nats per run
# The curve of AdamW in results/reference: 3.67 at 1x, and it falls by .17, .16 and .15 nats with each doubling
# from .5x, where measured are .155, .167 and .165 (a mean's noise is .01).
MICRO = Design("micro", (2.4, 0.1, 1.27), residual_sd=REPORT_SD, seed_sd=SEED_SD, shared_sd=SEED_SD)
SWEEP = replace(MICRO, name="noise of micro", ratios=(1.0, 2.0), beyond=(0.5, 4.0), searches=2, looks=(4,))
PLAIN = replace(SWEEP, name="choosing sd 0", residual_sd=0.010)
CHOSEN = replace(PLAIN, choosing_sd=CHOOSING_SD)
MANY = dict.fromkeys((*RESIDUAL_SD, "adamw~2"), 1.0)
QUICK = replace(
    SWEEP,
    name="quick, six seeds",
    speedups=MANY,
    choosing_sd=CHOOSING_SD,
    ratios=(1.0,),
    beyond=(0.5, 2.0, 4.0),
    residual_sds={**RESIDUAL_SD, "adamw~2": RESIDUAL_SD[BASELINE]},
    looks=(6,),
)
WIDE = replace(
    LARGE,
    name="130m, 1x to 4x",
    ratios=(1.0, 2.0, 4.0),
    beyond=(0.5, 8.0),
    choosing_sd=0.001,
    searches=2,
    looks=(4,),
)
OFF = {0.5: 0.0, 1.0: 0.02, 2.0: 0.0, 4.0: 0.02}  # every other ratio .02 nats above a power law
REPEATED = {2.0: 0.0, 4.0: 0.05, 8.0: 0.12}  # 4x brings a third less than it would with fresh data
DESIGNS = (
    PLAIN,
    replace(PLAIN, name="choosing sd .006", choosing_sd=0.006),
    replace(CHOSEN, name="choosing sd .012"),
    replace(PLAIN, name="choosing sd .02", choosing_sd=0.020),
    replace(PLAIN, name="one loud optimizer", residual_sds={"a": 0.03}),
    replace(PLAIN, name="loud baseline", residual_sds={BASELINE: 0.03}),
    replace(PLAIN, name="misfit .02, noise .010", misfit=OFF),
    replace(
        PLAIN, name="misfit .02, noise .004", misfit=OFF, residual_sd=0.004, seed_sd=0.002, shared_sd=0.002
    ),
    replace(PLAIN, name="last ratio repeats data", misfit=REPEATED, ratios=(1.0, 2.0, 4.0), beyond=(0.5,)),
    replace(CHOSEN, name="3 seeds", looks=(3,)),
    replace(CHOSEN, name="6 seeds", looks=(6,)),
    replace(CHOSEN, name="12 seeds", looks=(12,)),
    replace(CHOSEN, name="2 contestants", speedups={BASELINE: 1.0, "a": 1.0}),
    replace(CHOSEN, name="12 contestants", speedups=MANY),
    replace(SWEEP, choosing_sd=CHOOSING_SD),
    QUICK,
    replace(QUICK, name="quick, looks at 4 and 8", looks=(4, 8)),
    replace(QUICK, name="quick, looks at 3, 6 and 12", looks=(3, 6, 12)),
    replace(
        QUICK,
        name="quick, one optimizer of the user's own",
        speedups={BASELINE: 1.0, "adamw~2": 1.0, "muon": 1.0},
        looks=(4, 8),
    ),
    replace(
        QUICK, name="quick, noise of reference", residual_sds={**REFERENCE_SD, "adamw~2": 0.02}, looks=(4, 8)
    ),
    replace(
        QUICK,
        name="the sweep quick",
        ratios=(0.5, 1.0),
        beyond=(0.25, 2.0),
        searches=4,
        baseline_times=3,
        looks=(8,),
    ),
    WIDE,
    replace(WIDE, name="130m, 12 contestants, looks at 3 and 6", speedups=MANY, looks=(3, 6)),
)
