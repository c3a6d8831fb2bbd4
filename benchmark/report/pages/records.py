"""A page for every record, with everything in it."""

import dataclasses
import json
from typing import Any

from benchmark.report import style, text
from benchmark.report.addresses import slug
from benchmark.report.curves import Curves, Run
from benchmark.report.site import Site
from benchmark.spec import Record


def write_site(site: Site) -> None:
    """Write records/<trial_id>.html for every record."""
    titles = {o: t for study in site.studies for o, t in study.titles.items()}
    shared = site.nav("../", slug(site.studies[0].name))
    for trial_id, record in site.results.by_id.items():
        path, title = f"records/{trial_id}.html", titles.get(record.trial.optimizer, record.trial.optimizer)
        mark = site.mark(shared, title, record)
        if not site.keep(path, mark):  # most of a site is records, which never change
            page = site.page(path, "record.html", None, heading=f"Record {trial_id}", **_context(record, title))
            site.bytes(path, page.encode(), mark)


def _context(record: Record, title: str) -> dict[str, Any]:
    line = record.to_json()
    stored = json.loads(line)
    trial, colour = dataclasses.asdict(record.trial), style.appearance(record.trial.optimizer)[0]
    outcome = f"{record.status}: {record.reason}" if record.reason else record.status
    points = [(p["tokens"], p["val_loss"]) for p in stored["curve"]]
    losses = {
        "status": outcome,
        "final loss (nats/token)": record.val_loss,
        "bits per byte": record.bits_per_byte,
        "training loss (nats/token)": record.train_loss,
        "data epochs": record.data_epochs,
        "purpose": record.purpose,
        "finished at": record.finished_at,
    }
    shape = {k: v for k, v in trial.items() if not isinstance(v, dict)}
    given = record.environment.get("not_stated")  # by an import, of what its source leaves open
    blank = {str(name) for name in given} if isinstance(given, list) else set()
    seed = "" if "seed" in blank else f", seed {trial['seed']}"
    groups = (
        ("Outcome", losses),
        ("Trial", {**shape, **{f"evaluation {k}": v for k, v in trial["evaluation"].items()}}),
        ("Hyperparameters", trial["hyperparameters"]),
        ("Cost", stored["cost"]),
        ("Environment", stored["environment"]),
        ("Optimizer", stored["facts"]),
    )
    return {
        "trial_id": stored["trial_id"],
        "summary": f"{title} at {record.trial.task}, {trial['use']} run{seed}: {outcome}.",
        "curves": Curves(f"Loss curve of record {stored['trial_id']}", [Run("loss", points, colour)]),
        "groups": [
            (name, [(k, "" if k in blank else text.value(v)) for k, v in pairs.items()])
            for name, pairs in groups
            if pairs
        ],
        "json": line,
    }
