"""Claims that compare contestants two by two, task by task."""

from collections.abc import Sequence

import numpy as np

from benchmark.analysis.arrays import Floats
from benchmark.analysis.contrasts import Gap, contrasts
from benchmark.analysis.evidence import ABOUT, Evidence, Finding, Judgement

MOST = 0.9  # share of comparisons beyond noise that carries a claim about all of them
Pair = tuple[str, str]


def below(evidence: Evidence, claim: str, pairs: Sequence[Pair], who: str) -> Judgement | None:
    """Of each pair the first ends below the second. None where no task has both.

    who: the first, as a sentence has it.
    """
    found = gaps(evidence, pairs)
    if not len(found):
        return None
    gap, lo, hi = found.T
    ahead, beyond, behind = int((gap > 0).sum()), int((lo > 0).sum()), int((hi < 0).sum())
    finding: Finding = "refuted" if behind else "undecided"
    if ahead == len(found) and beyond >= MOST * len(found):
        finding = "supported"
    tasks = len(list(evidence.tasks()))
    sentence = (
        f"Of {len(found)} pairs on {tasks} tasks {who} is ahead in {ahead}, in {beyond} of them beyond noise,"
        f" and behind beyond noise in {behind}."
    )
    numbers = {"pairs": len(found), "ahead": ahead, "beyond_noise": beyond, "behind_beyond_noise": behind}
    return Judgement(claim, finding, sentence, numbers)


def as_good(evidence: Evidence, claim: str, pairs: Sequence[Pair], who: str) -> Judgement | None:
    """Of each pair the first is as good as the second: it ends above it by no more than a tenth more tokens are
    worth to the baseline. None where no task has both."""
    found = gaps(evidence, pairs)
    if not len(found):
        return None
    gap, lo, hi = found.T
    worth = evidence.worth(1 + ABOUT)
    as_low, above = int((lo >= -worth).sum()), int((hi < -worth).sum())
    finding: Finding = "refuted" if above else "undecided"
    if np.isfinite(worth) and as_low == len(found):
        finding = "supported"
    sentence = (
        f"In {as_low} of {len(found)} pairs the interval of {who} ends within {worth:.4f} nats, what a tenth"
        f" more tokens are worth, in {above} it lies beyond; the worst gap is {max(0.0, -gap.min()):.4f}."
    )
    if not np.isfinite(worth):
        sentence = "What a tenth more tokens are worth is not known here."
    numbers = {"pairs": len(found), "within": as_low, "beyond": above, "worst_gap": float(-gap.min())}
    return Judgement(claim, finding, sentence, numbers)


def gaps(evidence: Evidence, pairs: Sequence[Pair]) -> Floats:
    """(n, 3): nats by which the first of a pair ends below the second, with the ends of the interval, of every
    task that has both."""
    here = [(name, float(ratio)) for name, model in evidence.models.items() for ratio in np.unique(model.ratio)]
    found = [gap_at(evidence, pair, *task) for task in here for pair in pairs]
    return np.array([gap for gap in found if gap], np.float64).reshape(-1, 3)


def gap_at(evidence: Evidence, pair: Pair, scale: str, ratio: float) -> Gap | None:
    """The same on one task; None where it lacks one of them."""
    table = contrasts(evidence.models[scale], ratio, len(list(evidence.tasks())))
    first, second = pair
    return table.interval(second, first) if {first, second} <= set(table.names) else None
