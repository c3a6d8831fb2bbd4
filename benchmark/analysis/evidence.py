"""What a claim is judged by, and how a judgement is told. Next: claims.py, the claims themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from benchmark.analysis.flips import flips
from benchmark.analysis.residuals import ScaleModel, by_scale
from benchmark.analysis.settings import STUDY_BAND, rows
from benchmark.analysis.speedup import speedups

Judgement = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """claim: what is claimed. verdict, and one sentence why. numbers: what it rests on."""

    claim: str
    verdict: Judgement
    sentence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Evidence:
    """What a study offers.

    losses: a losses frame (see `speedups`). families: optimizer -> "scalar" or "matrix".
    num_params: scale -> non-embedding parameters, which orders the scales.
    runs, curves: as in `store.Results`, or empty frames. noise_sd: assumed where there is one seed.
    """

    losses: pd.DataFrame
    families: Mapping[str, str]
    num_params: Mapping[str, float]
    runs: pd.DataFrame
    curves: pd.DataFrame
    baseline: str = "adamw"
    noise_sd: float | None = None

    @cached_property
    def speedups(self) -> pd.DataFrame:
        """Of every optimizer but the baseline, where a speedup is defined."""
        found = speedups(self.losses, self.baseline, self.noise_sd)
        return rows(found, (found["optimizer"] != self.baseline) & found["speedup"].notna())

    @cached_property
    def models(self) -> Mapping[str, ScaleModel]:
        return dict(by_scale(self.losses, self.noise_sd))

    @cached_property
    def flips(self) -> pd.DataFrame:
        return flips(self.curves, self.losses, None, self.baseline, self.noise_sd)

    @cached_property
    def band(self) -> float:
        """Nats beyond which two single runs differ (95 %), by the noisiest scale."""
        known = [m.residual_sd for m in self.models.values() if np.isfinite(m.residual_sd)]
        return float(1.96 * np.sqrt(2) * max(known)) if known else STUDY_BAND

    def family(self, name: str) -> list[str]:
        """The optimizers of a family, the baseline left out."""
        found = set(self.losses["optimizer"]) - {self.baseline}
        return sorted(o for o in found if self.families.get(o) == name)

    def tasks(self) -> Iterator[tuple[ScaleModel, float]]:
        for model in self.models.values():
            yield from ((model, ratio) for ratio in np.unique(model.ratio))
