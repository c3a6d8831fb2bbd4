"""From tuning runs to settings: what each one reached, and what lies beside the best.

Seeds are made comparable first: a replicate's loss is shifted by the mean difference between its seed and the
first one over the settings that ran on both.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.arrays import Floats

CELL = ["optimizer", "task", "scale", "chinchilla_ratio"]
NEEDED = (*CELL, "use", "status", "seed", "val_loss", "trial_id")
STUDY_BAND = 0.003  # nats, the band of arXiv 2509.02046: used where the noise was not measured


def cells(frame: pd.DataFrame, by: Sequence[str] = CELL) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The groups of a frame in sorted order, each with its labels by column."""
    for labels, group in frame.groupby(list(by), sort=True):
        yield dict(zip(by, cast(tuple[Any, ...], labels), strict=True)), group


def rows(frame: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """The rows where the mask holds."""
    return cast(pd.DataFrame, frame.loc[np.asarray(mask, dtype=bool)])


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame whose columns are there even when no row is."""
    return pd.DataFrame(list(rows), columns=list(columns))


def near(by_seed: Floats, index: int, band: float) -> NDArray[np.bool_]:
    """Which settings are as good as one of them within the noise: at most `band` nats above it, on average over
    the seeds that both ran on; itself included.

    by_seed: (settings, seeds) losses, NaN where a setting did not run, infinite where it diverged. A seed on
    which the one itself diverged says nothing. In an infinite band, the noise being unknown, it is alone.
    """
    own = by_seed[index]
    gaps = by_seed - np.where(np.isfinite(own), own, np.nan)
    shared = ~np.isnan(gaps)
    mean = np.where(shared, gaps, 0.0).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)
    close = shared.any(axis=1) & (mean <= band) & np.isfinite(band)
    return close | (np.arange(len(gaps)) == index)


def serve_all(near_best: Sequence[Collection[Any]]) -> set[Any]:
    """The values of a hyperparameter that serve every task: those near the best in each. Without one it is
    sensitive to scale and must be tuned again (the published study's rule, arXiv 2509.02046)."""
    return set.intersection(*map(set, near_best))


@dataclass(frozen=True)
class Tuned:
    """What one optimizer's tuning tried on one task; arrays run over its settings, the best first.

    labels: CELL by column. names: hyperparameters that this optimizer has. values: (settings, names), numbers
    as floats, None where missing. loss: nats per token, mean over comparable seeds; infinite when one diverged.
    seeds: how many are in it. by_seed: (settings, seeds of the cell), the losses themselves, NaN where a
    setting did not run. trial_id: one of its runs.
    """

    labels: dict[str, Any]
    names: tuple[str, ...]
    values: NDArray[np.object_]
    loss: Floats
    seeds: NDArray[np.int64]
    by_seed: Floats
    trial_id: tuple[str, ...]

    def column(self, name: str) -> NDArray[np.object_]:
        return self.values[:, self.names.index(name)]

    def setting(self, index: int) -> dict[str, Any]:
        """One setting's hyperparameters."""
        return dict(zip(self.names, self.values[index], strict=True))

    def differs(self, index: int) -> NDArray[np.bool_]:
        """(settings, names): where each setting differs from that one."""
        return self.values != self.values[index]

    def index(self, setting: Mapping[str, Any]) -> int | None:
        """Which setting this is; None if it was not tried."""
        wanted = np.array([_plain(setting.get(name)) for name in self.names], dtype=object)
        found = np.flatnonzero((self.values == wanted).all(axis=1))
        return int(found[0]) if len(found) else None

    def near(self, index: int, band: float) -> NDArray[np.bool_]:
        """Which settings are as good as one within `band` nats (see `near`)."""
        return near(self.by_seed, index, band)

    def centre(self, band: float) -> int:
        """The setting that ablations are read around: among those within `band` nats of the best, the one with
        the most one-at-a-time neighbours, the best of equals."""
        near = np.flatnonzero(self.loss <= self.loss[0] + band).tolist()
        counts = [int((self.differs(i).sum(axis=1) == 1).sum()) for i in near]
        return near[int(np.argmax(counts))] if band else 0

    def along(self, index: int, name: str) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """The settings that agree with one in all but `name`, itself included: the values of `name` in rising
        order, and which settings they are."""
        others = np.array([n != name for n in self.names])
        line = np.flatnonzero(~self.differs(index)[:, others].any(axis=1))
        values = self.column(name)[line]
        numeric = all(isinstance(v, float) for v in values)
        order = np.argsort(values.astype(float) if numeric else values.astype(str), kind="stable")
        return values[order], line[order]


def tuned(runs: pd.DataFrame) -> list[Tuned]:
    """The cells of the tuning runs in which something finished; runs as in `store.Results.runs`.

    Runs that failed say nothing and are left out, and so is a seed that shares no setting with its cell's first
    one (the seed that most settings have). Raises ValueError where columns are missing.
    """
    missing = [c for c in NEEDED if c not in runs]
    if missing:
        raise ValueError(f"runs lack the columns {', '.join(missing)}; pass `store.load(...).runs`")
    used = rows(runs, (runs["use"] == "tuning") & runs["status"].isin(["finished", "diverged"]))
    found = [_cell(labels, group.drop_duplicates("trial_id")) for labels, group in cells(used)]
    return [cell for cell in found if np.isfinite(cell.loss).any()]


def _cell(labels: dict[str, Any], runs: pd.DataFrame) -> Tuned:
    names = [c for c in map(str, runs.columns) if c.startswith("hp.") and runs[c].notna().to_numpy().any()]
    columns = [[_plain(v) for v in runs[name]] for name in names]
    finished = runs["status"] == "finished"
    outcomes = np.where(finished, runs["val_loss"].astype(float), np.inf)
    losses: dict[tuple[Any, ...], dict[int, float]] = {}
    ids: dict[tuple[Any, ...], str] = {}
    for *setting, seed, loss, trial_id in zip(*columns, runs["seed"], outcomes, runs["trial_id"], strict=True):
        losses.setdefault(tuple(setting), {}).setdefault(int(seed), float(loss))
        ids.setdefault(tuple(setting), str(trial_id))
    means = _comparable(list(losses.values()))
    kept = [(mean, seeds, setting) for (mean, seeds), setting in zip(means, losses, strict=True) if seeds]
    kept.sort(key=lambda row: (row[0], ids[row[2]]))
    values = np.empty((len(kept), len(names)), dtype=object)
    place = {seed: i for i, seed in enumerate(sorted({s for by in losses.values() for s in by}))}
    by_seed = np.full((len(kept), len(place)), np.nan)
    for i, (_, _, setting) in enumerate(kept):
        values[i] = setting
        for seed, loss in losses[setting].items():
            by_seed[i, place[seed]] = loss
    return Tuned(
        labels,
        tuple(name[3:] for name in names),
        values,
        np.array([mean for mean, _, _ in kept]),
        np.array([seeds for _, seeds, _ in kept]),
        by_seed,
        tuple(ids[setting] for _, _, setting in kept),
    )


def _plain(value: Any) -> Any:
    """Numbers as floats, so that 1 and 1.0 are one setting; missing as None, which equals itself."""
    if isinstance(value, str) or value is None:
        return value
    return None if value != value else float(value)


def _comparable(losses: Sequence[dict[int, float]]) -> list[tuple[float, int]]:
    """Per setting its mean over seeds, each shifted to the first seed's level, and how many went into it."""
    counts: dict[int, int] = {}
    for seed in (seed for by_seed in losses for seed in by_seed):
        counts[seed] = counts.get(seed, 0) + 1
    first = min(counts, key=lambda seed: (-counts[seed], seed))
    shifts = {first: 0.0}
    for seed in counts.keys() - {first}:
        both = [by_seed[seed] - by_seed[first] for by_seed in losses if seed in by_seed and first in by_seed]
        finite = [gap for gap in both if np.isfinite(gap)]
        if finite:
            shifts[seed] = float(np.mean(finite))
    found = []
    for by_seed in losses:
        level = [loss - shifts[seed] for seed, loss in by_seed.items() if seed in shifts]
        found.append((float(np.mean(level)) if level else np.nan, len(level)))
    return found
