"""The claims page: what the published study claimed, judged by this sweep and by its own figures."""

import math
from typing import Any

from benchmark.analysis.claims import judge
from benchmark.analysis.evidence import Evidence, Judgement
from benchmark.report import text
from benchmark.report.site import Site
from benchmark.study import Study

LABEL, ORDER, FILE = "Claims", 60, "claims.html"
MARKS = {"supported": "✓ supported", "refuted": "✗ refuted", "undecided": "? undecided"}


def write(site: Site, study: Study) -> None:
    site.put(study, FILE, page(study, site.published), FILE, LABEL)


def page(study: Study, published: Study | None) -> dict[str, Any]:
    """One entry per claim; the published results stand beside where they are among the results."""
    ours = judged(study)
    theirs = {v.claim: v for v in judged(published)} if published and published is not study else {}
    return {
        "heading": "Claims",
        "claims": [(v, theirs.get(v.claim)) for v in ours] or [(None, v) for v in theirs.values()],
        "counts": [(MARKS[k], sum(v.finding == k for v in ours)) for k in MARKS],
        "marks": MARKS,
        "numbers": numbers,
        "published": published if theirs else None,
    }


def judged(study: Study) -> list[Judgement]:
    if not len(study.losses):
        return []
    families = {name: str(facts["family"]) for name, facts in study.optimizers.items()}
    sizes = {scale: float(count) for scale, count in study.sizes.items()}
    assumed = (study.noise_sd, study.choosing_sd)
    evidence = Evidence(study.compared, families, sizes, study.runs, study.curves, study.baseline, *assumed)
    return judge(evidence)


def numbers(judgement: Judgement) -> list[tuple[str, str]]:
    """The numbers a judgement rests on, as a reader sees them."""
    return [(name.replace("_", " "), _number(value)) for name, value in judgement.numbers.items()]


def _number(value: float) -> str:
    if not text.is_number(value) or math.isinf(value):
        return text.fixed(value)
    return f"{value:.4g}".replace("-", "−")
