"""Logs of modded-nanogpt's track 3 and of AlgoPerf, as small files made in their formats."""

from pathlib import Path

import pytest

from benchmark import store
from benchmark.published import __main__ as command

SCRIPT = (
    'batch_size = 8 * 64 * 1024\nloader("data/fineweb10B/train.bin")\n'
    "model = GPT(vocab_size=50304, num_layers=12, model_dim=768).cuda()\n{rule}\n"
    "Running PyTorch 2.10.0+cu128 compiled for CUDA 12.8\n{seed}{rule}\n"
)


def _log(path: Path, steps: int, loss: str, seed: str = "", unit: str = "s", end: int = 0) -> None:
    lines = [SCRIPT.format(rule="=" * 100, seed=f"Using seed={seed}\n" if seed else "")]
    for step in (0, 125, end or steps):
        value = loss if step == steps else f"{10.82584 - step / 100:.5f}"
        lines.append(f"step:{step}/{steps} val_loss:{value} train_time:{step * 2}{unit} step_avg:200.00ms\n")
        lines.append(f"step:{step + 1}/{steps} train_time:{step * 2 + 1}{unit} step_avg:200.00ms\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def _track3(tmp_path: Path) -> Path:
    logs = tmp_path / "track3"
    _log(logs / "20260310_muon" / "a.txt", 3500, "3.27900")
    _log(logs / "20260310_muon" / "b.txt", 3500, "3.27800")
    _log(logs / "20260310_muon" / "c.txt", 3000, "3.30000")
    _log(logs / "20260430_muonh" / "x.txt", 3250, "3.27900", unit="ms")
    _log(logs / "20260430_muonh" / "y.txt", 3250, "nan")
    _log(logs / "20260430_muonh" / "z.txt", 3250, "3.27900", end=500)
    (logs / "20260430_muonh" / "README.txt").write_text("no log")
    return logs


def test_track_3_gives_steps_losses_and_curves(tmp_path: Path, capsys) -> None:
    options = [
        "--modded-nanogpt",
        str(_track3(tmp_path)),
        "--results",
        str(tmp_path / "r"),
        "--baseline",
        "muon",
    ]
    assert command.main(options) == 0
    said = capsys.readouterr().out
    assert "muon: 3,500 steps, mean loss 3.2785 (n = 2), at or below 3.28" in said
    assert "muonh: 3,250 steps, mean loss 3.2790 (n = 1, 2 without a final loss), at or below 3.28" in said
    assert "no log: README.txt" in said and "not stated, left blank: seed, precision" in said
    results = store.load(tmp_path / "r")
    runs = results.runs.set_index(["optimizer", "steps", "seed"])
    one = runs.loc[("muon", 3500, 0)]
    assert one.tokens == 3500 * 524_288 and one.backend == "torch" and one.corpus == "fineweb10B"
    assert one.chinchilla_ratio == pytest.approx(3500 * 524_288 / (20 * 84_934_656), rel=1e-4)
    assert runs.loc[("muonh", 3250, 1)].status == "diverged"
    assert runs.loc[("muonh", 3250, 2)].reason == "the log ends at step 500 of 3250"
    curve = results.curves[results.curves.trial_id == runs.loc[("muonh", 3250, 0)].trial_id]
    assert curve.step.tolist() == [0, 125, 3250] and curve.seconds.tolist() == [0, 0.25, 6.5]
    assert results.sweeps["track3"]["tasks"][0]["num_params"] == 84_934_656


def test_track_3_logs_state_their_seeds(tmp_path: Path) -> None:
    _log(tmp_path / "soap" / "one.txt", 3148, "3.27888", seed="7")
    options = ["--modded-nanogpt", str(tmp_path / "soap" / "one.txt"), "--results", str(tmp_path / "r")]
    assert command.main([*options, "--given", "optimizer=soap", "--baseline", "soap"]) == 0
    results = store.load(tmp_path / "r")
    assert results.runs.seed.tolist() == [7] and results.sweeps["one"]["not_stated"] == ["precision"]


def _algoperf(tmp_path: Path, workload: str = "finewebedu_lm_jax", name: str = "eval_measurements.csv") -> Path:
    head = "accumulated_submission_time,global_step,score,total_duration,validation/loss,validation/ppl\n"
    for submission, best in (("adamw", 3.10), ("nadamw", 3.08)):
        for study in (0, 1):
            for trial, worse in ((1, 0.02), (2, 0.0)):
                loss = best + worse + study / 1000
                path = tmp_path / "ap" / submission / f"study_{study}" / workload / f"trial_{trial}" / name
                path.parent.mkdir(parents=True)
                rows = f"0.4,1,0.4,9,10.9,54176\n,50,,,,\n28800,72000,28800,40000,{loss},22.2\n"
                path.write_text(head + rows)
    return tmp_path / "ap"


@pytest.mark.parametrize("name", ["eval_measurements.csv", "measurements.csv"])
def test_algoperf_gives_its_language_model_s_best_trials(tmp_path: Path, name: str, capsys) -> None:
    folder = _algoperf(tmp_path, name=name)
    other = folder / "adamw" / "study_0" / "wmt_jax" / "trial_1" / name
    other.parent.mkdir(parents=True)
    other.write_text("global_step,score,validation/loss,validation/bleu\n1000,400,1.4,30\n")
    options = ["--algoperf", str(folder), "--results", str(tmp_path / "r"), "--given", "batch_size=256"]
    assert command.main(options) == 0
    said = capsys.readouterr().out
    assert "left out, no language model's loss: wmt" in said
    assert "finewebedu_lm: 8 trials, lowest validation/loss 3.0800 after 72,000 steps and 28,800 s" in said
    runs = store.load(tmp_path / "r").runs.set_index(["optimizer", "seed"])
    assert runs.val_loss.round(6).to_dict() == {
        ("adamw", 0): 3.10, ("adamw", 1): 3.101, ("nadamw", 0): 3.08, ("nadamw", 1): 3.081,
    }  # fmt: skip
    assert runs.loc[("adamw", 0)].tokens == 72_000 * 256 * 1024 and set(runs.backend) == {"jax"}
    assert runs.loc[("adamw", 0)].purpose == "trial 2, the lowest of 2 of study 0"
    cells = store.load(tmp_path / "r").sweeps["ap"]["cells"].values()
    assert all({"tuning budget unknown", "lowest of its study's trials"} <= set(c["badges"]) for c in cells)


@pytest.mark.parametrize(
    ("kind", "make", "given", "message"),
    [
        ("--algoperf", _algoperf, "", "--given batch_size=256"),
        ("--algoperf", _algoperf, "batch_size=x", "'x' is none: --given batch_size=256"),
        ("--algoperf", lambda p: _algoperf(p, "wmt_jax"), "batch_size=256", "no trial of finewebedu_lm"),
        ("--algoperf", lambda p: p, "", "no eval_measurements.csv or measurements.csv below it"),
        ("--modded-nanogpt", lambda p: p, "", "no logs there"),
        ("--modded-nanogpt", lambda p: _track3(p) / "20260310_muon" / "a.txt", "", "--given optimizer=NAME"),
        (
            "--modded-nanogpt",
            lambda p: _track3(p) / "20260430_muonh" / "README.txt",
            "",
            "is this a log of track 3?",
        ),
        ("--modded-nanogpt", _track3, "", "no losses of the baseline 'adamw'; there are muon, muonh"),
        ("--modded-nanogpt", lambda p: p / "none", "", "no logs there"),
    ],
)
def test_what_a_source_lacks_is_one_line_with_a_remedy(
    tmp_path: Path, kind, make, given, message, capsys
) -> None:
    options = [kind, str(make(tmp_path)), "--results", str(tmp_path / "r"), "--given", given]
    assert command.main(options) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
