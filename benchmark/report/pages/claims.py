"""The claims page: what papers claim, judged by this sweep; the published study's by its own figures too."""

import math
from typing import Any

from benchmark.analysis.claims import judge, papers
from benchmark.analysis.evidence import Evidence, Finding, Judgement, Paper
from benchmark.report import text
from benchmark.report.site import Site
from benchmark.study import Study

LABEL, ORDER, FILE = "Claims", 60, "claims.html"
MARKS = {
    "supported": "✓ supported",
    "refuted": "✗ refuted",
    "undecided": "? undecided",
    "does not speak to": "– does not speak to it",
}


def write(site: Site, study: Study) -> None:
    site.put(study, FILE, page(study, site.published), FILE, LABEL)


def page(study: Study, published: Study | None) -> dict[str, Any]:
    """A section per paper that the study has something on, an entry per claim; the published results stand
    beside, on the claims of their own paper, where they are among the results."""
    beside = published if published and published is not study else None
    sections = []
    for paper in papers():
        ours = judged(study, paper)
        own = paper is papers()[0]
        theirs = {v.claim: (v, seen) for v, seen in (judged(beside, paper) if beside and own else [])}
        claims = [(v, seen, theirs.get(v.claim)) for v, seen in ours] or [
            (None, None, pair) for pair in theirs.values()
        ]
        if claims:
            sections.append((paper, claims))
    found = [ours.finding for _, claims in sections for ours, _, _ in claims if ours]
    return {
        "heading": "Claims",
        "sections": sections,
        "counts": [(mark, n) for finding, mark in MARKS.items() if (n := found.count(finding))],
        "marks": MARKS,
        "numbers": numbers,
        "quantity": text.quantity,
        "largest": max(study.tasks, key=lambda task: task.num_params).scale if study.tasks else "",
        "published": beside,
    }


def judged(study: Study, paper: Paper) -> list[tuple[Judgement, Finding]]:
    """The paper's claims that a study has something on: see `judge`."""
    if not len(study.losses):
        return []
    return judge(paper, evidence(study))


def evidence(study: Study) -> Evidence:
    """What a study offers."""
    families = {name: str(facts["family"]) for name, facts in study.optimizers.items()}
    sizes = {scale: float(count) for scale, count in study.sizes.items()}
    assumed = (study.noise_sd, study.choosing_sd)
    return Evidence(study.compared, families, sizes, study.runs, study.curves, study.baseline, *assumed)


def numbers(judgement: Judgement) -> list[tuple[str, str]]:
    """The numbers a judgement rests on, as a reader sees them."""
    return [(name.replace("_", " "), _number(value)) for name, value in judgement.numbers.items()]


def _number(value: float) -> str:
    if not text.is_number(value) or math.isinf(value):
        return text.fixed(value)
    return f"{value:.4g}".replace("-", "−")
