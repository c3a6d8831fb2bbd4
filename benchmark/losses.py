"""The report runs as a losses frame: one row per optimizer, task, search and seed."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from benchmark.frames import RUN

# One corpus, one backend, one precision: losses of different experiments are not compared.
SAME = [
    "corpus", "corpus_hash", "tokenizer_hash", "eval_corpus_hash",
    "backend", "precision", "experiment", "eval_split",
]  # fmt: skip
LOSS_COLUMNS = [*RUN, "val_loss", "task", "status", "reason", "trial_id"]


def report_losses(
    runs: pd.DataFrame,
    trial_ids: Collection[str] | None = None,
    searches: Mapping[str, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """The report runs as a losses frame, what every comparison rests on.

    val_loss is inf for a diverged run and NaN for a failed one: both stay rows, because a gap would hide them.

    trial_ids: the runs of one sweep, as its manifest lists them; all if None.
    searches: trial id -> the searches of its cell whose winner it ran: several where they chose alike. A run
        that is not in it is of search 0.

    Also returns task, status, reason and trial_id. Raises ValueError where the runs left are not of one
    experiment, or where two of them are the same optimizer, task and seed with different settings.
    """
    wanted = (runs["use"] == "report").to_numpy()
    if trial_ids is not None:
        wanted = wanted & runs["trial_id"].isin(list(trial_ids)).to_numpy()
    chosen = runs.loc[wanted].drop_duplicates(["trial_id", *SAME])  # the same run twice is one run
    for column in SAME:
        found = sorted({str(v) for v in chosen[column]})
        if len(found) > 1:
            raise ValueError(
                f"report runs differ in {column} ({', '.join(found)}) and cannot be compared; pass one "
                "sweep's trial_ids"
            )
    owners = [tuple((searches or {}).get(i) or (0,)) for i in chosen["trial_id"]]
    chosen = chosen.assign(search=owners).explode("search", ignore_index=True).astype({"search": int})
    twice = chosen.duplicated(RUN).to_numpy()
    if twice.any():
        first = chosen.iloc[int(twice.argmax())]
        raise ValueError(
            f"{first['optimizer']} on {first['task']} has two report runs of seed {first['seed']} with "
            "different settings; pass the trial_ids of one sweep"
        )
    loss = chosen["val_loss"].to_numpy(float, na_value=np.nan)
    status = chosen["status"].to_numpy(str)
    loss = np.where(status == "diverged", np.inf, np.where(status == "failed", np.nan, loss))
    return chosen.assign(val_loss=loss).reindex(columns=LOSS_COLUMNS).sort_values(by=RUN, ignore_index=True)
