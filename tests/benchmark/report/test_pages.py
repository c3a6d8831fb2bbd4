"""What single pages say, for studies that are not the ordinary one."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmark import store
from benchmark.report import answer, build, charts, style, text
from benchmark.report.board import BADGES, board, place
from benchmark.report.pages import cells, leaderboard, speedup
from benchmark.studies import studies

Writer = Callable[..., Path]
Study = Callable[..., list]


def page(results: Path, out: Path, name: str) -> str:
    build(results, out)
    return (out / name).read_text()


def test_a_row_holds_the_numbers_of_its_records(results: Path) -> None:
    study = studies(store.load(results))[0]
    task = next(t for t in study.tasks if t.name == "27k-2x")
    muon = next(row for row in board(study, task).rows if row.optimizer == "muon")
    losses = [
        r.val_loss
        for r in study.by_id.values()
        if (r.trial.optimizer, r.trial.task, r.trial.use) == ("muon", "27k-2x", "report")
    ]
    assert muon.val_loss == pytest.approx(sum(losses) / 3)
    assert (muon.n, muon.trials, muon.tuning_tokens) == (3, 5, 5 * task.tokens)
    assert muon.state_bytes_per_param == pytest.approx(8.0)
    assert muon.overhead == pytest.approx(0.15, abs=0.01)
    assert set(muon.speedups) == {"tokens", "seconds", "FLOPs"}


def test_two_gradients_a_step_show_a_speedup_per_gradient(
    results: Path, tmp_path: Path, study_of: Study, writer: Writer
) -> None:
    """And where all take one there is no such column (`results`)."""
    runs = [
        dataclasses.replace(r, facts={**r.facts, "gradients_per_step": 1.0 + (r.trial.optimizer == "muon")})
        for r in study_of(("adamw", "muon"))
    ]
    study = studies(store.load(writer(tmp_path / "results", "quick", runs)))[0]
    per_token, per_gradient = (
        study.metrics[m].set_index(["optimizer", "task"]) for m in ("tokens", "gradients")
    )
    assert per_gradient.speedup["muon", "27k-2x"] == pytest.approx(per_token.speedup["muon", "27k-2x"] / 2)
    columns = {c.name: c for c in leaderboard.page(study)["columns"]}
    row = next(r for r in board(study, study.headline).rows if r.optimizer == "muon")
    assert columns["gradients"].show(row).startswith(text.times(row.speedups["tokens"].speedup / 2))
    assert "a step evaluates 2" in cells.per_gradient(study, "muon", "27k-2x")
    plain = studies(store.load(results))[0]
    assert "gradients" not in {c.name for c in leaderboard.page(plain)["columns"]}
    assert cells.per_gradient(plain, "muon", "27k-2x") == ""


def test_runs_of_different_machines_show_no_step_time_and_say_that_losses_may_differ(
    tmp_path: Path, study_of: Study, writer: Writer
) -> None:
    where = {"cpu": "EPYC", "cpu_family": 25, "cpu_model": 17, "cpu_isa": ["avx2"], "session": "aaaa"}
    machines = {"adamw": where, "muon": {**where, "session": "bbbb"}, "lion": {**where, "cpu_model": 1}}
    runs = [dataclasses.replace(r, environment=machines[r.trial.optimizer]) for r in study_of(tuple(machines))]
    study = studies(store.load(writer(tmp_path / "results", "quick", runs)))[0]
    found = {r.optimizer: r for r in board(study, study.headline).rows}
    step = next(c for c in leaderboard.COLUMNS if c.name == "step")
    assert {o: step.show(r) for o, r in found.items()} == {
        "adamw": text.MISSING, "muon": "timed apart", "lion": "timed apart",
    }  # fmt: skip
    assert {o for o, r in found.items() if "other CPU" in r.badges} == {"lion"}
    assert "0.0014 nats" in BADGES["other CPU"] and "seconds" not in study.metrics


def test_one_seed_has_no_interval_and_says_so(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    """In every row, and once where every row of three and more would say it."""
    ratios = {"adamw": ("0.5", "1", "2", "4"), "muon": ("1", "2"), "soap": ("2",), "lion": ("2",)}
    runs = [r for r in study_of(tuple(ratios), ratios) if r.trial.use == "tuning" or r.trial.seed == 101]
    results = writer(tmp_path / "results", "quick", runs)
    assert "no interval, n\u00a0=\u00a01 run over 1 search)" in answer(store.load(results), "quick")[0]
    index = page(results, tmp_path / "out", "index.html")
    assert len(re.findall(r'class="badge"[^>]*>single seed<', index)) == 4
    assert "<dt>single seed</dt><dd>one report seed" in index
    assert "≈ inseparable" not in index
    board = index[index.index('id="27k-2x"') :]
    board = board[: board.index("</section>")]
    assert "Every row here: <b>single seed</b>" in board
    assert 'class="badge"' not in board


def test_a_sweep_without_a_baseline_has_no_answer_yet(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    results = writer(tmp_path / "results", "quick", study_of(("muon", "lion")))
    assert answer(store.load(results), "quick")[0].startswith("No comparison yet")
    assert "No comparison yet" in page(results, tmp_path / "out", "index.html")


def test_a_baseline_alone_is_no_comparison(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    results = writer(tmp_path / "results", "quick", study_of(("adamw",)))
    assert answer(store.load(results), "quick")[0] == "No comparison yet: only AdamW finished report runs."
    index = page(results, tmp_path / "out", "index.html")
    assert "<b>1</b>" in index
    assert "nan" not in index


def test_where_everything_diverged_nothing_is_called_inseparable(
    tmp_path: Path, study_of: Study, writer: Writer
) -> None:
    gone = {"status": "diverged", "reason": "loss is not finite at step 40", "val_loss": None, "curve": ()}
    runs = [dataclasses.replace(r, **gone) for r in study_of(("adamw", "muon"))]
    results = writer(tmp_path / "results", "quick", runs)
    assert answer(store.load(results), "quick")[0] == "No comparison yet: no report run has finished."
    index = page(results, tmp_path / "out", "index.html")
    assert "≈ inseparable" not in index
    assert '<span class="quiet">diverged</span>' in index
    assert "≈ inseparable" not in (tmp_path / "out" / "quick" / "speedup.html").read_text()


def test_progress_counts_records_and_not_what_is_asked_for(
    tmp_path: Path, study_of: Study, writer: Writer
) -> None:
    runs = study_of(("adamw",))
    results = writer(tmp_path / "results", "quick", runs)
    kept = [r for r in runs if r.trial.use == "tuning"][:3]
    lines = "".join(r.to_json() + "\n" for r in kept)
    (results / "quick" / "trials.jsonl").write_text(lines)
    assert "3 of 20 tuning trials and 0 report runs are in" in page(
        results, tmp_path / "out", "quick/progress.html"
    )


def test_an_unfinished_sweep_shows_its_progress(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    runs = [r for r in study_of() if (r.trial.optimizer, r.trial.use) != ("lion", "report")]
    results = writer(tmp_path / "results", "quick", runs)
    index = page(results, tmp_path / "out", "index.html")
    assert "8 of 10 cells are complete" in index
    progress = (tmp_path / "out" / "quick" / "progress.html").read_text()
    assert "5/5 tuned, no report run yet" in progress
    cells = r'Muon</th><td>27k-2x</td><td class="num">1\.\d\d×</td><td class="num">\[1\.\d\d, 1\.\d\d\]</td>'
    assert re.search(cells, progress)


def test_records_without_a_manifest_are_shown(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    results = writer(tmp_path / "results", "quick", study_of(("adamw", "muon")))
    (results / "quick" / "sweep.json").unlink()
    assert "to reach Muon&#39;s loss, the lowest test loss of 2 optimizers at 27k-2x" in page(
        results, tmp_path / "out", "index.html"
    )


def test_every_search_of_a_cell_enters_the_comparison(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    """Also where an older manifest names a second search by the offset of its seeds."""
    again = [r for r in study_of(("muon",)) if r.trial.task == "27k-1x"]
    repeats = [_with_lr(r, 0.9) for r in again]
    both = writer(tmp_path / "both", "quick", [*study_of(("adamw", "muon")), *repeats])
    manifest = json.loads((both / "quick" / "sweep.json").read_text())
    ids = {r.trial.trial_id for r in repeats}
    cell = manifest["cells"]["muon/27k-1x"]
    kept = {k: [i for i in cell[k] if i not in ids] for k in ("tuning", "reports")}
    gone = {k: [i for i in cell[k] if i in ids] for k in ("tuning", "reports")}
    manifest["cells"] |= {"muon/27k-1x": {**cell, **kept}, "muon/27k-1x#100": {**cell, **gone}}
    (both / "quick" / "sweep.json").write_text(json.dumps(manifest))
    study = studies(store.load(both))[0]
    row = study.speedups.query("optimizer == 'muon' and task == '27k-1x'").iloc[0]
    assert (row["n"], row["searches"]) == (6, 2)
    reports = [study.by_id[i].val_loss for i in (*kept["reports"], *gone["reports"])]
    assert row["val_loss"] == pytest.approx(sum(reports) / 6)
    assert len(study.winners("muon", "27k-1x")) == 2
    assert "choosing_sd given" not in row["flags"]


def _with_lr(record, factor: float):
    changed = {**record.trial.hyperparameters, "peak_lr": record.trial.hyperparameters["peak_lr"] * factor}
    trial = dataclasses.replace(record.trial, hyperparameters=changed)
    return dataclasses.replace(record, trial=trial, val_loss=record.val_loss and record.val_loss + 0.01)


def test_what_lies_beside_the_records_is_shown(tmp_path: Path, study_of: Study, writer: Writer) -> None:
    """Parity of built-in rules, a damaged line, and published figures, which are marked as theirs."""
    results = writer(tmp_path / "results", "quick", study_of(("adamw", "muon")))
    theirs = study_of(("adamw", "soap"))
    writer(results, "published-x", theirs[::-1], published=True, title="Their study")
    with (results / "quick" / "trials.jsonl").open("a") as file:
        file.write('{"half": \n')
    row = {"max_abs_deviation_per_step": 2.2e-15, "steps": 20, "dtype": "float64", "oracle": "another Muon"}
    rest = {"oracle_deviation": 3e-13, "lm_curve_deviation": None, "note": ""}
    table = {"rows": [{"optimizer": "muon", **row, **rest}]}
    (results / "quick" / "parity.json").write_text(json.dumps(table))
    muon = page(results, tmp_path / "out", "quick/optimizers/muon.html")
    assert "against another Muon" in muon
    assert "3.0e-13" in muon
    assert "Parity" not in (tmp_path / "out" / "quick" / "optimizers" / "adamw.html").read_text()
    assert "not a record (JSONDecodeError" in (tmp_path / "out" / "quick" / "method.html").read_text()
    index = (tmp_path / "out" / "index.html").read_text()
    assert "Not our runs" not in index
    assert 'href="published-x/index.html">Published</a>' in index
    assert "Not our runs" in (tmp_path / "out" / "published-x" / "speedup.html").read_text()


def test_the_worst_case_of_a_left_out_point_is_told() -> None:
    """Without its last point a baseline's curve may never reach a loss: an infinite change."""
    columns = ["scale", "baseline_ratio", "optimizer", "chinchilla_ratio", "speedup", "without", "change"]
    found = [("27k", 1.0, "muon", 2.0, 1.4, 1.5, 0.1), ("27k", 2.0, "muon", 2.0, 1.4, math.inf, math.inf)]
    unknown = ("27k", 1.0, "soap", 2.0, 1.4, math.nan, math.nan)
    (worst,) = speedup._largest_changes(pd.DataFrame([*found, unknown], columns=columns)).to_dict("records")
    assert (worst["optimizer"], worst["baseline_ratio"], worst["change"]) == ("muon", 2.0, math.inf)


def test_what_a_chart_cuts_its_tooltip_tells() -> None:
    frame = pd.DataFrame({"speedup": [1.5, math.inf], "lo": [1.2, 3.0], "hi": [1.8, math.inf]})
    drawn = charts.capped(frame)
    assert drawn["drawn"].tolist() == [1.5, 4.0]
    assert drawn["hi"].tolist() == [1.8, 4.0]
    assert drawn["speedup"].tolist() == ["1.50×", "∞×"]
    assert drawn["interval"].tolist() == ["[1.20, 1.80]", "[3.00, ∞]"]
    assert "above 4×" in charts.cut(drawn)
    assert charts.cut(drawn.iloc[:1]) == ""


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.fixed(-0.0314, 2), "−0.03"),
        (text.fixed(math.inf), "∞"),
        (text.times(math.nan), "–"),
        (text.interval(0.9, math.inf), "[0.90, ∞]"),
        (text.tokens(2_684_354_560), "2.68B"),
        (text.quantity(999_950), "1M"),
        (text.percent(-0.004), "0 %"),
        (text.percent(0.15), "+15 %"),
        (text.names(["a", "b", "c"]), "a, b and c"),
        (text.value(1e-10), "1e-10"),
    ],
)
def test_numbers_as_a_reader_sees_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_looks_are_distinct_and_readable_on_both_grounds() -> None:
    known = (
        "adamw",
        "nadamw",
        "lion",
        "mars",
        "cautious",
        "adam_mini",
        "sophia",
        "muon",
        "soap",
        "kron",
        "scion",
    )
    assert len({style.appearance(name) for name in known}) == len(known)
    for name in (*known, "mine", "yours"):
        colour = style.appearance(name)[0]
        assert min(_contrast(colour, ground) for ground in ("#fdfcfa", "#16181b")) >= 3, name


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_bars_lie_on_a_log_axis() -> None:
    assert place(1.0, (0.5, 2.0)) == 50.0
    assert place(math.inf, (0.5, 2.0)) == 100.0
    assert place(0.1, (0.5, 2.0)) == 0.0
