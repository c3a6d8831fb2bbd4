"""Comparisons seed by seed, the noise band, and the account of a search."""

import math
import random

import pytest
from scipy import stats

from sweeps.search.history import History, Noise, Waiting

A, B = {"h": 1.0}, {"h": 2.0}


def history_of(losses, budget=20, **how):
    return History(lambda setting, seed, _: losses[setting["h"]][seed], budget, (0, 1, 2), **how)


def asked(history, *settings):
    history.ask([(setting, 0, "start") for setting in settings])
    return history


def test_a_clear_lead_is_believed_without_more_seeds():
    history = asked(history_of({1.0: [3.5], 2.0: [3.4]}, band=0.02), A, B)
    assert history.better(B, A)
    assert len(history.entries) == 2


def test_a_lead_inside_the_band_buys_seeds_and_the_lower_paired_mean_wins():
    losses = {1.0: [3.50, 3.40, 3.45], 2.0: [3.49, 3.43, 3.47]}
    history = asked(history_of(losses, band=0.05), A, B)
    assert not history.better(B, A)  # ahead at seed 0 only
    assert [e.purpose for e in history.entries[2:]] == ["replicate"] * 2  # behind after two: no third seed
    losses = {1.0: [3.50, 3.40, 3.45], 2.0: [3.49, 3.398, 3.447]}
    history = asked(history_of(losses, band=0.05), A, B)
    assert history.better(B, A)  # ahead by less than the band: the band is not what accepts
    assert len(history.entries) == 6


def test_a_candidate_that_is_behind_gets_no_more_seeds():
    history = asked(history_of({1.0: [3.50], 2.0: [3.501]}, band=0.05), A, B)
    assert not history.better(B, A)
    assert len(history.entries) == 2


def test_without_budget_for_more_seeds_the_mean_so_far_decides():
    history = asked(history_of({1.0: [3.50], 2.0: [3.49]}, budget=3, band=0.05), A, B)
    assert history.better(B, A)
    assert len(history.entries) == 2


@pytest.mark.parametrize(
    ("a", "b", "better"), [(math.inf, 3.0, True), (3.0, math.inf, False), (math.inf, math.inf, False)]
)
def test_divergence_loses_and_buys_no_seeds(a, b, better):
    history = asked(history_of({1.0: [a], 2.0: [b]}, band=0.05), A, B)
    assert history.better(B, A) is better
    assert len(history.entries) == 2


def test_a_candidate_that_diverges_at_a_second_seed_loses():
    history = asked(history_of({1.0: [3.50, 3.5, 3.5], 2.0: [3.49, math.inf, 3.4]}, band=0.05), A, B)
    assert not history.better(B, A)


def test_noise_is_the_variance_of_paired_differences():
    coins = random.Random(0)
    seed_effect = [coins.gauss(0, 1.0) for _ in range(3)]
    losses = {h: [h + seed_effect[s] + coins.gauss(0, 0.01) for s in range(3)] for h in (1.0, 2.0)}
    history = asked(history_of(losses), A, B)
    history.replicate((A, B))
    gaps = [losses[1.0][s] - losses[2.0][s] for s in range(3)]
    mean = sum(gaps) / 3
    assert history.noise().df == 2
    assert history.noise().sd == pytest.approx(math.sqrt(sum((g - mean) ** 2 for g in gaps) / 2))
    assert history.band() == pytest.approx(history.noise().sd * stats.t.ppf(0.9, 2))


def test_noise_from_elsewhere_is_pooled_by_degrees_of_freedom():
    assert Noise(0.02, 2) + Noise(0.06, 6) == Noise(0.08, 8)
    assert (Noise(0.02, 2) + Noise(0.06, 6)).sd == pytest.approx(0.1)
    assert Noise().sd is None
    assert Noise().band == math.inf


def test_the_band_covers_four_fifths_of_pure_noise():
    """A band estimated on 2 df from one pair must cover 80 % of new differences, its own error included."""
    coins, inside, count = random.Random(1), 0, 4000
    for _ in range(count):
        gaps = [coins.gauss(0, 1) for _ in range(3)]
        mean = sum(gaps) / 3
        inside += abs(coins.gauss(0, 1)) <= Noise(sum((g - mean) ** 2 for g in gaps), 2).band
    assert inside / count == pytest.approx(0.8, abs=0.02)


def test_everything_that_can_run_is_asked_before_waiting():
    history = History(lambda *_: None, 3)
    with pytest.raises(Waiting):
        history.ask([({"h": float(h)}, 0, "start") for h in range(5)])
    assert len(history.entries) == 3
    assert history.left == 0


def test_near_are_the_settings_within_the_band_of_the_best():
    history = asked(history_of({1.0: [3.50], 2.0: [3.51], 3.0: [3.6]}, band=0.02), A, B, {"h": 3.0})
    assert history.near(A) == [A, B]
