"""Claims of "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs" (arXiv
2502.15938). Its cosine ends at a tenth of the peak, ours where the contestant's does."""

from benchmark.analysis.claims.pairs import below
from benchmark.analysis.evidence import Evidence, Judgement, Paper
from optimizers.shared.schedules import MARK, SCHEDULES


def below_all_others(evidence: Evidence) -> Judgement | None:
    claim = "A linear decay to zero ends below every other schedule"
    names = set(evidence.losses["optimizer"])
    linear = {rule: name for name in names if (rule := _linear(evidence, name))}
    pairs = [
        (linear[rule], other)
        for other in sorted(names)
        if (rule := other.partition(MARK)[0]) in linear and other != linear[rule] and MARK in other
    ]
    return below(evidence, claim, pairs, "the linear decay")


def _linear(evidence: Evidence, name: str) -> str:
    """The rule of a contestant all of whose report runs decay linearly to zero, or ""."""
    rule, mark, schedule = name.partition(MARK)
    if mark:
        return rule if schedule == "linear" else ""
    runs = evidence.runs
    fixed = SCHEDULES["linear"].fixed
    if not {"optimizer", "use"} <= set(runs) or any(f"hp.{key}" not in runs for key in fixed):
        return ""
    own = runs[(runs["optimizer"] == name) & (runs["use"] == "report")]
    same = all((own[f"hp.{key}"] == value).all() for key, value in fixed.items())
    return name if len(own) and same else ""


PAPER = Paper(
    "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs",
    "https://arxiv.org/abs/2502.15938",
    111e6,
    (below_all_others,),
)
