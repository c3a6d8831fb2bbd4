"""The tuning pages: what counts as equal to the best, and what a repeated search would have chosen."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmark import store
from benchmark.report import build
from benchmark.report.pages import tuning
from benchmark.studies import studies

Writer = Callable[..., Path]
Records = Callable[..., list]


def edit_cells(results: Path, change: Callable[[str, dict[str, Any]], Mapping[str, Any]]) -> None:
    path = results / "quick" / "sweep.json"
    manifest = json.loads(path.read_text())
    manifest["cells"] = {key: {**c, **change(key, c)} for key, c in manifest["cells"].items()}
    path.write_text(json.dumps(manifest))


def again(results: Path) -> tuple[str, dict[str, str]]:
    """What the first tuning page calls equal, and what it says is to be tuned again, by optimizer."""
    context = next(c for _, c in tuning.pages(studies(store.load(results))[0]))
    return context["bands"], {row["optimizer"]: row["again"] for row in context["sensitive"].shown()}


def test_what_must_be_tuned_again_goes_by_the_band_that_the_search_measured(
    tmp_path: Path, study_of: Records, writer: Writer
) -> None:
    """Muon's best rate moves by an octave, which costs 0.05 nats; report seeds differ by about 0.006."""
    results = writer(tmp_path, "quick", [_moved(r) for r in study_of(("adamw", "muon"))])
    band, verdicts = again(results)
    assert band.startswith("within 0.0")
    assert 0.008 < float(band.split()[1]) < 0.04
    assert verdicts["Muon"] == "peak_lr"
    edit_cells(results, lambda key, _: dict(zip(("optimizer", "task"), key.split("/"), strict=True)))
    edit_cells(results, lambda *_: {"noise": {"sd": 0.01, "df": 3, "band": 0.06}})
    band, verdicts = again(results)
    assert band == "within the 0.0600 nats/token that each search measured"
    assert verdicts["Muon"] == "–"


def _moved(record):
    if record.trial.optimizer != "muon" or record.trial.use != "tuning" or record.val_loss is None:
        return record
    off = math.log2(record.trial.hyperparameters["peak_lr"] / 0.064) + (record.trial.task == "27k-2x")
    return dataclasses.replace(record, val_loss=3 + 0.05 * off**2)


def test_a_repeated_search_is_shown_beside_the_first(tmp_path: Path, study_of: Records, writer: Writer) -> None:
    runs = study_of(("adamw", "muon"))
    repeats = [_other_rate(r) for r in runs if (r.trial.optimizer, r.trial.task) == ("muon", "27k-1x")]
    results = writer(tmp_path / "results", "quick", [*runs, *repeats])
    path = results / "quick" / "sweep.json"
    manifest = json.loads(path.read_text())
    ids = {r.trial.trial_id for r in repeats}
    both = manifest["cells"]["muon/27k-1x"] | {"optimizer": "muon", "task": "27k-1x"}
    first = {k: [i for i in both[k] if i not in ids] for k in ("tuning", "reports")}
    second = {k: [i for i in both[k] if i in ids] for k in ("tuning", "reports")} | {"seed_offset": 100}
    manifest["cells"] |= {"muon/27k-1x": both | first, "muon/27k-1x#100": both | second}
    path.write_text(json.dumps(manifest))
    study = studies(store.load(results))[0]
    (row,) = next(c["repeats"] for _, c in tuning.pages(study) if c["task"] == "27k-1x").shown()
    assert [row[name] for name in ("optimizer", "n", "settings", "seeds")] == ["Muon", "2", "1", "3"]
    assert float(row["highest"]) - float(row["lowest"]) > 0.04
    build(results, tmp_path / "out")
    assert "What another search would have chosen" in (tmp_path / "out/quick/tuning-27k-1x.html").read_text()
    assert "What another search would have chosen" not in (tmp_path / "out/quick/tuning.html").read_text()


def _other_rate(record):
    rate = record.trial.hyperparameters["peak_lr"] * 0.9
    trial = dataclasses.replace(record.trial, hyperparameters={**record.trial.hyperparameters, "peak_lr": rate})
    loss = None if record.val_loss is None else record.val_loss + 0.05
    return dataclasses.replace(record, trial=trial, val_loss=loss)
