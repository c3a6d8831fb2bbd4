"""Claims about schedules and averages: supported where planted, refuted where the opposite is, else neither."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.claims import averages, cooldown, judge, linear_to_zero, papers
from benchmark.analysis.evidence import Claim, Evidence

SIZE = {"27k": 27_648.0}
SEEDS, SEARCHES, RATIOS, NOISE = 4, 2, (0.5, 1.0, 2.0, 4.0), 0.001
LINEAR = {"hp.decay_kind": "linear", "hp.decay_fraction": 1.0, "hp.final_lr_ratio": 0.0}


def evidence(above: Mapping[str, float], gains: Mapping[str, float] | None = None, start: int = 0) -> Evidence:
    """Contestants so many nats above AdamW (3 + 0.5 r**-0.4) at every ratio, and what averages of their runs
    gain. A tenth more tokens are worth 0.011 to 0.026 nats."""
    rng = np.random.default_rng(start)
    rows: list[dict[str, Any]] = []
    for name, more in {"adamw": 0.0, **above}.items():
        for ratio in RATIOS:
            for search in range(SEARCHES):
                chosen = 0.0005 * rng.normal()
                for seed in range(SEEDS):
                    loss = 3 + 0.5 * ratio**-0.4 + more + chosen + 0.01 * seed + NOISE * rng.normal()
                    at = {"optimizer": name, "scale": "27k", "chinchilla_ratio": ratio, "seed": seed}
                    row = {**at, "search": search, "val_loss": loss, "use": "report", **LINEAR}
                    if gains and name in gains:
                        row["average.ema2"] = loss - gains[name] + 0.0005 * rng.normal()
                        row["average.tail"] = loss - gains[name] + 0.05  # too long: says nothing of the shorter
                    rows.append({**row, "trial_id": len(rows)})
    runs = pd.DataFrame(rows)
    names = ["optimizer", "scale", "chinchilla_ratio", "search", "seed", "val_loss"]
    return Evidence(runs[names], dict.fromkeys(above, "scalar"), SIZE, runs, pd.DataFrame())


PLANTED: dict[Claim, tuple[tuple[dict[str, float], dict[str, float]], ...]] = {
    cooldown.matches_cosine: (
        ({"adamw+cosine": 0.02, "adamw+wsd": 0.021}, {}),
        ({"adamw+cosine": 0.0, "adamw+wsd": 0.05}, {}),
        ({"adamw+cosine": 0.0, "adamw+wsd": 0.015}, {}),  # at some ratios worth a tenth of the tokens, or near
    ),
    cooldown.sqrt_below_linear: (
        ({"adamw+wsd": 0.02, "adamw+wsd_sqrt": 0.0}, {}),
        ({"adamw+wsd": 0.0, "adamw+wsd_sqrt": 0.02}, {}),
        ({"adamw+wsd": 0.0005, "adamw+wsd_sqrt": 0.0}, {}),
    ),
    cooldown.averages_gain: (
        ({"adamw+constant": 0.2}, {"adamw+constant": 0.1}),
        ({"adamw+constant": 0.2}, {"adamw+constant": -0.1}),
        ({"adamw+constant": 0.2}, {"adamw+constant": 0.0}),
    ),
    averages.gain_with_decay: (
        ({"muon": -0.1}, {"adamw": 0.01, "muon": 0.02}),
        ({"muon": -0.1}, {"adamw": -0.01, "muon": -0.02}),
        ({"muon": -0.1}, {"adamw": 0.0, "muon": 0.0001}),
    ),
    averages.cannot_replace_decay: (
        ({"adamw+constant": 0.2}, {"adamw+constant": 0.15}),
        ({"adamw+constant": 0.2}, {"adamw+constant": 0.25}),
        ({"adamw+constant": 0.2}, {"adamw+constant": 0.2}),
    ),
    linear_to_zero.below_all_others: (
        ({"adamw+cosine": 0.02, "adamw+wsd": 0.03}, {}),
        ({"adamw+cosine": -0.02, "adamw+wsd": 0.03}, {}),
        ({"adamw+cosine": 0.0003, "adamw+wsd": 0.03}, {}),
    ),
}


def test_every_claim_of_a_paper_about_schedules_is_planted() -> None:
    found = [claim for paper in papers()[1:] for claim in paper.claims]
    assert sorted(map(repr, found)) == sorted(map(repr, PLANTED))
    assert len({paper.title for paper in papers()}) == len(papers()) == 4


@pytest.mark.parametrize("claim", PLANTED, ids=lambda claim: claim.__name__)
@pytest.mark.parametrize("place", range(3), ids=["supported", "refuted", "undecided"])
def test_a_claim_is_what_was_planted(claim: Claim, place: int) -> None:
    finding = ("supported", "refuted", "undecided")[place]
    for start in range(2):
        found = claim(evidence(*PLANTED[claim][place], start=start))
        assert found is not None and found.finding == finding, found
        assert found.sentence.endswith(".") and "nan" not in found.sentence


def test_a_study_without_schedules_or_averages_has_nothing_on_them() -> None:
    given = evidence({"muon": -0.1})
    assert [judge(paper, given) for paper in papers()[1:]] == [[], [], []]
    cosine = evidence({"adamw+cosine": 0.02})
    assert [len(judge(paper, cosine)) for paper in papers()[1:]] == [0, 0, 1]


def test_a_baseline_whose_decay_was_tuned_is_no_linear_decay() -> None:
    given = evidence({"adamw+cosine": 0.02})
    given.runs["hp.decay_fraction"] = 0.6
    assert linear_to_zero.below_all_others(given) is None
