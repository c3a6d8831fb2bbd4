"""What a number of trials buys: the best so far, and the expected best of k.

Functions of frames like `store.Results.runs`; all of them are offered by tuning.py, where to read on.
"""

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from benchmark.analysis.settings import CELL, cells, rows, table

LEVEL = 0.95


def best_so_far(runs: pd.DataFrame) -> pd.DataFrame:
    """The lowest loss of any trial so far, in the order tried, per optimizer, task and kind of search.

    Returns CELL, search ("coordinate" or "random"), trial (from 1; diverged and failed ones count), trial_id,
    finished_at, purpose, status, val_loss, best (NaN until one has finished). Runs without a time have no order
    and are left out. One seed's luck is in it: the report seeds say what the winner is worth.
    """
    tuned = rows(runs, (runs["use"] == "tuning") & (runs["finished_at"] != "")).drop_duplicates("trial_id")
    kind = np.where(tuned["purpose"].str.startswith("random"), "random", "coordinate")
    best = np.where(tuned["status"] == "finished", tuned["val_loss"].astype(float), np.nan)
    tuned = tuned.assign(search=kind, best=best)
    order = [*CELL, "search"]
    tuned = tuned.sort_values([*order, "finished_at", "trial_id"], ignore_index=True)
    groups = tuned.groupby(order, sort=False)
    best = groups["best"].transform(lambda losses: losses.cummin().ffill())
    tuned = tuned.assign(trial=groups.cumcount() + 1, best=best)
    columns = ["trial", "trial_id", "finished_at", "purpose", "status", "val_loss", "best"]
    return tuned.loc[:, [*order, *columns]]


def expected_best_of_k(runs: pd.DataFrame) -> pd.DataFrame:
    """What the best of k independent trials is worth, for k = 1 to n; from random-search trials only.

    Returns CELL, k, n, diverged, expected, median, lo, hi. `expected` averages the lowest loss over all subsets
    of k trials (unbiased: order statistics without replacement); a diverged trial counts there as the worst
    finished loss of its task. `median` is that of the same subsets. lo and hi: exact 95 % interval for the
    median of the best of k, free of any distribution (an order statistic's binomial); infinite where n trials
    cannot bound it, which is so for the lower end once k nears n.
    """
    searches = _searches(runs)
    worst: dict[str, float] = {}
    for labels, losses in searches:
        worst[labels["task"]] = max(
            losses[np.isfinite(losses)].max(initial=0.0), worst.get(labels["task"], 0.0)
        )
    found = []
    for labels, losses in searches:
        n = len(losses)
        counted = np.where(np.isinf(losses), worst[labels["task"]], losses)
        expected = counted @ _chances(n) if worst[labels["task"]] else np.inf  # nothing finished on this task
        what = {"k": np.arange(1, n + 1), "n": n, "diverged": int(np.isinf(losses).sum())}
        what |= {"expected": expected} | _medians(losses, np.arange(1, n + 1), LEVEL)
        found.append(pd.DataFrame(labels | what))
    columns = [*CELL, "k", "n", "diverged", "expected", "median", "lo", "hi"]
    return pd.concat(found, ignore_index=True).loc[:, columns] if found else table([], columns)


def budget_medians(runs: pd.DataFrame) -> pd.DataFrame:
    """The median best of k where it has an interval, at the budgets by which optimizers are compared.

    k is 1, 2, 4 ... and the most that n trials bound. Returns CELL, k, n, median, lo, hi as
    `expected_best_of_k`, but with intervals that hold at 95 % for all rows at once (Bonferroni).
    """
    searches = _searches(runs)
    count = sum(len(_budgets(len(losses), LEVEL)) for _, losses in searches)
    level = 1 - (1 - LEVEL) / max(count, 1)  # a stricter level leaves no more budgets than were counted
    found: list[dict[str, Any]] = []
    for labels, losses in searches:
        k = _budgets(len(losses), level)
        medians = _medians(losses, k, level)
        for i, each in enumerate(k):
            row = {name: values[i] for name, values in medians.items()}
            found.append({**labels, "k": int(each), "n": len(losses), **row})
    together = table(found, [*CELL, "k", "n", "median", "lo", "hi"])
    return rows(together, np.isfinite(together[["lo", "hi"]].to_numpy(float)).all(axis=1))


def _searches(runs: pd.DataFrame) -> list[tuple[dict[str, Any], np.ndarray]]:
    """The labels and the sorted losses of each random search; a diverged trial is infinite."""
    drawn = rows(runs, (runs["use"] == "tuning") & runs["purpose"].str.startswith("random"))
    drawn = rows(drawn, drawn["status"].isin(["finished", "diverged"])).drop_duplicates("trial_id")
    loss = np.where(drawn["status"] == "finished", drawn["val_loss"].astype(float), np.inf)
    return [
        (labels, np.sort(group["loss"].to_numpy(float))) for labels, group in cells(drawn.assign(loss=loss))
    ]


def _budgets(n: int, level: float) -> np.ndarray:
    """Powers of two, and the largest k, whose median n finished trials bound on both sides at this level."""
    low, high = _median_bounds(n, level)
    k = np.flatnonzero((low > 0) & (high <= n)) + 1
    return k[(k & (k - 1) == 0) | (k == k.max(initial=0))]


@cache
def _median_bounds(n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of n sorted losses bound the median of the best of k = 1 ... n: 0 and n + 1 stand for none."""
    quantile = 1 - 0.5 ** (1 / np.arange(1, n + 1))  # of one trial's losses: where that median lies
    tail, below = (1 - level) / 2, np.arange(n)[:, None]
    # Y_(j) > q when fewer than j trials lie below q; Y_(j) < q when j or more do
    low = (stats.binom.cdf(below, n, quantile) <= tail).sum(axis=0)
    return low, n - (stats.binom.sf(below, n, quantile) <= tail).sum(axis=0) + 1


@cache
def _chances(n: int) -> np.ndarray:
    """(ranks, k): the chance that the lowest of k drawn without replacement from n is the one of this rank."""
    k = np.arange(1, n + 1)
    return np.asarray(special.comb(n - k[:, None], k - 1) / special.comb(n, k))


def _medians(losses: np.ndarray, k: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """The median of the best of each k of the sorted losses, and its interval."""
    reached = np.cumsum(_chances(len(losses))[:, k - 1], axis=0) >= 0.5 - 1e-12
    low, high = _median_bounds(len(losses), level)
    padded = np.concatenate([[-np.inf], losses, [np.inf]])
    ends = {"lo": padded[low[k - 1]], "hi": padded[high[k - 1]]}
    return {"median": losses[reached.argmax(axis=0)], **ends}


def budget_swaps(expected: pd.DataFrame) -> pd.DataFrame:
    """Pairs whose order by `expected_best_of_k` depends on how many trials one can afford.

    Returns task, leader_before, leader_after, k (the first budget with the new order), and by how many nats
    the leader leads: gap_before (at k - 1), gap_after (at the largest common k). `clear` where the 95 %
    intervals of the medians, each by itself, are disjoint in the old order at the smallest k and in the new one
    at the largest k whose medians both searches bound; flips.py judges all pairs at once.
    """
    found: list[dict[str, Any]] = []
    for task, group in cells(expected, ["task"]):
        curves = {name["optimizer"]: g.set_index("k") for name, g in cells(group, ["optimizer"])}
        for first, second in combinations(sorted(curves), 2):
            a, b = curves[first].align(curves[second], join="inner", axis=0)
            gap = (b.expected - a.expected).to_numpy()  # positive: the first leads
            ahead = np.sign(gap)
            lo, hi = (np.column_stack([a[end], b[end]]) for end in ("lo", "hi"))
            apart = (hi[:, 0] < lo[:, 1]).astype(int) - (hi[:, 1] < lo[:, 0])  # 1: the first lies wholly below
            apart = apart[np.isfinite(lo + hi).all(axis=1)]  # from k = 1 on, as far as both are bounded
            for i in np.flatnonzero(ahead[1:] * ahead[:-1] < 0) + 1:
                leaders = (first, second) if gap[i - 1] > 0 else (second, first)
                clear = len(apart) > i and apart[0] * apart[-1] < 0
                ends = {"gap_before": abs(gap[i - 1]), "gap_after": abs(gap[-1]), "clear": bool(clear)}
                pair = {"leader_before": leaders[0], "leader_after": leaders[1]}
                found.append({**task, **pair, "k": int(a.index[i]), **ends})
    columns = ["task", "leader_before", "leader_after", "k", "gap_before", "gap_after", "clear"]
    return table(found, columns)
