"""What a claim is judged by, and how a judgement is told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.contrasts import contrasts
from benchmark.analysis.flips import along_training, flips
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.scale_model import ScaleModel
from benchmark.analysis.settings import STUDY_BAND, rows
from benchmark.analysis.speedup import speedups

Finding = Literal["supported", "refuted", "undecided", "does not speak to"]
ABOUT = 0.1  # slack of "about" in a speedup
FEW = 10  # comparisons below which a share says nothing
BEYOND = 1.96 * 2**0.5  # run sds by which two single runs of one setting differ in 5 % of pairs


@dataclass(frozen=True)
class Judgement:
    """claim: what is claimed. finding, and one sentence why. numbers: what it rests on."""

    claim: str
    finding: Finding
    sentence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Evidence:
    """What a study offers.

    losses: a losses frame (see `speedups`). families: optimizer -> "scalar" or "matrix".
    num_params: scale -> non-embedding parameters, which orders the scales.
    runs, curves: as in `store.Results`, or empty frames. noise_sd, choosing_sd: assumed where there is one seed
    and where every cell is one search (see `speedups`).
    """

    losses: pd.DataFrame
    families: Mapping[str, str]
    num_params: Mapping[str, float]
    runs: pd.DataFrame
    curves: pd.DataFrame
    baseline: str = "adamw"
    noise_sd: float | None = None
    choosing_sd: float | None = None

    @cached_property
    def speedups(self) -> pd.DataFrame:
        """Of every optimizer but the baseline, where a speedup is defined."""
        found = speedups(self.losses, self.baseline, self.noise_sd, self.choosing_sd)
        return rows(found, (found["optimizer"] != self.baseline) & found["speedup"].notna())

    @cached_property
    def models(self) -> Mapping[str, ScaleModel]:
        return dict(by_scale(self.losses, self.noise_sd, self.choosing_sd))

    @cached_property
    def flips(self) -> pd.DataFrame:
        return flips(self.curves, self.losses, None, self.baseline, self.noise_sd, self.choosing_sd)

    @cached_property
    def run_sd(self) -> float:
        """Standard deviation of one run in nats, by the noisiest scale; the published study's where nothing is
        known."""
        known = [m.residual_sd for m in self.models.values() if np.isfinite(m.residual_sd)]
        return float(max(known)) if known else STUDY_BAND / BEYOND

    @property
    def band(self) -> float:
        """Nats beyond which two single runs differ (95 %)."""
        return BEYOND * self.run_sd

    @cached_property
    def settled(self) -> set[tuple[str, float, frozenset[str]]]:
        """(scale, ratio, pair): pairs with loss curves whose order at the end of training is beyond noise."""
        ends = along_training(self.curves, self.losses).get(1.0)
        models = dict(by_scale(ends, self.noise_sd, self.choosing_sd)) if ends is not None and len(ends) else {}
        tasks = [(scale, ratio) for scale, model in models.items() for ratio in np.unique(model.ratio)]
        tables = [(*task, contrasts(models[task[0]], task[1], len(tasks))) for task in tasks]
        return {
            (scale, float(ratio), frozenset(pair))
            for scale, ratio, found in tables
            for pair in combinations(found.names, 2)
            if not found.interval(*pair)[1] <= 0 <= found.interval(*pair)[2]
        }

    def worth(self, times: float) -> float:
        """Nats that so many times its tokens are worth to the baseline, in the median of its tasks; NaN without
        a curve."""
        found = []
        for model in self.models.values():
            own = model.finite & (model.optimizer == self.baseline)
            if own.sum() > 1:
                fitted = curve.fit(model.ratio[own], model.mean[None, own])
                found += (fitted.loss(model.ratio[own]) - fitted.loss(model.ratio[own] * times))[0].tolist()
        return float(np.median(found)) if found else float("nan")

    def family(self, name: str) -> list[str]:
        """The optimizers of a family, the baseline left out."""
        found = set(self.losses["optimizer"]) - {self.baseline}
        return sorted(o for o in found if self.families.get(o) == name)

    def tasks(self) -> Iterator[tuple[ScaleModel, float]]:
        for model in self.models.values():
            yield from ((model, ratio) for ratio in np.unique(model.ratio))


Claim = Callable[[Evidence], Judgement | None]  # None: the study has nothing on it


@dataclass(frozen=True)
class Paper:
    """Whose claims a file of analysis/claims has. smallest: parameters of the smallest model it is about."""

    title: str
    url: str
    smallest: float
    claims: tuple[Claim, ...]


def speed(cell: Mapping[str, float]) -> str:
    """A speedup with its interval, from its row; in words where there is none."""
    known = np.isfinite(cell["lo"]) or np.isfinite(cell["hi"])
    interval = f"[{cell['lo']:.2f}, {cell['hi']:.2f}]" if known else "(no interval)"
    return f"{cell['speedup']:.2f} {interval}"
