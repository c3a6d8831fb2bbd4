"""What a setting costs that was carried from a narrower model and not tuned where it runs: its regret."""

import numpy as np
import pandas as pd

from benchmark.analysis.contrasts import student
from benchmark.analysis.residuals import by_scale
from optimizers.shared.carried import found_carried

COLUMNS = [
    "optimizer", "tuned", "policy", "scale", "chinchilla_ratio", "val_loss", "tuned_loss", "regret", "lo", "hi",
    "n", "diverged", "verdict",
]  # fmt: skip


def regrets(losses: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Nats that each carried contestant ends above the same one tuned on the task; negative where below.

    losses: a losses frame (see `speedups`), of carried contestants (`adamw@mup`) and others; tasks on which
        the tuned one has no finite mean are left out.
    alpha: of all intervals together (Bonferroni). They hold the noise of runs and what choosing adds to either
        setting, by the model of the scale; seeds are shared, and cancel. NaN where the noise is unknown.

    regret: infinite, without an interval, where all its runs diverged. n: its runs. verdict: "costs", "saves",
    or "undecided" where the interval holds 0. What was tuned on the task is the best that its searches found,
    not the best there is: a regret below 0 says that they did not find what the rule gave.
    """
    found = []
    for scale, model in by_scale(losses):
        error, df = model.differences()
        place = np.cumsum(model.finite) - 1  # of a cell among the finite ones
        cells = {
            (str(o), float(r)): i for i, (o, r) in enumerate(zip(model.optimizer, model.ratio, strict=True))
        }
        for (name, ratio), i in cells.items():
            tuned, policy = found_carried(name)
            j = cells.get((tuned, ratio))
            if not policy or j is None or not model.finite[j] or np.isnan(model.mean[i]):
                continue
            known = bool(model.finite[i]) and model.components.known
            at = (place[i], place[j])
            row = (
                name,
                tuned,
                policy,
                scale,
                ratio,
                model.mean[i],
                model.mean[j],
                model.mean[i] - model.mean[j],
            )
            found.append(
                (*row, error[at] if known else np.nan, df[at] if known else 0.0, model.n[i], model.diverged[i])
            )
    columns = [*COLUMNS[:8], "error", "df", "n", "diverged"]
    table = pd.DataFrame(found, columns=pd.Index(columns)).astype({"regret": float})
    tail = alpha / max(1, len(table)) / 2
    half = table["error"].to_numpy(float) * student(tail, table["df"].to_numpy(float))
    table = table.assign(lo=table["regret"] - half, hi=table["regret"] + half)
    costs = (table["lo"] > 0) | np.isposinf(table["regret"])
    return table.assign(verdict=np.select([costs, table["hi"] < 0], ["costs", "saves"], "undecided")).reindex(
        columns=COLUMNS
    )
