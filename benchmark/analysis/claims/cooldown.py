"""Claims of "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (arXiv 2405.18392)."""

from benchmark.analysis.claims.averages import averaged
from benchmark.analysis.claims.pairs import Pair, as_good, below
from benchmark.analysis.evidence import Evidence, Judgement, Paper
from optimizers.shared.schedules import MARK


def matches_cosine(evidence: Evidence) -> Judgement | None:
    claim = "A constant rate with a short decay at the end is as good as a cosine planned for the budget"
    pairs = [*under(evidence, "wsd", "cosine"), *under(evidence, "wsd_sqrt", "cosine")]
    return as_good(evidence, claim, pairs, "the constant rate with a decay")


def sqrt_below_linear(evidence: Evidence) -> Judgement | None:
    claim = "A decay of the shape 1 - sqrt ends below a linear one"
    return below(evidence, claim, under(evidence, "wsd_sqrt", "wsd"), "1 - sqrt")


def averages_gain(evidence: Evidence) -> Judgement | None:
    claim = "Averages of the weights gain on a run at a constant rate"
    return averaged(evidence, claim, {name for name in _names(evidence) if name.endswith(f"{MARK}constant")})


def under(evidence: Evidence, *schedules: str) -> list[Pair]:
    """The contestants of each rule that is there under both of two schedules."""
    first, second = (
        {n.partition(MARK)[0] for n in _names(evidence) if n.endswith(MARK + s)} for s in schedules
    )
    return [(f"{rule}{MARK}{schedules[0]}", f"{rule}{MARK}{schedules[1]}") for rule in sorted(first & second)]


def _names(evidence: Evidence) -> set[str]:
    return set(evidence.losses["optimizer"])


PAPER = Paper(
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
    "https://arxiv.org/abs/2405.18392",
    33e6,
    (matches_cosine, sqrt_below_linear, averages_gain),
)
