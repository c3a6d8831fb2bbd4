"""Are confirmed flips true? Simulated sweeps that have none and invite them, judged by the analysis itself.

In each, optimizers are equal in some places and far apart in others: whatever is significant where they are
equal is wrong, and can stand against a true difference.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.analysis.flips import flips
from benchmark.analysis.settings import rows
from tools.simulate.replications import CHOOSING_SD, COLUMNS, MICRO, replication

Judge = Callable[[int, np.random.Generator], pd.DataFrame]
FRACTIONS = np.arange(1, 17) / 16  # where a report run records its curve
NO_CURVES = pd.DataFrame()
TASKS = tuple(product(("small", "large"), (1.0, 2.0)))
APART = {("small", 1.0), ("large", 2.0)}  # so that every equal task has one beside it, in ratio or in scale
# speedup and price (seconds per token, the baseline's is 1) of each optimizer
EQUAL_LOSS = {"adamw": (1.0, 1.0), "a": (1.0, 0.7), "b": (1.0, 1.3), "c": (1.0, 2.0), "d": (1.0, 3.0)}
EQUAL_TIME = {"adamw": (1.0, 1.0), "a": (0.9, 0.9), "b": (1.3, 1.3), "c": (1.1, 2.2), "d": (1.4, 2.8)}
TIMED = replace(MICRO, residual_sd=0.010)
CHOSEN: Mapping[str, Any] = {
    "choosing_sd": CHOOSING_SD,
    "searches": 2,
}  # what two searches for each optimizer add
SPREADS = {f"o{i:02d}": 0.005 * 1.7**i for i in range(11)}  # nats, of one random trial of each optimizer


def tied_replication(
    seeds: int,
    rng: np.random.Generator,
    optimizers: int = 8,
    sd: float = 0.002,
    choosing_sd: float = 0.0,
    searches: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and losses of a replication in which no order changes: (curves, losses).

    On two of four tasks, and until the end of every training, all optimizers are equal; elsewhere they differ
    by 10 sd and more. Noise along a run is strongly correlated, as it is along a real one; what a search chose
    well or badly, choosing_sd, is so along all its runs.
    """
    names = [f"o{i}" for i in range(optimizers)]
    runs = [(o, *task, seed % searches, seed) for task, o, seed in product(TASKS, names, range(seeds))]
    apart = [10 * sd * names.index(o) if (scale, ratio) in APART else 0.0 for o, scale, ratio, *_ in runs]
    chosen = rng.normal(0, choosing_sd, (len(TASKS) * optimizers, searches))[:, np.arange(seeds) % searches]
    luck = np.tile(rng.normal(0, sd, (len(TASKS), 1, seeds)), (1, optimizers, 1)).reshape(-1)
    noise = np.cumsum(rng.normal(0, sd / 4, (len(runs), len(FRACTIONS))), axis=1)  # sd at the end: sd
    loss = 3.0 + 1.0 / FRACTIONS + luck[:, None] + chosen.reshape(-1)[:, None] + noise
    loss[:, -1] += apart
    frame = pd.DataFrame(runs, columns=pd.Index(COLUMNS[:-1]))
    curves = frame.loc[frame.index.repeat(len(FRACTIONS))].reset_index(drop=True)
    curves = curves.assign(fraction=np.tile(FRACTIONS, len(runs)), val_loss=loss.reshape(-1))
    return curves, frame.assign(val_loss=loss[:, -1])


def timed_replication(
    seeds: int,
    rng: np.random.Generator,
    planted: Mapping[str, tuple[float, float]],
    choosing_sd: float = 0.0,
    searches: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Losses and runs with planted speedups and prices, no pair of which turns: (losses, runs)."""
    speedups = {name: speedup for name, (speedup, _) in planted.items()}
    design = replace(TIMED, speedups=speedups, choosing_sd=choosing_sd, searches=searches)
    losses = replication(design, seeds, rng)
    price = np.array([planted[name][1] for name in losses["optimizer"]])
    tokens = 1e6 * losses["chinchilla_ratio"].to_numpy()
    seconds = price * tokens * 1e-6 * np.exp(rng.normal(0, 0.01, len(losses)))
    known = {"use": "report", "status": "finished", "purpose": "report", "machine": "m", "task": ""}
    return losses, losses.assign(**known, tokens=tokens, train_seconds=seconds)


def searched_replication(rng: np.random.Generator, level_at: int, trials: int = 40) -> pd.DataFrame:
    """Random-search runs of eleven optimizers whose best of `level_at` is equally good in the median.

    Losses are normal with another spread for each, so that at smaller and larger budgets they are apart.
    """
    centre = stats.norm.ppf(1 - 0.5 ** (1 / level_at))
    tried = [
        (name, "s", ratio, 0, 0, 3.0 + spread * (z - centre))
        for ratio in (1.0, 2.0)
        for name, spread in SPREADS.items()
        for z in rng.normal(size=trials)
    ]
    known = {"use": "tuning", "status": "finished", "purpose": "random", "machine": ""}
    known |= {"task": [f"s-{row[2]:g}x" for row in tried], "trial_id": range(len(tried))}
    known |= {"tokens": 1.0, "train_seconds": 0.0}
    return pd.DataFrame(tried, columns=pd.Index(COLUMNS)).assign(**known)


def _along(seeds: int, rng: np.random.Generator, **how: Any) -> pd.DataFrame:
    return flips(*tied_replication(seeds, rng, **how))


def _timed(planted: Mapping[str, tuple[float, float]], **how: Any) -> Judge:
    def judge(seeds: int, rng: np.random.Generator) -> pd.DataFrame:
        losses, runs = timed_replication(seeds, rng, planted, **how)
        found = rows(table := flips(NO_CURVES, losses, runs), table["kind"] == "seconds")
        tokens, seconds = (
            {name: speedup / price**power for name, (speedup, price) in planted.items()} for power in (0, 1)
        )
        return rows(found, [_order(tokens, *pair) * _order(seconds, *pair) >= 0 for pair in _pairs(found)])

    return judge


def _searched(level_at: int) -> Judge:
    def judge(seeds: int, rng: np.random.Generator) -> pd.DataFrame:
        runs = searched_replication(rng, level_at)
        found = flips(NO_CURVES, runs.loc[:, COLUMNS].head(1), runs, baseline="o00")
        budgets = [found[w].str.removeprefix("best of ").astype(int) - level_at for w in ("where_1", "where_2")]
        return rows(found, budgets[0] * budgets[1] >= 0)  # across the tie the order truly turns

    return judge


def _pairs(found: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(found["optimizer_a"], found["optimizer_b"], strict=True)


def _order(value: Mapping[str, float], a: str, b: str) -> int:
    gap = value[a] - value[b]
    return 0 if abs(gap) < 1e-9 else 1 if gap > 0 else -1


# what is equal where -> the kinds of flip that are judged on it, and one replication's flips that are not true
REPLICATIONS: Mapping[str, tuple[tuple[str, ...], Judge]] = {
    "equal tasks and curves": (("fraction", "ratio", "scale"), _along),
    "equal tasks and curves, choosing": (
        ("fraction", "ratio", "scale"),
        partial(_along, sd=0.010, **CHOSEN),
    ),
    "equal loss, other prices": (("seconds",), _timed(EQUAL_LOSS)),
    "equal time, other losses": (("seconds",), _timed(EQUAL_TIME)),
    "equal loss, other prices, choosing": (("seconds",), _timed(EQUAL_LOSS, **CHOSEN)),
    "equal time, other losses, choosing": (("seconds",), _timed(EQUAL_TIME, **CHOSEN)),
    "equal at one trial": (("budget",), _searched(1)),
    "equal at the best of three": (("budget",), _searched(3)),
}


def false_flips(name: str, seeds: int, replications: int, start: int = 0) -> dict[str, float]:
    """Share of replications of this name (see REPLICATIONS) with a confirmed flip that is not true, by kind."""
    kinds, judge = REPLICATIONS[name]
    found = [judge(seeds, np.random.default_rng([start, i])) for i in range(replications)]
    wrong = [set(table.loc[table["status"] == "confirmed", "kind"]) for table in found]
    return {kind: sum(kind in one for one in wrong) / replications for kind in kinds}
