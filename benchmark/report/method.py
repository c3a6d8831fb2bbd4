"""The rules of comparison as this sweep kept them: protocol, corpus, seeds, machines, what was left out."""

from typing import Any

from benchmark.report import text
from benchmark.report.frames import rows, where
from benchmark.report.study import Study


def page(study: Study, damaged: tuple[str, ...]) -> dict[str, Any]:
    manifest, runs = study.manifest, study.runs
    shown = ("corpus", "corpus_hash", "tokenizer_hash", "backend", "precision", "source")
    return {
        "heading": "Method",
        "experiment": [
            (key.replace("_", " "), text.value(manifest[key])) for key in shown if manifest.get(key)
        ],
        "protocol": [
            (k.replace("_", " "), text.value(v))
            for k, v in sorted(manifest["protocol"].items())
            if v not in (None, [], {}, "")
        ],
        "notes": manifest["notes"] if study.theirs else (),
        "tasks": [
            (
                t.name,
                text.quantity(t.num_params),
                text.tokens(t.tokens),
                _budget(study, t.name),
                _seeds(study, t.name),
            )
            for t in study.tasks
        ],
        "machines": _machines(study),
        "outcomes": [(s, len(where(runs, status=s))) for s in ("finished", "diverged", "failed")],
        "excluded": [
            (r["trial_id"], r["optimizer"], r["task"], r["role"], r["reason"])
            for r in rows(runs)
            if r["status"] != "finished"
        ],
        "damaged": damaged,
    }


def _budget(study: Study, task: str) -> str:
    budgets = {int(b) for o in study.optimizers if (b := study.cell(o, task).get("budget")) is not None}
    return text.value(sorted(budgets)) if budgets else text.MISSING


def _seeds(study: Study, task: str) -> str:
    seeds = sorted({int(s) for s in where(study.losses, task=task)["seed"]})
    return text.value(seeds) or text.MISSING


def _machines(study: Study) -> list[tuple[str, int, str]]:
    """Each machine with the number of its runs and the versions they ran under."""
    seen: dict[str, tuple[int, dict[str, Any]]] = {}
    for record in study.by_id.values():
        described = dict(record.environment)
        name = str(described.pop("machine", "")) or "not stated"
        count, known = seen.get(name, (0, {}))
        merged = {k: known.get(k, []) + [v] * (v not in known.get(k, [])) for k, v in described.items()}
        seen[name] = (count + 1, merged)
    return [(name, count, text.value(facts)) for name, (count, facts) in sorted(seen.items())]
