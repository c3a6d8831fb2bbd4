"""The published results as records, and importers for anyone else's."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark import store
from benchmark.analysis.speedup import speedups
from benchmark.published import __main__ as command
from benchmark.published import fantastic, importers

REPOSITORY = Path(__file__).parents[3]


def test_the_table_has_the_126_cells() -> None:
    for era in ("paper", "latest"):
        frame = fantastic.losses(era)
        assert frame.groupby("scale").size().to_dict() == {"130m": 44, "300m": 41, "520m": 41}
        assert not frame.duplicated(fantastic.CELL).any()


def test_speedups_equal_the_study_s_formula() -> None:
    """Its formula by hand: scipy's curve_fit from its starting point on AdamW's 1x to 8x, then inverted."""
    from scipy.optimize import curve_fit

    for era in ("paper", "latest"):
        frame = fantastic.losses(era)
        got = (
            speedups(frame, noise_sd=0.0015, n_bootstrap=100, method="study").set_index(fantastic.CELL).speedup
        )
        worst = 0.0
        for scale, cells in frame.groupby("scale"):
            base = cells[cells.optimizer == "adamw"].sort_values("chinchilla_ratio")
            r, y = base.chinchilla_ratio.to_numpy(float), base.val_loss.to_numpy()
            start = [y[0] - y[-1], 0.5, y[-1]]
            (alpha, power, beta), _ = curve_fit(lambda x, a, b, c: a * x**-b + c, r, y, start, maxfev=10000)
            for cell in cells[cells.optimizer != "adamw"].itertuples():
                d_eff = ((cell.val_loss - beta) / alpha) ** (-1 / power)
                mine = got[cell.optimizer, scale, cell.chinchilla_ratio]
                worst = max(worst, abs(mine - d_eff / cell.chinchilla_ratio))
        assert worst < 0.005


def test_the_committed_results_set_is_what_the_command_writes(tmp_path: Path) -> None:
    assert command.main(["--results", str(tmp_path)]) == 0
    for name in ("trials.jsonl", "sweep.json"):
        committed = REPOSITORY / "results" / fantastic.NAME / name
        assert (tmp_path / fantastic.NAME / name).read_bytes() == committed.read_bytes()


def test_every_published_record_reads_back_marked_as_not_ours(tmp_path: Path) -> None:
    command.main(["--results", str(tmp_path)])
    results = store.load(tmp_path)
    runs = results.runs
    assert not results.damaged
    assert set(runs.rule) == {f"{name}@published" for name in fantastic.facts()}
    assert set(runs.seed) == {0} and set(runs.corpus) == {"dclm-mixture"}
    assert set(results.sweeps[fantastic.NAME]["trial_ids"]) == set(runs.trial_id)
    report = runs[runs.use == "report"].set_index(fantastic.CELL)
    assert report.loc[("muon", "130m", 1), "val_loss"] == 3.4626309871673584
    assert report.loc[("adamw", "130m", 1), "steps"] == 5120
    assert (runs[runs.status == "diverged"].reason.str.contains("above 6")).all()
    assert runs[runs.status == "finished"].val_loss.lt(6).all()


def test_figure_one_is_there_with_its_recipe() -> None:
    found = {r.purpose: r for r in fantastic.records()}
    recipe = found["GPT-3-style recipe, read off figure 1"]
    assert recipe.val_loss == 3.5886 and recipe.trial.hyperparameters["peak_lr"] == 0.0006
    curves = [r for r in fantastic.records() if r.curve and r.trial.use == "report"]
    assert {r.trial.optimizer for r in curves} == {"adamw", "nadamw", "mars"}
    assert all(abs(r.curve[-1].val_loss - (r.val_loss or math.nan)) < 1e-4 for r in curves)


def _result(folder: Path, **changes: object) -> None:
    body = {
        "best_config": {"learning_rate": 0.008, "train_batch_size": 128, "epsilon": 9.999999999999999e-26},
        "baseline": {"loss": 3.53},
        "ablations": [
            {"param": "learning_rate", "value": 0.004, "loss": 3.52},
            {"param": "learning_rate", "value": 0.032, "loss": 7.8},
            {"param": "learning_rate", "value": 0.064, "loss": "NaN"},
        ],
        "min_loss": 3.52,
    } | changes
    path = folder / "mini" / "130m" / "1" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(body))


def test_result_json_becomes_tuning_runs_and_a_report_run(tmp_path: Path) -> None:
    _result(tmp_path)
    found = importers.from_result_json(tmp_path)
    assert [r.status for r in found] == ["finished", "finished", "diverged", "diverged", "finished"]
    assert [r.trial.use for r in found] == ["tuning"] * 4 + ["report"]
    best = found[-1].trial
    assert best.optimizer == "adam_mini"
    assert best.hyperparameters == {"peak_lr": 0.004, "batch_size": 128, "eps": 1e-25}


def test_result_json_that_is_none_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no OPTIMIZER/SCALE/RATIO/result\.json"):
        importers.from_result_json(tmp_path)
    _result(tmp_path, ablations=7)
    with pytest.raises(ValueError, match=r"mini/130m/1/result\.json: not a result\.json"):
        importers.from_result_json(tmp_path)


def test_a_csv_of_losses_becomes_a_results_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "optimizer,scale,chinchilla_ratio,seed,val_loss,num_params,hp.peak_lr,family\n"
        "adamw,9k,1,0,4.5,9000,0.01,\nadamw,9k,1,1,4.6,9000,0.01,\nshiny,9k,1,0,,9000,0.1,matrix\n"
    )
    assert command.main(["--results", str(tmp_path / "r"), "--csv", str(path)]) == 0
    results = store.load(tmp_path / "r")
    runs = results.runs.set_index(["optimizer", "seed"])
    assert runs.loc[("adamw", 1), "val_loss"] == 4.6 and runs.loc[("adamw", 0), "tokens"] == 180_000
    assert runs.loc[("shiny", 0), "status"] == "diverged" and runs.loc[("shiny", 0), "hp.peak_lr"] == 0.1
    assert results.sweeps["mine"]["optimizers"]["shiny"]["family"] == "matrix"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer,scale,val_loss\na,27k,3\n", "no column 'chinchilla_ratio'"),
        ("optimizer,scale,chinchilla_ratio,val_loss\n", "no rows"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1,3\na,27k,1,4\n", "line 3 repeats"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,9k,1,3\n", "add a column num_params"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,-1,3\n", "positive chinchilla_ratio"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1,low\n", "line 2: val_loss 'low'"),
        ("", "not a CSV"),
        ("optimizer,optimizer,scale,chinchilla_ratio,val_loss\na,a,27k,1,3\n", "two columns 'optimizer'"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1\n", "line 2 has 3 cells, but the header names 4"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1,3,4\n", "line 2 has 5 cells"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,one,3\n", "chinchilla_ratio 'one' is no number"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,inf,3\n", "positive chinchilla_ratio is needed"),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1,-inf\n", "no loss in nats per token"),
        ("optimizer,scale,chinchilla_ratio,val_loss\n,27k,1,3\n", "line 2: no optimizer is named"),
        ("optimizer,scale,chinchilla_ratio,seed,val_loss\na,27k,1,0.5,3\n", "seed '0.5' is no whole number"),
        ("optimizer,scale,chinchilla_ratio,val_loss,num_params\na,9k,1,3,many\n", "num_params 'many'"),
        ("optimizer,scale,chinchilla_ratio,val_loss,family\na,27k,1,3,odd\n", "neither scalar nor matrix"),
        (
            "optimizer,scale,chinchilla_ratio,val_loss,corpus\na,27k,1,3,c4\nb,27k,1,3,pile\n",
            "2 corpora (c4, pile)",
        ),
        ("optimizer,scale,chinchilla_ratio,val_loss\na,27k,1,3\n", "name one with --baseline"),
    ],
)
def test_a_bad_csv_is_one_clear_line(tmp_path: Path, text: str, message: str, capsys) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert command.main(["--results", str(tmp_path), "--csv", str(path)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_cannot_be_read_or_written_is_one_clear_line(tmp_path: Path, capsys) -> None:
    good = tmp_path / "good.csv"
    good.write_text("optimizer,scale,chinchilla_ratio,val_loss\nadamw,27k,1,3\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for source, results, message in (
        (tmp_path, tmp_path, "cannot be read (Is a directory)"),
        (tmp_path / "none.csv", tmp_path, "cannot be read (No such file or directory)"),
        (tmp_path / "bytes.csv", tmp_path, "not a CSV ('utf-8' codec"),
        (good, good, f"cannot write below {good} (Not a directory)"),
    ):
        assert command.main(["--results", str(results), "--csv", str(source)]) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_baseline_of_another_name_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("optimizer,scale,chinchilla_ratio,val_loss\nAdamW,27k,1,3\nmuon,27k,1,2.9\n")
    assert command.main(["--results", str(tmp_path), "--csv", str(path), "--baseline", "AdamW"]) == 0
    assert store.load(tmp_path).sweeps["mine"]["baseline"] == "AdamW"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best_config": {"learning_rate": 0.008}}, "it lacks 'train_batch_size'"),
        (
            {"best_config": {"learning_rate": "fast", "train_batch_size": 8}},
            "learning_rate 'fast' is no number",
        ),
        ({"baseline": {"loss": "low"}}, "loss 'low' is no number"),
        ({"min_loss": "low"}, "loss 'low' is no number"),
        ({"baseline": {}}, "it lacks 'loss'"),
    ],
)
def test_a_bad_result_json_is_one_clear_line(tmp_path: Path, changes: dict, message: str, capsys) -> None:
    _result(tmp_path / "in", **changes)
    assert command.main(["--results", str(tmp_path), "--result-json", str(tmp_path / "in")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_results_set_stays_below_results(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        importers.results_set(Path("results"), name)


def test_the_tables_travel_with_the_package() -> None:
    folder = Path(fantastic.__file__).parent / "data"
    assert {p.stem for p in folder.glob("*.csv")} == {
        "ablations", "figure1", "grids", "ground_states", "losses", "optimizers",
    }  # fmt: skip
    assert isinstance(fantastic.table("grids"), pd.DataFrame)
