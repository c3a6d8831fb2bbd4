"""How large the parts of a loss are, measured on committed records: what the simulated sweeps are made of.

    python -m tools.bench.components results/micro-27k-1x

Sums of squares by hand, so that simulate/replications.py, which states what this prints, owes nothing to the
analysis that is judged by it.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import store
from benchmark.arguments import Parser, existing_folder

Floats = NDArray[np.float64]
PARTS = ["part", "optimizer", "sd", "df"]


def measure(runs: pd.DataFrame, cells: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Standard deviations in nats per token, pooled over the tasks of one sweep.

    Args:
        runs: as in `store.Results.runs`. cells: those of the sweep's manifest.

    Returns part, optimizer, sd and df (degrees of freedom): `replicate` (residual of tuning settings that ran
    on several seeds, setting and seed taken out, by optimizer), `report` (residual of the report runs, winner
    and seed taken out, all optimizers of a task), `residual` (both pooled, by optimizer), `seed` (what a report
    seed does at one ratio) and `choosing` (between the winners of repeated searches, the noise of their means
    taken out; 0 where the noise explains them). A sum of squares that comes out negative counts as 0.
    """
    done = runs.loc[runs["status"] == "finished"].drop_duplicates("trial_id")
    winner = {i: (c["optimizer"], c["task"], number) for number, c in enumerate(cells) for i in c["reports"]}
    reports = done.loc[done["trial_id"].isin(list(winner))]
    reports = reports.assign(winner=[winner[i][2] for i in reports["trial_id"]])
    known: dict[str, list[tuple[float, float]]] = {}  # optimizer -> (sum of squares, df)
    rows: list[tuple[str, str, float, float]] = []
    for name, own in done.loc[done["use"] == "tuning"].groupby("optimizer", sort=True):
        ss, df = _replicates(own)
        known[str(name)] = [(ss, df)]
        rows.append(("replicate", str(name), ss, df))
    seeds, choices = [], []
    for _, task in reports.groupby(["task"], sort=True):
        table = task.pivot(index="winner", columns="seed", values="val_loss").dropna()
        names = [
            winner[i][0]
            for i in task.drop_duplicates("winner").set_index("winner").loc[table.index, "trial_id"]
        ]
        if len(names) < 3 or table.shape[1] < 2:
            continue
        squares, pool, seed = _two_way(table.to_numpy())
        df = table.shape[1] - 1
        rows.append(("report", "", pool * (len(names) - 1) * df, (len(names) - 1) * df))
        seeds.append((seed * df, df))
        for name, square in zip(names, squares, strict=True):
            known.setdefault(name, []).append((square * df, df))
        for name in {n for n in names if names.count(n) > 1}:
            mine = np.array(names) == name
            spread = table.to_numpy()[mine].mean(axis=1).var(ddof=1) - squares[mine].mean() / table.shape[1]
            choices.append((name, spread * (mine.sum() - 1), mine.sum() - 1))
    rows += [("residual", name, *_sum(parts)) for name, parts in sorted(known.items())]
    rows += [("seed", "", *_sum(seeds)), *(("choosing", *one) for one in sorted(choices))]
    rows.append(("choosing", "", *_sum([one[1:] for one in choices])))
    found = [(part, name, np.sqrt(max(ss, 0.0) / df), df) for part, name, ss, df in rows if df]
    return pd.DataFrame(found, columns=pd.Index(PARTS))


def _sum(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return float(sum(ss for ss, _ in parts)), float(sum(df for _, df in parts))


def _two_way(table: Floats) -> tuple[Floats, float, float]:
    """Of (winners, seeds): each winner's residual variance, their mean, and the seeds' variance.

    A winner's squared residual holds its own variance (1 - 2 / K) times and every winner's 1 / K**2 times.
    """
    k, n = table.shape
    level = table.mean(axis=0)
    residual = table - table.mean(axis=1, keepdims=True) - level + table.mean()
    squares = (residual**2).sum(axis=1) / (n - 1)
    pool = squares.sum() / (k - 1)
    return (squares - pool / k) * k / (k - 2), float(pool), float(level.var(ddof=1) - pool / k)


def _replicates(runs: pd.DataFrame) -> tuple[float, float]:
    """Residual sum of squares and df of settings that ran on several seeds, setting and seed taken out."""
    names = ["task", *(c for c in runs if str(c).startswith("hp."))]
    setting = pd.Series(list(map(str, runs.loc[:, names].itertuples(index=False, name=None))))
    again = setting.duplicated(keep=False).to_numpy()
    if not again.any():
        return 0.0, 0.0
    kept = runs.loc[again]
    parts = {
        "setting": setting.to_numpy()[again],
        "seed": [f"{t} {s}" for t, s in kept[["task", "seed"]].to_numpy()],
    }
    design = pd.get_dummies(pd.DataFrame(parts)).to_numpy(float)
    loss = kept["val_loss"].to_numpy(float)
    solution, _, rank, _ = np.linalg.lstsq(design, loss - loss.mean(), rcond=None)
    residual = loss - loss.mean() - design @ solution
    return float(residual @ residual), float(len(loss) - int(rank))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the components of each sweep folder named."""
    parser = Parser(prog="python -m tools.bench.components", usage="%(prog)s FOLDER ...", description=__doc__)
    parser.add_argument("folder", type=existing_folder, nargs="+", help="one sweep's own, in a results folder")
    for folder in parser.parse_args(arguments).folder:
        if not (folder / "sweep.json").is_file():
            parser.error(f"{folder} holds no sweep.json; name one sweep's own folder")
        cells = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["cells"]
        found = measure(store.load(folder).runs, list(cells.values()))
        print(f"{folder}\n{found.round(4).to_string(index=False)}")


if __name__ == "__main__":
    main()
