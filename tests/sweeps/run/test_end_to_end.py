"""The command from end to end: the sweep `smoke` through Ray to the pages, resumed, and with a user's file."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark
from benchmark import store
from benchmark.kit import admission
from sweeps import __main__ as command
from sweeps.__main__ import main
from sweeps.run import calibrate, step_time, wanted
from sweeps.run.options import parser

ROOT = Path(__file__).parents[3]


def words(folder: Path, *options: str) -> list[str]:
    return ["smoke", "--results", str(folder / "results"), "--out", str(folder / "reports"), *options]


def sweep(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sweeps", *words(folder, *options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    run = sweep(folder)
    assert run.returncode == 0, run.stderr
    (folder / "stdout").write_text(run.stdout)
    return folder


def test_from_nothing_to_an_answer(finished):
    lines = (finished / "stdout").read_text().strip().splitlines()
    assert "AdamW" in lines[0] and "%" in " ".join(lines[:3])
    assert Path(lines[-1].split(": ", 1)[1]).is_file()
    results = store.load(finished / "results")
    assert set(results.runs["status"]) == {"finished"} and not results.damaged
    manifest = results.sweeps["smoke"]
    assert all(cell["complete"] for cell in manifest["cells"].values())
    reports = results.runs[results.runs["use"] == "report"]
    assert set(reports["eval_split"]) == {"test"}
    assert set(reports["seed"]) <= set(manifest["protocol"]["report_seeds"])
    assert "AdamW, again" in {facts["title"] for facts in manifest["optimizers"].values()}


def test_tuning_is_equal(finished):
    manifest = store.load(finished / "results").sweeps["smoke"]
    spent = {
        key: sum(cell["spent"].values())
        for key, cell in manifest["cells"].items()
        if cell["optimizer"] != manifest["baseline"]  # which may go on until its rate is bracketed
    }
    by_task: dict[str, set[int]] = {}
    for key, count in spent.items():
        by_task.setdefault(key.split("/")[1], set()).add(count)
    assert all(len(counts) == 1 for counts in by_task.values()), spent


def test_records_say_where_and_with_what(finished):
    record = next(iter(store.load(finished / "results").by_id.values()))
    assert {"machine", "commit", "packages", "device", "cores_used"} <= set(record.environment)
    assert record.environment["cores_used"] == 1  # a pinned worker
    assert record.facts["title"] and record.facts["state_floats_per_param"] > 0
    assert record.facts["gradients_per_step"] == 1
    assert record.environment["cpu_isa"] and record.environment["session"]
    assert record.cost.train_seconds > 0 and record.cost.eval_seconds > 0 and record.cost.optimizer_flops > 0


def test_running_again_runs_nothing(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in (finished / "results" / "smoke" / "trials").iterdir()}
    assert main(words(finished)) == 0 and "finished already" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (finished / "results" / "smoke" / "trials").iterdir()} == before


def test_a_users_optimizer_joins_and_the_baseline_is_not_run_again(finished, tmp_path, monkeypatch):
    options = ["--executor", "serial", "--optimizers", "adamw", "--reuse", str(finished / "results")]
    mine = ROOT / "examples" / "mine_optax.py"
    run = sweep(tmp_path, *options, "--optimizer", str(mine))
    assert run.returncode == 0, run.stderr
    manifest = json.loads((tmp_path / "results" / "smoke" / "sweep.json").read_text())
    runs = store.load(tmp_path / "results").runs
    mine_ids = set(runs.loc[runs["optimizer"] == "mine_optax", "trial_id"])
    assert mine_ids and mine_ids.isdisjoint(manifest["reused"])
    assert set(manifest["trial_ids"]) - mine_ids == set(manifest["reused"])
    # the baseline's runs are of another day: a step of both was timed anew, in turns
    assert "in turns with AdamW's at 13k" in run.stderr
    study = benchmark.load(tmp_path / "results").each[0]
    assert set(study.step_times["versus"]) == {"adamw@1"} and len(study.step_times) == 1
    mine_steps = study.step_overheads.query("optimizer == 'mine_optax'")["step_overhead"]
    assert set(mine_steps) == set(study.step_times["step_overhead"])
    # and once timed, by rule and machine, it is not timed again
    monkeypatch.setattr(calibrate, "in_processes", lambda *_: pytest.fail("timed again"))
    args = parser("sweeps").parse_args(["smoke", *options, "--optimizer", str(mine)])
    step_time.measure(wanted.named_sweep(args), tmp_path / "results" / "smoke", manifest["reused"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "unknown sweep 'nope'; choose from"),
        (["smoke", "--optimizers", "moun"], "unknown optimizer 'moun' (did you mean 'muon'?); choose from"),
        (["smoke", "--optimizer", "missing.py"], "missing.py"),
        (["smoke", "--corpus", "local:missing"], "no such file or folder"),
        (["smoke", "--corpus", "xyz"], "unknown corpus 'xyz'"),
        (["quick", "--tasks", "27k-3x"], "has no task '27k-3x'"),
        (["smoke", "--max-hours", "1e-6", "--flops-per-second", "1e10"], "even 6 tuning trials per optimizer"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, capsys, tmp_path):
    assert main([*arguments, "--results", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_too_small_a_corpus_says_how_many_tokens_are_there_and_needed(tmp_path, capsys):
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(500)]
    for i in range(20):
        (tmp_path / f"{i}.txt").write_text("\n\n".join(" ".join(rng.choices(words, k=60)) for _ in range(10)))
    assert main(["smoke", "--corpus", f"local:{tmp_path}", "--results", str(tmp_path / "results")]) == 1
    error = capsys.readouterr().err
    assert "133,120" in error and "training tokens" in error and error.count("\n") == 1  # 10 x 13,312


def test_dry_run_prices_and_runs_nothing(tmp_path, capsys):
    stated = ["--flops-per-second", "1e11"]
    assert main(["micro", "--dry-run", "--results", str(tmp_path), *stated]) == 0
    text = capsys.readouterr().out
    assert all(phase in text for phase in ("I ", "II ", "III ", "baseline", "total"))
    assert not list(tmp_path.iterdir())


def test_dry_run_prices_what_fits_the_hours(tmp_path, capsys):
    arguments = ["micro", "--dry-run", "--results", str(tmp_path), "--flops-per-second", "4e11"]
    assert main([*arguments, "--max-hours", "10", "--workers", "2"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("Sweep micro-10h:") and error.startswith("Within 10 hours: at most ")
    trials = int(error.split()[5])
    hours = float(next(line for line in out.splitlines() if line.startswith("total")).split()[6])
    assert 12 <= trials < 40
    assert 6 < hours <= 10  # the price counts the first look alone, the limit all of them


def test_what_was_planned_is_on_disk_before_the_first_trial(tmp_path, monkeypatch):
    """A sweep that is killed at once is resumed with the number of trials that it had."""
    manifest, planned = tmp_path / "quick-1h" / "sweep.json", []
    monkeypatch.setattr(
        command,
        "_execute",
        lambda *_: planned.append(json.loads(manifest.read_text())["protocol"]["max_trials"]),
    )
    one = ["quick", "--optimizers", "adamw", "--own-tuning", "--workers", "1", "--flops-per-second", "3e10"]
    assert main([*one, "--results", str(tmp_path), "--out", str(tmp_path / "out"), "--max-hours", "1"]) == 130
    assert 12 <= planned[0] < 80  # nothing has run


def test_a_sweep_within_hours_is_resumed_as_it_was(finished, tmp_path, capsys):
    options = ["--executor", "serial", "--max-hours", "1", "--flops-per-second", "1e11"]
    assert main(words(tmp_path, *options, "--reuse", str(finished / "results"))) == 0
    assert "Within 1 hours: all of it" in capsys.readouterr().err
    slower = [*options[:-1], "1e9"]  # timed now, nothing would fit, were anything left
    assert main(words(tmp_path, *slower)) == 0
    told = capsys.readouterr().err
    assert "Within 1 hours: all of it" in told and "finished already" in told


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--search", "random"], "quick-random"),
        (["--transfer", "constant"], "quick-constant"),
        (["--transfer", "width", "--search", "random"], "quick-width-random"),
    ],
)
def test_another_policy_is_another_sweep(options, name, tmp_path, capsys):
    assert main(["quick", "--dry-run", "--flops-per-second", "1e11", "--results", str(tmp_path), *options]) == 0
    assert capsys.readouterr().out.startswith(f"Sweep {name}:")


def test_a_file_whose_update_raises_is_refused_before_the_sweep(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        admission, "PATIENCE_SECONDS", 60.0
    )  # on a busy machine there is a word before the error
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import optax\nspace = {'peak_lr': (0.01, 0.02)}\n"
        "def jax_optimizer(learning_rate):\n"
        "    return optax.GradientTransformation(lambda p: optax.EmptyState(), lambda g, s, p=None: 1 / 0)\n"
    )
    assert main(["smoke", "--optimizer", str(mine), "--results", str(tmp_path / "results")]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error and error.count("\n") == 1
