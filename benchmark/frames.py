"""Rows of frames, typed, and the columns that name them: what is asked of a table again and again."""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pandas as pd

CELL = [
    "optimizer",
    "scale",
    "chinchilla_ratio",
]  # columns: which cell a row is of
RUN = [*CELL, "search", "seed"]  # and which report run


def where(frame: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """The rows in which every named column has the given value; none if the frame lacks such a column."""
    if not set(equal) <= set(frame.columns):
        return frame.iloc[:0]
    keep = pd.Series(True, index=frame.index)
    for column, value in equal.items():
        keep &= frame[column] == value
    return cast(pd.DataFrame, frame.loc[keep])


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts by column, in order."""
    return cast(list[dict[str, Any]], frame.to_dict("records"))


def column(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column's values; missing ones where the frame has no such column."""
    return frame[name].tolist() if name in frame else [float("nan")] * len(frame)


def known(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows whose value in a column is a finite number."""
    return cast(pd.DataFrame, frame.loc[np.isfinite(frame[name].to_numpy(float, na_value=np.nan))])


def groups(frame: pd.DataFrame, by: str) -> dict[Any, pd.DataFrame]:
    """Rows by the value of one column, in the order in which values first appear."""
    if by not in frame or frame.empty:
        return {}
    return dict(iter(frame.groupby(by, sort=False)))


def together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Frames one below the other; an empty frame for none."""
    kept = [f for f in frames if len(f)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
