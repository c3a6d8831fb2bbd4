"""Losses frames that several files of tests ask for."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tools.simulate.replications import LARGE, replication


@pytest.fixture(scope="session")
def power_law_losses() -> Callable[..., pd.DataFrame]:
    """Losses without noise: each optimizer needs 1 / factor of the data."""

    def made(factors: dict[str, float], ratios=(1.0, 2.0, 4.0, 8.0), curve=LARGE.curve) -> pd.DataFrame:
        alpha, exponent, beta = curve
        rows = [
            (o, "130m", r, 0, alpha * (r * f) ** -exponent + beta) for o, f in factors.items() for r in ratios
        ]
        return pd.DataFrame(rows, columns=["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"])

    return made


@pytest.fixture(scope="session")
def noisy() -> Callable[..., pd.DataFrame]:
    """A simulated sweep of 130m models, by its report seeds and the seed of its draws."""
    return lambda seeds=3, start=0: replication(LARGE, seeds, np.random.default_rng(start))


@pytest.fixture(scope="session")
def at() -> Callable[[pd.DataFrame, str, float], pd.Series]:
    """The row of an optimizer at a ratio."""

    def row(table: pd.DataFrame, optimizer: str, ratio: float) -> pd.Series:
        return table[(table.optimizer == optimizer) & (table.chinchilla_ratio == ratio)].iloc[0]

    return row
