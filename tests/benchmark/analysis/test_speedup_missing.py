"""What of a losses frame may be missing, twice or in another order."""

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.speedup import COLUMNS, speedups


def test_row_order_and_exact_duplicates_change_nothing(noisy) -> None:
    losses = noisy()
    shuffled = pd.concat([losses, losses.iloc[:7]]).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(speedups(losses), speedups(shuffled))


def test_a_constant_added_to_every_loss_changes_nothing_with_four_ratios(noisy) -> None:
    losses = noisy()
    moved = speedups(losses.assign(val_loss=losses.val_loss + 1.5))
    numbers = ["d_eff", "speedup", "lo", "hi"]
    pd.testing.assert_frame_equal(speedups(losses)[numbers], moved[numbers], rtol=1e-5)


def test_another_scale_changes_only_how_many_intervals_must_hold_at_once(noisy) -> None:
    losses = noisy()
    both = pd.concat([losses, noisy(start=1).assign(scale="other")])
    alone, beside = speedups(losses), speedups(both)
    beside = beside[beside.scale == "simulated"].reset_index(drop=True)
    wider = ["gap_lo", "gap_hi", "lo", "hi", "verdict"]
    pd.testing.assert_frame_equal(alone.drop(columns=wider), beside.drop(columns=wider))
    others = alone.verdict != "baseline"
    assert (beside.lo < alone.lo)[others].all() and (beside.hi > alone.hi)[others].all()


def test_the_same_call_gives_the_same_table_and_another_seed_another(noisy) -> None:
    losses = noisy()
    pd.testing.assert_frame_equal(speedups(losses, seed=3), speedups(losses, seed=3))
    assert not speedups(losses, seed=3).lo.equals(speedups(losses, seed=4).lo)


def test_a_missing_cell_is_no_row_and_the_others_stay(noisy) -> None:
    losses = noisy()
    table = speedups(losses[~((losses.optimizer == "e") & (losses.chinchilla_ratio == 4.0))])
    assert list(table.columns) == COLUMNS
    assert len(table) == 6 * 4 - 1
    assert table.speedup.notna().all()


def test_diverged_and_failed_seeds_are_counted_and_said(noisy, at) -> None:
    losses = noisy()
    here = (losses.optimizer == "d") & (losses.chinchilla_ratio == 8.0)
    losses.loc[here & (losses.seed == 0), "val_loss"] = np.inf
    losses.loc[here & (losses.seed == 1), "val_loss"] = np.nan
    row = at(speedups(losses), "d", 8.0)
    assert row.n == 1 and np.isfinite(row.speedup) and row.lo < row.speedup < row.hi
    for text in ("diverged seeds: 1", "failed seeds: 1", "adjusted for missing seeds"):
        assert text in row["flags"]
    losses.loc[here, "val_loss"] = np.inf
    row = at(speedups(losses), "d", 8.0)
    assert (row.n, row.speedup, row.verdict) == (0, 0.0, "slower")
    assert "diverged seeds: 3 (all)" in row["flags"]
    losses.loc[here, "val_loss"] = np.nan
    row = at(speedups(losses), "d", 8.0)
    assert np.isnan(row.speedup) and row.verdict == "" and "failed seeds: 3 (all)" in row["flags"]


def test_a_diverged_baseline_leaves_the_curve_to_the_other_ratios(noisy, at) -> None:
    losses = noisy()
    losses.loc[(losses.optimizer == "adamw") & (losses.chinchilla_ratio == 2.0), "val_loss"] = np.inf
    table = speedups(losses)
    assert table["flags"].str.contains("baseline diverged at 2x; three baseline ratios").all()
    assert at(table, "e", 2.0).speedup == pytest.approx(1.4, abs=0.1)
    losses.loc[losses.optimizer == "adamw", "val_loss"] = np.inf
    table = speedups(losses)
    assert table["flags"].str.contains("undefined: no finished baseline").all()
    assert table[table.optimizer != "adamw"].speedup.isna().all()


def test_the_baseline_is_one_by_definition(noisy) -> None:
    rows = speedups(noisy()).query("optimizer == 'adamw'")
    assert (rows[["speedup", "lo", "hi"]] == 1.0).all(axis=None)
    assert (rows.d_eff == rows.chinchilla_ratio).all() and not rows.extrapolated.any()


def test_extrapolated_is_outside_the_baselines_ratios(power_law_losses) -> None:
    losses = power_law_losses({"adamw": 1.0, "x": 1.3, "y": 0.8})
    table = speedups(losses, noise_sd=0.001, n_bootstrap=100)
    assert table[table.extrapolated][["optimizer", "chinchilla_ratio"]].to_numpy().tolist() == [
        ["x", 8.0],
        ["y", 1.0],
    ]


def test_bad_arguments_are_refused_with_the_reason(noisy) -> None:
    with pytest.raises(ValueError, match="no losses of the baseline 'muon'; there are a, adamw"):
        speedups(noisy(), baseline="muon")
    with pytest.raises(ValueError, match="n_bootstrap"):
        speedups(noisy(), n_bootstrap=10)
    with pytest.raises(ValueError, match="none at all"):
        speedups(noisy().iloc[:0])
