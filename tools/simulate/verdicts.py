"""Are verdicts true, and found? Simulated sweeps judged by the analysis itself, as a sweep would run them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.speedup import EQUIVALENCE, speedups
from tools.simulate.replications import BASELINE, MENU, Design, dealt, replication

EQUAL = (1.0,)
DRAWS = 500  # of the analysis, behind each interval


def judged(design: Design, losses: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """The table of `speedups` at the end of a replication with looks: at each, the cells still undecided get
    more seeds, and so does the baseline at their ratios. losses: every cell at the most seeds."""
    key = ["optimizer", "chinchilla_ratio"]
    counts = losses.assign(wanted=design.looks[0])
    looks = design.looks if len(design.looks) > 1 else ()
    found = pd.DataFrame()
    for look in design.looks:
        run = losses.loc[counts["seed"] < counts["wanted"]]
        found = speedups(run, n_bootstrap=draws, looks=looks)
        open_cells = found.loc[found["verdict"] == "undecided", key]
        more = set(open_cells.itertuples(index=False, name=None))
        more |= {(BASELINE, ratio) for _, ratio in more}
        later = [n for n in design.looks if n > look]
        if not more or not later:
            break
        again = [cell in more for cell in counts[key].itertuples(index=False, name=None)]
        counts.loc[again, "wanted"] = later[0]
    return found


def outcomes(
    design: Design, replications: int, menu: Sequence[float] = MENU, draws: int = DRAWS, start: int = 0
) -> pd.DataFrame:
    """Every contested cell of every replication: its row of `speedups` with replication (its number), truth
    (the planted speedup), held and held_one (whether lo to hi and lo_one to hi_one hold it) and wrong (a
    verdict that is not true: faster or slower where it is not, inseparable where the truth is not within
    EQUIVALENCE).

    Replication i is the same whatever the number of replications.
    """
    tables = []
    for number in range(start, start + replications):
        one = dealt(design, number, menu)
        losses = replication(one, max(one.looks), np.random.default_rng([number, len(menu)]))
        found = judged(one, losses, draws)
        found = found.loc[found["optimizer"] != BASELINE]
        truth = [one.speedups[name] for name in found["optimizer"]]
        tables.append(found.assign(replication=number, truth=truth))
    table = pd.concat(tables, ignore_index=True)
    truth = table["truth"].to_numpy(float)
    return table.assign(
        held=(table["lo"] <= truth) & (truth <= table["hi"]),
        held_one=(table["lo_one"] <= truth) & (truth <= table["hi_one"]),
        wrong=mistaken(table),
    )


def mistaken(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which verdicts of `outcomes` are not true."""
    truth, verdict = table["truth"].to_numpy(float), table["verdict"].to_numpy(str)
    far = np.maximum(truth, 1 / truth) >= EQUIVALENCE * (1 - 1e-9)
    false = {"faster": truth <= 1, "slower": truth >= 1, "inseparable": far}
    return np.any([(verdict == word) & untrue for word, untrue in false.items()], axis=0)


def shares(table: pd.DataFrame, holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each replication's share of cells for which something holds: 1 where it does for all, 0 where for
    none."""
    _, index = np.unique(table["replication"].to_numpy(int), return_inverse=True)
    return np.bincount(index, holds) / np.bincount(index)


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Of `outcomes`: simultaneous (share of replications in which every interval holds its truth), pointwise
    (share of cells whose own does), false (share of replications with a verdict that is not true), found at
    each planted speedup (share of its cells judged faster), undecided (share of cells) and seeds (mean per
    cell)."""
    held, held_one, wrong = (table[c].to_numpy(bool) for c in ("held", "held_one", "wrong"))
    truth, verdict = table["truth"].to_numpy(float), table["verdict"].to_numpy(str)
    found = {
        f"found {planted:g}x": float((verdict[truth == planted] == "faster").mean())
        for planted in np.unique(truth[truth > 1])
    }
    return {
        "simultaneous": float((shares(table, held) == 1).mean()),
        "pointwise": float(held_one.mean()),
        "false": float((shares(table, wrong) > 0).mean()),
        **found,
        "undecided": float((verdict == "undecided").mean()),
        "seeds": float(table["n"].to_numpy(float).mean()),
    }
