"""The two claims of fantastic.py that rest on single tuning runs rather than on report runs.

A loss is compared with what the best setting is expected to reach, never with the luckiest run (level.py).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmark.analysis.evidence import ABOUT, FEW, Evidence, Finding, Judgement, speed
from benchmark.analysis.settings import rows
from benchmark.analysis.speedup import EQUIVALENCE
from benchmark.analysis.whatif import GPT3_LR, claimed, transfer_cost

NEAR = 2.0  # octaves: a tried rate farther from the recipe's says nothing of the recipe
RARE = 0.1  # share of comparisons below which something is the exception
INFLATED = 1.4  # the published study's own example of what an untuned baseline is good for


def transfer_unfair(evidence: Evidence) -> Judgement:
    """Rests on trials that ran one optimizer with another's best rate or decay, all else at its own best.
    Supported if half of them are dear beyond noise; refuted if hardly one is and on average, the optimizers
    that took over a setting being the sample, they cost less than what a tenth more tokens are worth.
    """
    claim = "One optimizer's best hyperparameters are not another's"
    found: list[dict[str, Any]] = []
    for name in ("peak_lr", "weight_decay"):
        if len(evidence.runs) and f"hp.{name}" in evidence.runs:
            costs = transfer_cost(evidence.runs, [name], evidence.band, evidence.run_sd)
            real = costs["cost"].notna() & (costs["changed"] > 0) & (costs["others"] == 0)
            found += rows(costs, real).to_dict("records")
    cost, dear = np.array([row["cost"] for row in found], float), sum(bool(row["dear"]) for row in found)
    numbers = {"transfers": len(cost), "dear": dear}
    if len(cost) < FEW:
        return Judgement(claim, "undecided", f"Only {len(cost)} such transfers were run.", numbers)
    share, worth = dear / len(cost), evidence.worth(1 + ABOUT)
    by_target: dict[str, list[float]] = {}
    for row in found:
        if np.isfinite(row["cost"]):
            by_target.setdefault(row["target"], []).append(row["cost"])
    mean, most = _mean_at_most(np.array([np.mean(own) for own in by_target.values()], np.float64))
    finding: Finding = "supported" if share >= 0.5 else "undecided"
    if share < RARE and most < worth:
        finding = "refuted"
    bound = f", at most {most:.4f}" if np.isfinite(most) else ""
    against = f"; a tenth more tokens are worth {worth:.4f}" if np.isfinite(worth) else ""
    sentence = (
        f"Of {len(cost)} times that an optimizer ran with another's best rate or decay, {dear} cost more than"
        f" noise explains or diverged; the mean cost is {mean:.4f} nats{bound}{against}."
    )
    numbers |= {"mean_cost": mean, "median_cost": float(np.median(cost))}
    return Judgement(claim, finding, sentence, numbers)


def _mean_at_most(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of independent values and the upper end of its two-sided 95 % interval (infinite below two)."""
    if len(values) < 2:
        return float(values.mean()) if len(values) else 0.0, float("inf")
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() + reach)


def undertuning_inflates(evidence: Evidence) -> Judgement:
    """Rests on the baseline's own trials at the tried rate nearest to GPT-3's, within NEAR octaves of it and an
    octave or more below the best. Supported by an inflation of 1.4 whose interval lies above "about 1"; refuted
    where no interval reaches the bound of equivalence. The intervals hold for all tasks at once.
    """
    claim = "A baseline left at an old recipe's learning rate inflates speedups"
    found = _under_tuned(evidence) if len(evidence.runs) else []
    if not found:
        sentence = f"The baseline ran at no rate near {GPT3_LR:g}, GPT-3's, that is far below its best."
        return Judgement(claim, "undecided", sentence, {"tasks": 0})
    worst = max(found, key=lambda row: row["inflation"])
    median = float(np.median([row["inflation"] for row in found]))
    finding: Finding = "undecided"
    if any(row["inflation"] >= INFLATED and row["inflation_lo"] > 1 + ABOUT for row in found):
        finding = "supported"
    far = max(row["octaves"] for row in found) >= 2
    if far and all(row["inflation_hi"] < EQUIVALENCE for row in found):
        finding = "refuted"
    inflation = {"speedup": worst["inflation"], "lo": worst["inflation_lo"], "hi": worst["inflation_hi"]}
    sentence = (
        f"Left at {worst['peak_lr']:g} on {worst['task']}, the baseline itself needs {speed(inflation)} times"
        f" the tokens, and every speedup over it grows as much; the median over {len(found)} tasks is"
        f" {median:.2f}."
    )
    numbers = {"tasks": len(found), "largest": worst["inflation"], "median": median}
    numbers |= {"peak_lr": worst["peak_lr"], "rise": worst["rise"]}
    return Judgement(claim, finding, sentence, numbers)


def _under_tuned(evidence: Evidence) -> list[dict[str, Any]]:
    """The baseline's own rows of `claimed` at the reference rate, where that is an octave below its best."""
    tasks = set(rows(evidence.runs, evidence.runs["optimizer"] == evidence.baseline)["task"])
    level = 1 - 0.05 / max(len(tasks), 1)
    found = claimed(evidence.runs, evidence.losses, evidence.baseline, evidence.run_sd, confidence=level)
    own = rows(found, found["optimizer"] == evidence.baseline).to_dict("records")
    best = {row["task"]: row["peak_lr"] for row in own if row["best"]}
    near = [r for r in own if r["reference"] and abs(np.log2(r["peak_lr"] / GPT3_LR)) <= NEAR]
    below = [{**row, "octaves": np.log2(best[row["task"]] / row["peak_lr"])} for row in near]
    return [row for row in below if row["octaves"] >= 1 and np.isfinite(row["inflation"])]
