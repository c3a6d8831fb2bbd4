"""The rules of comparison as this sweep kept them: protocol, corpus, seeds, machines, what was left out."""

from collections.abc import Sequence
from typing import Any

from benchmark.analysis import residuals
from benchmark.frames import groups, rows, where
from benchmark.machine import REPEATS, machine
from benchmark.report import text
from benchmark.report.site import Site
from benchmark.report.table import TASK, Column, Table, fixed, numbers, titled
from benchmark.study import Study

LABEL, ORDER, FILE = "Method", 70, "method.html"
LISTED = 100  # lines about damaged records: the first tell what happened to the rest


def write(site: Site, study: Study) -> None:
    site.put(study, FILE, page(study, site.damaged), FILE, LABEL)


def page(study: Study, damaged: Sequence[str]) -> dict[str, Any]:
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
        "tasks": _tasks(study),
        "noise": noise(study),
        "machines": _machines(study),
        "repeats": REPEATS,
        "outcomes": [(s, len(where(runs, status=s))) for s in ("finished", "diverged", "failed")],
        "excluded": _excluded(study),
        "damaged": [
            *damaged[:LISTED],
            *([f"and {more:,} more"] if (more := len(damaged) - LISTED) > 0 else []),
        ],
    }


def _tasks(study: Study) -> Table:
    columns = (
        Column("name", "Task"),
        numbers("num_params", "Non-embedding parameters", text.quantity),
        numbers("tokens", "Training tokens", text.tokens),
        numbers("budget", "Tuning trials per optimizer", lambda task: _budget(study, task), of=("name",)),
        Column("seeds", "Report seeds", lambda task: _seeds(study, task), of=("name",)),
    )
    return Table("Tasks", columns, study.tasks)


def _excluded(study: Study) -> Table:
    columns = (
        Column("trial_id", "Record", link="records/{}.html"),
        titled(study.titles),
        TASK,
        Column("use", "Run"),
        Column("reason", "Reason"),
    )
    lost = study.runs.loc[study.runs["status"] != "finished"]
    return Table("Runs without a final loss", columns, rows(lost), quiet=True)


def noise(study: Study) -> Table:
    """The parts of the noise, scale by scale: what is shared, then each optimizer's own."""
    columns = (
        Column("scale", "Scale"),
        Column("part", "Part"),
        numbers("sd", "sd", fixed(4)),
        numbers("df", "df", lambda df: text.fixed(df, 1) if df else text.MISSING),
        Column("note", "Note", str),
    )
    caption = "What the runs of this sweep say of each part, in nats per token"
    return Table(caption, columns, _parts(study) if len(study.losses) else [])


def _parts(study: Study) -> list[dict[str, Any]]:
    table = []
    for scale, own in groups(residuals.noise(study.losses, study.noise_sd, study.choosing_sd), "scale").items():
        first = rows(own)[0]
        p = first["heterogeneity_p"]
        equal = "p < 0.001" if p < 0.001 else f"p = {text.fixed(p, 3)}"
        stated = "stated, not measured: no cell was searched twice" if not first["choosing_df"] else ""
        table += [
            _part(scale, "choosing, of one search", first, "choosing", stated),
            _part(scale, "residual of a run, all optimizers", first, "pooled", f"equal noise: {equal}"),
            *(
                _part(scale, study.titles[r["optimizer"]], r, "residual", "residual of a run")
                for r in rows(own)
            ),
        ]
    return table


def _part(scale: str, part: str, row: dict[str, Any], key: str, note: str) -> dict[str, Any]:
    return {"scale": scale, "part": part, "sd": row[f"{key}_sd"], "df": row[f"{key}_df"], "note": note}


def _budget(study: Study, task: str) -> str:
    if study.theirs:
        return text.MISSING  # others' runs are counted here, their trials are not known
    budgets = {int(b) for o in study.optimizers if (b := study.cell(o, task).get("budget")) is not None}
    return text.value(sorted(budgets)) if budgets else text.MISSING


def _seeds(study: Study, task: str) -> str:
    if "seed" in study.not_stated:
        return text.MISSING
    seeds = sorted({int(s) for s in where(study.losses, task=task)["seed"]})
    return text.value(seeds) or text.MISSING


def _machines(study: Study) -> Table:
    """Each machine with the number of its runs and the versions they ran under."""
    seen: dict[str, tuple[int, dict[str, Any]]] = {}
    for record in study.by_id.values():
        described = dict(record.environment)
        name = machine(described) or "not stated"
        described.pop("machine", None)
        described.pop("session", None)  # of a record, not of a machine
        count, known = seen.get(name, (0, {}))
        merged = {k: known.get(k, []) + [v] * (v not in known.get(k, [])) for k, v in described.items()}
        seen[name] = (count + 1, merged)
    columns = (Column("machine", "Machine"), numbers("runs", "Runs"), Column("facts", "What it is"))
    table = [{"machine": m, "runs": count, "facts": facts} for m, (count, facts) in sorted(seen.items())]
    return Table("Where the runs took place; times compare only within one machine", columns, table)
