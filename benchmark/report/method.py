"""The rules of comparison as this sweep kept them: protocol, corpus, seeds, machines, what was left out."""

from typing import Any

from benchmark.analysis import residuals
from benchmark.report import text
from benchmark.report.frames import groups, rows, where
from benchmark.study import Study


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
        "noise": _noise(study),
        "machines": _machines(study),
        "outcomes": [(s, len(where(runs, status=s))) for s in ("finished", "diverged", "failed")],
        "excluded": [
            (r["trial_id"], r["optimizer"], r["task"], r["role"], r["reason"])
            for r in rows(runs)
            if r["status"] != "finished"
        ],
        "damaged": damaged,
    }


def _noise(study: Study) -> list[tuple[str, ...]]:
    """The parts of the noise, scale by scale: what is shared, then each optimizer's own."""
    if not len(study.losses):
        return []
    table = []
    for scale, own in groups(residuals.noise(study.losses, study.noise_sd, study.choosing_sd), "scale").items():
        first = rows(own)[0]
        p = text.fixed(first["heterogeneity_p"], 3)
        stated = "stated, not measured: no cell was searched twice" if not first["choosing_df"] else ""
        table += [
            (scale, "choosing, of one search", *_size(first, "choosing"), stated),
            (scale, "residual of a run, all optimizers", *_size(first, "pooled"), f"equal noise: p = {p}"),
            *(
                (scale, study.titles[r["optimizer"]], *_size(r, "residual"), "residual of a run")
                for r in rows(own)
            ),
        ]
    return table


def _size(row: dict[str, Any], part: str) -> tuple[str, str]:
    df = row[f"{part}_df"]
    return text.fixed(row[f"{part}_sd"], 4), text.fixed(df, 1) if df else text.MISSING


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
