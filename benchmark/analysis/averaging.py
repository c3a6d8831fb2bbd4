"""What averages of the weights gain over the last iterate of the same run."""

import numpy as np
import pandas as pd
from scipy import stats

COLUMNS = ["optimizer", "scale", "chinchilla_ratio", "average", "gain", "lo", "hi", "n", "verdict"]
PREFIX = "average."  # of the columns of a runs frame that have their losses


def gains(runs: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Nats by which each average ends below the last iterate; negative where it ends above.

    runs: report runs with optimizer, scale, chinchilla_ratio, val_loss and columns `average.<name>`; those of
        runs that kept none are left out.
    alpha: of all rows together (Bonferroni). Both losses are of one run on the same tokens, so the difference
        has neither the seed's noise nor what choosing adds to it. With one run there is no interval.

    verdict: "gains", "loses", or "undecided" where the interval holds 0.
    """
    names = [name for name in runs.columns if name.startswith(PREFIX)]
    if not names:
        return pd.DataFrame(columns=COLUMNS)
    once = runs.drop_duplicates("trial_id") if "trial_id" in runs else runs
    long = once.melt(["optimizer", "scale", "chinchilla_ratio", "val_loss"], names, "average", "averaged")
    long = long.assign(gain=long["val_loss"] - long["averaged"]).dropna(subset=["gain"])
    by = long.groupby(COLUMNS[:4], sort=False)["gain"]
    table = by.agg(gain="mean", sd="std", n="count").reset_index()
    level = 1 - alpha / max(1, len(table)) / 2
    df = np.maximum(table["n"] - 1, 1)
    half = np.where(table["n"] > 1, stats.t.ppf(level, df) * table["sd"] / np.sqrt(table["n"]), np.nan)
    table = table.assign(
        average=table["average"].str.removeprefix(PREFIX), lo=table["gain"] - half, hi=table["gain"] + half
    )
    verdict = np.select([table["lo"] > 0, table["hi"] < 0], ["gains", "loses"], "undecided")
    return table.assign(verdict=verdict).reindex(columns=COLUMNS)
