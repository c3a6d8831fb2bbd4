"""A sweep's manifest, `sweep.json`: what was asked, what was chosen, what it cost.

benchmark/manifests.py reads it again; summary.py says what came of each cell.
"""

import dataclasses
from pathlib import Path
from typing import Any

from benchmark.recorded import SEARCH_LOOKS, SPACING
from benchmark.spec import SCHEMA
from benchmark.train import runner
from sweeps.search.cells import Solved
from sweeps.search.plan import Plan
from sweeps.search.seeds import report_seeds
from sweeps.search.sweep import Sweep


def manifest(sweep: Sweep, plan: Plan) -> dict[str, Any]:
    """The manifest of a sweep as far as it has come; `trial_ids` are the runs that it rests on."""
    ids = [i for s in plan.solved.values() if isinstance(s, Solved) for i in _ids(s)]
    return {
        "schema": SCHEMA,
        "name": sweep.name,
        "title": sweep.title,
        **({"file": sweep.file} if sweep.file else {}),
        "corpus": sweep.corpus,
        "corpus_hash": sweep.corpus_hash,
        "tokenizer_hash": sweep.tokenizer_hash,
        **(
            {"eval_corpus": sweep.eval_corpus, "eval_corpus_hash": sweep.eval_corpus_hash}
            if sweep.eval_corpus
            else {}
        ),
        **({"tokenizer": Path(sweep.tokenizer).name} if sweep.tokenizer else {}),
        "backend": sweep.backend,
        "precision": sweep.precision,
        "baseline": sweep.baseline,
        "tasks": [
            {
                "name": s.task.name,
                "scale": s.task.scale.name,
                "chinchilla_ratio": s.task.chinchilla_ratio,
                "tokens": s.task.tokens,
                "num_params": s.task.scale.num_params,
                "phase": s.phase,
                "budget": s.budget,
            }
            for s in sweep.stages
        ],
        "optimizers": {c.name: _optimizer(sweep, c.name) for c in sweep.contestants},
        "protocol": {
            **dataclasses.asdict(sweep.protocol),
            "looks": sweep.looks,
            "report_seeds": report_seeds(sweep),
        },
        **({SEARCH_LOOKS: sweep.search_looks} if sweep.search_looks else {}),
        "cells": plan.cells,
        "trial_ids": [i for i in dict.fromkeys(ids) if i in plan.known],
    }


def _optimizer(sweep: Sweep, name: str) -> dict[str, Any]:
    contestant = next(c for c in sweep.contestants if c.name == name)
    space = contestant.axes(sweep.stages[0].task.scale)
    return {
        **runner.about(contestant.info),
        "rule": contestant.rule,
        "essential": list(contestant.essential),
        "ablation_of": contestant.ablation_of,
        "space": {n: {"grid": list(a.grid), "start": a.start, SPACING: a.spacing} for n, a in space.items()},
    }


def _ids(solved: Solved) -> list[str]:
    return [asked.trial_id for asked in solved.asked] + [trial_id for _, trial_id in solved.reports]
