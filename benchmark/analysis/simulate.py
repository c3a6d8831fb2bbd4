"""Simulated studies whose truth is known. Shares no code with the analysis that is judged by them.

A run's loss is the truth, plus what its search found more or less of than another search would have, plus what
its seed does to every ratio, plus what its seed does at this ratio, plus its own residual. A speedup is planted
by definition: an optimizer `s` times as fast reaches at ratio r what the baseline reaches at s * r. Next:
simulate_verdicts.py, which judges the verdicts, and simulate_flips.py, studies that invite a false flip.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]
BASELINE = "adamw"
MENU = (1.0, 1.1, 1.2, 1.4, 0.9)  # planted speedups, dealt out in turn
# Nats per token, as `python -m benchmark.bench.components results/micro-27k-1x results/reference` measures them.
# The first are pooled over replicates of tuning and report runs (5 to 48 df each), the second over the report
# runs of two tasks (4 df each, so they are more unequal than the truth: a hard case).
RESIDUAL_SD: Mapping[str, float] = {
    "adam_mini": 0.0126, "adamw": 0.0109, "cautious": 0.0108, "kron": 0.0168, "lion": 0.0134, "mars": 0.0112,
    "muon": 0.0192, "nadamw": 0.0107, "scion": 0.0173, "soap": 0.0053, "sophia": 0.0070,
}  # fmt: skip
REFERENCE_SD: Mapping[str, float] = {
    "adam_mini": 0.0159, "adamw": 0.0200, "cautious": 0.0098, "kron": 0.0265, "lion": 0.0233, "mars": 0.0116,
    "muon": 0.0107, "nadamw": 0.0343, "scion": 0.0468, "soap": 0.0130, "sophia": 0.0274,
}  # fmt: skip
SEED_SD = 0.0066  # of one report seed at one ratio; at 2 df, .0041 at 4 df in results/reference
CHOOSING_SD = 0.012  # .0108 at 4 df: .0160 for Muon, 0 for AdamW


@dataclass(frozen=True)
class Design:
    """What a simulated study looks like. Losses are in nats per token.

    curve: alpha, B, beta of the baseline's power law. misfit: ratio -> how far the baseline's truth lies above
        it; linear in the logarithm of the ratio between, constant beyond.
    others: the challengers' names. ratios: where they are run; beyond: where the baseline alone is.
    residual_sd: of a run; residual_sds: of the optimizers that have another. seed_sd, shared_sd: of a seed at
        one ratio and at all of them. choosing_sd: of one search's choice.
    searches: independent ones per cell; the k-th reports on seeds k, k + searches, ...
    looks: numbers of seeds at which a cell may stop; one number where all cells have as many.
    """

    name: str
    curve: tuple[float, float, float] = (2.4, 0.1, 1.27)
    misfit: Mapping[float, float] = field(default_factory=dict)
    others: tuple[str, ...] = ("a", "b", "c", "d", "e")
    ratios: tuple[float, ...] = (1.0, 2.0)
    beyond: tuple[float, ...] = (0.5, 4.0)
    residual_sd: float = 0.010
    residual_sds: Mapping[str, float] = field(default_factory=dict)
    seed_sd: float = 0.005
    shared_sd: float = 0.0045
    choosing_sd: float = 0.0
    searches: int = 2
    looks: tuple[int, ...] = (4,)


def baseline_loss(design: Design, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """The baseline's true loss at any ratio."""
    alpha, exponent, beta = design.curve
    law = alpha * ratio**-exponent + beta
    if not design.misfit:
        return law
    known = sorted(design.misfit)
    return law + np.interp(np.log(ratio), np.log(known), [design.misfit[r] for r in known])


def planted(design: Design, number: int, menu: Sequence[float] = MENU) -> dict[str, float]:
    """The true speedup of each optimizer in study `number`: the menu dealt out in turn, so that over the studies
    every challenger has every speedup. A menu of (1,) makes all equal."""
    dealt = {name: menu[(number + i) % len(menu)] for i, name in enumerate(design.others)}
    return {BASELINE: 1.0, **dealt}


def cells(design: Design, speedups: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """(optimizer, ratio, true loss) of every cell, ratio by ratio."""
    for ratio in (*design.ratios, *design.beyond):
        names = speedups if ratio in design.ratios else (BASELINE,)
        reached = baseline_loss(design, ratio * np.array([speedups[name] for name in names]))
        yield from ((name, ratio, float(loss)) for name, loss in zip(names, reached, strict=True))


def study(design: Design, speedups: Mapping[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """One losses frame: every cell at the most seeds a design has; seeds are numbered from 0."""
    seeds = np.arange(max(design.looks))
    search = seeds % design.searches
    shared = rng.normal(0, design.shared_sd, len(seeds))
    own = {ratio: rng.normal(0, design.seed_sd, len(seeds)) for ratio in (*design.ratios, *design.beyond)}
    parts = []
    for name, ratio, truth in cells(design, speedups):
        chosen = rng.normal(0, design.choosing_sd, design.searches)[search]
        residual = rng.normal(0, design.residual_sds.get(name, design.residual_sd), len(seeds))
        loss = truth + chosen + shared + own[ratio] + residual
        parts.append(
            pd.DataFrame({"optimizer": name, "chinchilla_ratio": ratio, "seed": seeds, "val_loss": loss})
        )
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(scale="simulated", search=frame["seed"] % design.searches).loc[:, COLUMNS]


# The default curve is that of AdamW in results/reference: 3.67 at 1x, and it falls by .17, .16 and .15 nats with
# each doubling from .5x, where measured are .155, .167 and .165 (a mean's noise is .01).
PLAIN = Design("choosing sd 0")
MANY = tuple(name for name in RESIDUAL_SD if name != BASELINE) + ("adamw~2",)
MEASURED = {**RESIDUAL_SD, "adamw~2": RESIDUAL_SD[BASELINE]}
QUICK = Design(
    "quick, one look",
    others=MANY,
    ratios=(1.0,),
    beyond=(0.5, 2.0, 4.0),
    residual_sds=MEASURED,
    choosing_sd=CHOOSING_SD,
    looks=(6,),
)
LARGE = Design(
    "130m, 1x to 4x",
    curve=(0.42, 0.5, 3.11),
    ratios=(1.0, 2.0, 4.0),
    beyond=(0.5, 8.0),
    residual_sd=0.002,
    seed_sd=0.001,
    shared_sd=0.001,
    choosing_sd=0.001,
)
OFF = {0.5: 0.0, 1.0: 0.02, 2.0: 0.0, 4.0: 0.02}  # every other ratio .02 nats above a power law
REPEATED = {2.0: 0.0, 4.0: 0.05, 8.0: 0.12}  # 4x brings a third less than it would with fresh data
DESIGNS = (
    PLAIN,
    replace(PLAIN, name="choosing sd .012", choosing_sd=0.012),
    replace(PLAIN, name="choosing sd .02", choosing_sd=0.020),
    replace(PLAIN, name="one loud optimizer", residual_sds={"a": 0.03}),
    replace(PLAIN, name="loud baseline", residual_sds={BASELINE: 0.03}),
    replace(PLAIN, name="misfit .02, noise .010", misfit=OFF),
    replace(
        PLAIN, name="misfit .02, noise .004", misfit=OFF, residual_sd=0.004, seed_sd=0.002, shared_sd=0.002
    ),
    replace(PLAIN, name="last ratio repeats data", misfit=REPEATED, ratios=(1.0, 2.0, 4.0), beyond=(0.5,)),
    replace(PLAIN, name="3 seeds", choosing_sd=CHOOSING_SD, looks=(3,)),
    replace(PLAIN, name="6 seeds", choosing_sd=CHOOSING_SD, looks=(6,)),
    replace(PLAIN, name="12 seeds", choosing_sd=CHOOSING_SD, looks=(12,)),
    replace(PLAIN, name="2 contestants", choosing_sd=CHOOSING_SD, others=("a",)),
    replace(PLAIN, name="12 contestants", choosing_sd=CHOOSING_SD, others=MANY),
    QUICK,
    replace(QUICK, name="quick, looks 4 and 8", looks=(4, 8)),
    replace(QUICK, name="quick, looks 3, 6 and 12", looks=(3, 6, 12)),
    replace(
        QUICK,
        name="quick, noise of the reference",
        residual_sds={**REFERENCE_SD, "adamw~2": 0.02},
        looks=(4, 8),
    ),
    LARGE,
    replace(LARGE, name="130m, 12 contestants, looks 3 and 6", others=MANY, looks=(3, 6)),
)
