"""The efficiency of a sweep is arithmetic on its records."""

import pytest

from benchmark.spec import Cost, Record
from sweeps.search.plan import plan
from tools.efficiency import equal_trials, share


def record(trial, end: float, wall: float, busy: float) -> Record:
    cost = Cost(wall_seconds=wall, train_seconds=0.9 * busy, eval_seconds=0.1 * busy)
    return Record(trial=trial, status="finished", cost=cost, finished_at=f"2025-01-01T00:00:{end:09.6f}+00:00")


def test_share_counts_from_the_first_start_to_the_last_end():
    (trial,) = plan(equal_trials(200_000, 2), {}).ready
    # two workers, 10 seconds: 8 + 4 and 6 seconds of work
    records = [record(trial, 8, 8, 8), record(trial, 10, 6, 6), record(trial, 9, 5, 4)]
    busy, each = share(records, workers=2)
    assert busy == pytest.approx(18 / 20)
    assert each == pytest.approx(6)


def test_one_tuning_trial_then_reports_alone():
    sweep = equal_trials(200_000, 7)
    state = plan(sweep, {})
    assert [t.use for t in state.ready] == ["tuning"]
    assert state.remaining == 1 + 7
    assert state.ready[0].tokens == pytest.approx(200_000, abs=100)
