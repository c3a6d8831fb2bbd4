"""What averages gain over the last iterate: paired differences whose intervals hold together."""

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis import averaging


def runs(gain: float, sd: float, n: int, seed: int = 0, rules: int = 1) -> pd.DataFrame:
    """Runs whose last iterates vary far more between seeds than an average differs from its own."""
    rng = np.random.default_rng(seed)
    loss = 3.6 + 0.05 * rng.standard_normal((rules, n))
    averaged = loss - gain - sd * rng.standard_normal((rules, n))
    names = np.repeat([f"rule{i}" for i in range(rules)], n)
    same = {"scale": "27k", "chinchilla_ratio": 1.0}
    return pd.DataFrame(
        {"optimizer": names, "val_loss": loss.ravel(), "average.ema2": averaged.ravel(), **same}
    )


@pytest.mark.parametrize(("gain", "verdict"), [(0.02, "gains"), (-0.02, "loses"), (0.0, "undecided")])
def test_a_difference_within_runs_is_found_that_seeds_would_hide(gain, verdict):
    (row,) = averaging.gains(runs(gain, 0.004, 8, seed=1)).to_dict("records")
    assert row["verdict"] == verdict and row["n"] == 8 and row["average"] == "ema2"
    assert row["gain"] == pytest.approx(gain, abs=0.006) and row["lo"] < row["gain"] < row["hi"]


def test_of_many_equal_ones_a_verdict_is_as_rare_as_it_says():
    equal = (runs(0.0, 0.01, 6, seed, rules=10) for seed in range(300))
    wrong = [(averaging.gains(study)["verdict"] != "undecided").any() for study in equal]
    assert np.mean(wrong) <= 0.08


def test_without_averages_or_with_one_run_nothing_is_claimed():
    assert averaging.gains(runs(0.1, 0.0, 4).drop(columns="average.ema2")).empty
    (row,) = averaging.gains(runs(0.1, 0.0, 1)).to_dict("records")
    assert row["verdict"] == "undecided" and np.isnan(row["lo"])
