"""Do the intervals hold? Simulated studies with planted speedups, judged by the analysis itself.

A run's loss is the truth, plus what its seed does to every ratio, plus what its seed does at this ratio, plus
its own residual. Next: simulate_flips.py, studies without any flip that invite one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from benchmark.analysis.speedup import speedups

PLANTED = {"adamw": 1.0, "a": 0.9, "b": 1.0, "c": 1.1, "d": 1.2, "e": 1.4}
BATCH = 50  # studies judged in one call
COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]


@dataclass(frozen=True)
class Design:
    """What a simulated study looks like. Losses are in nats; `curve` is alpha, B, beta of the baseline.

    beyond: further ratios, at which the baseline alone is run.
    residual_sd, seed_sd, shared_sd: of a run, of a seed at one ratio, of a seed at all ratios.
    """

    name: str
    curve: tuple[float, float, float] = (0.42, 0.5, 3.11)
    residual_sd: float = 0.002
    seed_sd: float = 0.001
    shared_sd: float = 0.001
    ratios: Sequence[float] = (1.0, 2.0, 4.0, 8.0)
    beyond: Sequence[float] = ()
    speedups: dict[str, float] = field(default_factory=lambda: PLANTED)


# Noise as measured: about .002 nats per run at 130m; .010 at 100k, of which .008 is not shared by a seed.
LARGE = Design("130m")
MICRO = Design("micro", (0.9, 0.35, 2.6), residual_sd=0.008, seed_sd=0.004, shared_sd=0.006)
DESIGNS = (
    LARGE,
    replace(LARGE, name="130m, half and twice", ratios=(1.0, 2.0, 4.0), beyond=(0.5, 8.0)),
    MICRO,
    replace(MICRO, name="micro, half and twice", ratios=(1.0, 2.0, 4.0), beyond=(0.5, 8.0)),
    replace(MICRO, name="micro, three ratios", ratios=(1.0, 2.0, 4.0)),
    replace(MICRO, name="micro, two optimizers", speedups={"adamw": 1.0, "e": 1.3}),
)


def study(design: Design, seeds: int, rng: np.random.Generator) -> pd.DataFrame:
    """One losses frame with the design's speedups planted."""
    alpha, exponent, beta = design.curve
    shared = rng.normal(0, design.shared_sd, seeds)
    rows = []
    for ratio in (*design.ratios, *design.beyond):
        common = shared + rng.normal(0, design.seed_sd, seeds)
        for name, speedup in design.speedups.items():
            if ratio in design.ratios or name == "adamw":
                truth = alpha * (ratio * speedup) ** -exponent + beta
                losses = truth + common + rng.normal(0, design.residual_sd, seeds)
                rows += [(name, "simulated", ratio, i, loss) for i, loss in enumerate(losses)]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def coverage(design: Design, seeds: int, studies: int, draws: int = 500, start: int = 0) -> pd.DataFrame:
    """How often the interval holds the planted speedup, per optimizer and ratio.

    Returns optimizer, chinchilla_ratio, planted, coverage, width (median of hi - lo) and decided (share of
    verdicts other than `inseparable`: false ones where the planted speedup is 1). Study i is the same whatever
    the number of studies.
    """
    tables = []
    for first in range(0, studies, BATCH):
        # each study is a scale of one frame: scales are judged apart, and a frame has its cost but once
        frames = [
            study(design, seeds, np.random.default_rng([start, i])).assign(scale=f"{i:06d}")
            for i in range(first, min(first + BATCH, studies))
        ]
        found = speedups(pd.concat(frames), n_bootstrap=draws)
        tables.append(found.loc[found["optimizer"] != "adamw"])
    table = pd.concat(tables)
    truth = np.array([design.speedups[name] for name in table["optimizer"]])
    table = table.assign(
        coverage=(table["lo"] <= truth) & (truth <= table["hi"]),
        width=table["hi"] - table["lo"],
        decided=table["verdict"] != "inseparable",
    )
    groups = table.groupby(["optimizer", "chinchilla_ratio"], as_index=False)
    shares = groups.agg({"coverage": "mean", "width": "median", "decided": "mean"})
    return shares.assign(planted=[design.speedups[name] for name in shares["optimizer"]])
