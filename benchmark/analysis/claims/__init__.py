"""What papers claim, judged by what a study has: a file a paper, with a constant PAPER.

The rules, alike for all: `refuted` needs something beyond its 95 % interval on the wrong side, `supported` the
claim's direction everywhere and intervals that carry it; all else is `undecided`, because the evidence would be
the same if the claim were false. That something exists is refuted where it was looked for and its opposite
established everywhere. "About" means within 0.1. Intervals hold at once for all that a claim looks at, what
another search would have chosen included. A study `does not speak to` a claim about models far larger than its
own: what its models show stands beside it.
"""

import dataclasses
import importlib
from functools import cache
from pathlib import Path

from benchmark.analysis.evidence import Evidence, Finding, Judgement, Paper

REACH = 4.0  # times its largest model: a paper about larger ones alone is not spoken to


@cache
def papers() -> tuple[Paper, ...]:
    """Those whose claims are judged; the published study first, the others by file name."""
    stems = {path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__"}
    ordered = sorted(stems, key=lambda stem: (stem != "fantastic", stem))
    modules = [importlib.import_module(f"{__name__}.{stem}") for stem in ordered]
    return tuple(module.PAPER for module in modules if hasattr(module, "PAPER"))


def judge(paper: Paper, evidence: Evidence) -> list[tuple[Judgement, Finding]]:
    """A paper's claims on which the study has something, each with what the study's own models show, which is
    another finding only where they do not speak to the claim. Empty where the baseline has no losses."""
    if evidence.baseline not in set(evidence.losses["optimizer"]):
        return []
    largest = max((evidence.num_params[s] for s in set(evidence.losses["scale"])), default=0.0)
    found = []
    for judgement in filter(None, (claim(evidence) for claim in paper.claims)):
        spoken = largest * REACH >= paper.smallest
        finding: Finding = judgement.finding if spoken else "does not speak to"
        found.append((dataclasses.replace(judgement, finding=finding), judgement.finding))
    return found
