"""What a study's searches tried and what that was worth: the tables that several pages share.

Each is a function of a Study and a cached property of it, so that it is computed once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from benchmark.analysis import choosing as repeated
from benchmark.analysis import edges as unbracketed
from benchmark.analysis import laws as fitted
from benchmark.analysis import tuning
from benchmark.frames import rows, where

if TYPE_CHECKING:
    from benchmark.study import Study

GOOD = 0.01  # nats: a loss this close to the best still counts as well tuned


def best_so_far(study: "Study") -> pd.DataFrame:
    """analysis.tuning.best_so_far: the lowest validation loss after each tuning trial."""
    return tuning.best_so_far(study.runs)


def budget_swaps(study: "Study") -> pd.DataFrame:
    """analysis.tuning.budget_swaps: pairs whose order depends on the number of random-search trials."""
    return tuning.budget_swaps(study.expected)


def transfer(study: "Study") -> pd.DataFrame:
    """analysis.tuning.transfer_cost: what it costs to take another optimizer's learning rate."""
    return tuning.transfer_cost(study.runs, ["peak_lr"], noise_sd=study.noise_sd)


def claimed(study: "Study") -> pd.DataFrame:
    """analysis.tuning.claimed: speedups over the baseline left at each tried learning rate. Empty where nothing
    is compared or the baseline was not tuned."""
    if study.headline is None or not len(where(study.runs, use="tuning", optimizer=study.baseline)):
        return pd.DataFrame()
    return tuning.claimed(study.runs, study.losses, study.baseline, study.noise_sd)


def edges(study: "Study") -> pd.DataFrame:
    """analysis.edges.edges: the best values that no trial brackets, as the badges say."""
    spaces = {o: f["space"] for o, f in study.optimizers.items()}
    return unbracketed.edges(study.runs, spaces, study.manifest.get("cells", {}))


def scaling_sensitive(study: "Study") -> pd.DataFrame:
    """analysis.tuning.scaling_sensitive, by the band that each search measured."""
    return tuning.scaling_sensitive(study.runs, study.band, study.manifest["cells"])


def choosing(study: "Study") -> pd.DataFrame:
    """analysis.choosing.choosing: repeated searches. Empty where no cell was searched twice."""
    cells = study.manifest["cells"]
    return repeated.choosing(study.runs, cells) if any("#" in key for key in cells) else pd.DataFrame()


def lr_tolerance(study: "Study") -> pd.DataFrame:
    """analysis.tuning.lr_tolerance: how wide the range of learning rates within GOOD of the best is."""
    return tuning.lr_tolerance(study.runs, GOOD)


def laws(study: "Study") -> list[dict[str, Any]]:
    """analysis.laws.summary of the laws through each optimizer's best hyperparameters, as rows; only of tasks
    on which it was tuned, since a setting that was carried there says nothing of what is best there."""
    best = _chosen(study)
    return rows(fitted.summary(fitted.hyperparameter_laws(best) if len(best) else {}))


def loss_laws(study: "Study") -> list[dict[str, Any]]:
    """analysis.laws.summary of the laws through each optimizer's losses, as rows."""
    known = len(_reported(study))
    return rows(fitted.summary(fitted.loss_laws(_sized(study.losses, study.sizes)) if known else {}))


def _chosen(study: "Study") -> pd.DataFrame:
    """What each search chose on each task that it was tuned on; of others' results, what they reported."""
    if study.theirs or not study.manifest["cells"]:
        return _reported(study)
    found = [
        {"optimizer": name, "scale": task.scale, "chinchilla_ratio": task.ratio, "search": search}
        | {f"hp.{hp}": value for hp, value in entry["winner"].items()}
        for name in study.optimizers
        for task in study.tasks
        for search, entry in enumerate(study.searches(name, task.name), 1)
        if entry.get("winner") and entry.get("tuning")
    ]
    return _sized(pd.DataFrame(found), study.sizes) if found else pd.DataFrame()


def _reported(study: "Study") -> pd.DataFrame:
    return _sized(where(study.runs, use="report", status="finished"), study.sizes)


def _sized(runs: pd.DataFrame, sizes: Mapping[str, int]) -> pd.DataFrame:
    """The runs with num_params, those left out of whose scale no size is known."""
    runs = runs.assign(num_params=[float(sizes.get(s, 0)) for s in runs["scale"]])
    return cast(pd.DataFrame, runs.loc[runs["num_params"] > 0])
