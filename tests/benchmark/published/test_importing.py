"""Tables as people have them: what is read as what, what is asked about, and what the pages then say."""

import gzip
from pathlib import Path

import pytest

from benchmark import store
from benchmark.published import __main__ as command
from benchmark.published import progress
from benchmark.report.pages import cells, leaderboard, method, records
from benchmark.report.site import Site
from benchmark.studies import studies

HEAD = "optimizer,scale,chinchilla_ratio,val_loss\n"
WANDB = (
    '"Name","State","optimizer","model_size","chinchilla","seed","eval/loss","learning_rate","Runtime"\n'
    '"a-1","finished","AdamW","130M","1","0","3.5213","0.008","10321"\n'
    '"m-1","finished","muon","130M","1","0","3.4612","0.02","11021"\n'
    '"m-2","crashed","muon","130M","1","1","","0.02","12"\n'
    '"m-3","running","muon","130M","1","2","4.1","0.02","12"\n'
)


def _import(tmp_path: Path, table: str | bytes, *more: str) -> int:
    path = tmp_path / "t.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return command.main(["--csv", str(path), "--results", str(tmp_path / "r"), *more])


def _losses(tmp_path: Path) -> dict[tuple[str, str], float]:
    runs = store.load(tmp_path / "r").runs
    return {(r.optimizer, r.task): round(r.val_loss, 6) for r in runs.itertuples()}


TWO = {("adamw", "130m-1x"): 3.52, ("muon", "130m-1x"): 3.46}


def _table(head: str, *rows: str, end: str = "\n") -> str:
    return "".join(line + end for line in (head, *rows))


OURS = HEAD.strip()


@pytest.mark.parametrize(
    ("table", "more", "losses"),
    [
        (_table(OURS.replace(",", ";"), "adamw;130m;1;3,52", "muon;130m;1;3,46"), "", TWO),
        (_table(OURS.replace(",", "\t"), "adamw\t130M\t1x\t3,52", "muon\t130M\t1\t3,46"), "", TWO),
        (_table(OURS, 'adamw,130m,"1,0","3,52"', 'muon,130M,"1,0","3,46"'), "", TWO),
        (_table(OURS, "adamw,130m,1,3.52", "muon,130m,1,3.46").encode("utf-16"), "", TWO),
        (_table(OURS, "adamw,130m,1,3.52", "muon,0.13B,1,3.46", end="\r"), "", TWO),
        (
            _table("# mine", "", OURS, "adamw,130m,1,3.52", "", "# b", "muon,130m,1,3.46").encode("utf-8-sig"),
            "",
            TWO,
        ),
        (
            _table(
                "config.optimizer,config.model_size,config.chinchilla,summary/val_loss,_step",
                "adamw,130m,1,3.52,9",
                "muon,130m,1,3.46,9",
            ),
            "",
            TWO,
        ),
        (
            _table(
                "run_id,status,params.optimizer,params.model_size,params.chinchilla_ratio,metrics.val_loss",
                "1,FINISHED,adamw,130m,1,3.52",
                "2,FINISHED,muon,130m,1,3.46",
            ),
            "",
            TWO,
        ),
        (
            _table(
                "trial_id,hparams/optimizer,hparams/model_size,hparams/ratio,hparams/lr,metrics/val/loss",
                "1,adamw,130m,1,.01,3.52",
                "2,muon,130m,1,.02,3.46",
            ),
            "",
            TWO,
        ),
        (
            _table("o,size,r,loss,train/loss", "adamw,130m,1,3.52,3", "muon,130m,1,3.46,3"),
            "--columns optimizer=o,ratio=r,loss=loss",
            TWO,
        ),
        (_table("optimizer,val_loss", "adamw,3.52", "muon,3.46"), "--given scale=130m,ratio=1", TWO),
        (_table(OURS, "adamw,130m,0.999,3.52", "muon,130m,1.0,3.46"), "", TWO),
        (
            _table("optimizer,scale,tokens_per_parameter,val_loss", "adamw,130m,20,3.52", "muon,130m,20,3.46"),
            "",
            TWO,
        ),
        (
            _table("optimizer,scale,tokens,val_loss", "adamw,130m,2.6B,3.52", "muon,130m,2.61e9,3.46"),
            "",
            {("adamw", "130m-0.968575x"): 3.52, ("muon", "130m-0.968575x"): 3.46},
        ),
        (
            _table(
                "optimizer,num_params,tokens,val_loss",
                "adamw,1.2B,24B,3.1",
                "muon,1200M,2.4e10,3.0",
                "adamw,130m,2.6B,3.5",
            ),
            "",
            {("adamw", "1.2b-1x"): 3.1, ("muon", "1.2b-1x"): 3.0, ("adamw", "130m-1x"): 3.5},
        ),
        (
            _table("optimizer,scale,num_params,ratio,val_loss", "adamw,mine,1e8,1,3.5", "muon,mine,100M,1,3.4"),
            "",
            {("adamw", "mine-1x"): 3.5, ("muon", "mine-1x"): 3.4},
        ),
        (
            _table(OURS, "adamw,130m,1,33.8", "muon,130m,1,31.7"),
            "--loss-is perplexity",
            {("adamw", "130m-1x"): 3.520461, ("muon", "130m-1x"): 3.456317},
        ),
        (
            _table(OURS, "adamw,130m,1,5", "muon,130m,1,4"),
            "--loss-is bits",
            {("adamw", "130m-1x"): 3.465736, ("muon", "130m-1x"): 2.772589},
        ),
        (
            _table(OURS, 'adamw,130m,1,"3,521"', 'muon,130m,1,"3,461"'),
            "--decimal comma",
            {("adamw", "130m-1x"): 3.521, ("muon", "130m-1x"): 3.461},
        ),
        (_table("seed," + OURS, "0,adamw,130m,1,3.52", "0,adamw,130m,1,3.52", "0,muon,130m,1,3.46"), "", TWO),
        (_table(OURS, "adamw,130m,x1,3.52", "muon,130m,20 tok/param,3.46"), "", TWO),
        (
            _table("optimizer,scale,D/N,Val loss (nats/token)", "adamw,130m,20,3.52", "muon,130m,20,3.46"),
            "",
            TWO,
        ),
        (
            _table('optimizer,scale,"chinchilla\nratio",val_loss', "adamw,130m,1,3.52", "muon,130m,1,3.46"),
            "",
            TWO,
        ),
        (
            _table(
                "| optimizer | scale | TPP | val_loss |",
                "|:--|---|--:|---:|",
                "| adamw | 130m | 20 | 3.52 |",
                "| muon | 130m | 20 | 3.46 |",
            ),
            "",
            TWO,
        ),
        (_table(OURS + ",note", 'adamw,130m,1,3.52,"two\nlines"', "muon,130m,1,3.46,"), "", TWO),
    ],
)
def test_a_table_of_any_making_is_read(tmp_path: Path, table: str | bytes, more: str, losses: dict) -> None:
    assert _import(tmp_path, table, *more.split()) == 0
    assert _losses(tmp_path) == losses


SIZED, WITH = "optimizer,scale,chinchilla_ratio,val_loss,num_params", "optimizer,scale,chinchilla_ratio,"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            _table(SIZED, "adamw,mine,1,3.5,1000000", "muon,mine,1,3.4,2000000"),
            "scale 'mine' has two sizes: 1,000,000 parameters (line 2) and 2,000,000 (line 3)",
        ),
        (_table(SIZED, "adamw,130m,1,3.5,130"), "has num_params 130; correct one"),
        (_table(OURS + ",tokens", "adamw,130m,1,3.5,26B"), "are not 1 x 20 x 134,217,728"),
        (_table(OURS, "adamw,130m,1,33.8"), "above ln(vocabulary) = 11.76 of 128,256 tokens"),
        (_table(OURS, "adamw,27k,1,6.5"), "above ln(vocabulary) = 6.238 of 512 tokens"),
        (_table(SIZED, "adamw,x,1,14,1e8"), "above ln(vocabulary) = 13.82 of any vocabulary in use"),
        (_table(OURS + ",vocab", "adamw,130m,1,6,256"), "above ln(vocabulary) = 5.545 of 256 tokens"),
        (
            _table(OURS, "adamw,130m,1,9.9", "muon,130m,1,8.5"),
            "a model that has learnt nothing: say what it is",
        ),
        (_table(OURS, "adamw,130m,1,0.41"), "a perplexity of 1.6 or less: say what it is"),
        (_table(OURS, "adamw,130m,1,-3.5"), "is no loss in nats per token, which is positive"),
        (_table(OURS, "adamw,130m,1,35%"), "val_loss '35%' is a percentage"),
        (
            _table(WITH + "eval/perplexity", "adamw,130m,1,33"),
            "--columns loss=eval/perplexity --loss-is perplexity",
        ),
        (_table(WITH + "val_bpb", "adamw,130m,1,1.1"), "'val_bpb' holds bits per byte"),
        (_table(WITH + "loss", "adamw,130m,1,3"), "'loss' may be the training loss"),
        (
            _table(WITH + "eval/loss,validation/loss", "adamw,130m,1,3,3"),
            "eval/loss, validation/loss may each be val_loss; say which with --columns loss=eval/loss",
        ),
        (_table(WITH + "eval/loss", "adamw,130m,1,"), "line 2: no eval/loss; leave the row out"),
        (
            _table("Wall time,Step,Value", "1,2,3"),
            "no column 'optimizer', 'scale', 'chinchilla_ratio', 'val_loss'",
        ),
        (_table("Name,State,scale,chinchilla,val_loss", "x,finished,130m,1,3"), "--columns optimizer=COLUMN"),
        (
            _table(OURS, "adamw,130m,1,3,52"),
            "line 2 has 5 cells, but the header names 4; a comma inside a number",
        ),
        (_table(OURS, "adamw,130m,0.999,3.5", "adamw,130m,1,3.4"), "line 3 repeats"),
        (
            _table(OURS, "adamw,130m,1,3.5", "adamw,130m,1,3.4"),
            "('adamw', 130m, 1x: loss 3.4, and 3.5 at line 2)",
        ),
        (
            _table(OURS + ",seed", "adamw,130m,1,3.5,1", "adamw,130m,2,3.4,"),
            "line 3: no seed, but line 2 has one",
        ),
        (_table(OURS + ",backend", "adamw,130m,1,3.5,jax", "muon,130m,1,3.4,torch"), "2 backends (jax, torch)"),
        (_table(OURS + ",hp.batch_size", "adamw,130m,1,3.5,big"), "hp.batch_size 'big' is no whole number"),
        (_table(OURS, f"{'a' * 2_000_000},130m,1,3.5"), "line 2: "),  # by csv itself or by us
        (
            _table(OURS, f"{'a' * 100_000},130m,1,3.5"),
            "is longer than 100 characters or not printable; shorten it",
        ),
        (_table(SIZED, "adamw,x,1,3.5,1e300"), "1e+300 parameters are no model's size"),
        (_table(SIZED, "adamw,x,1e300,3.5,1e8"), "a chinchilla_ratio of 1e+300 is no budget"),
        (_table(SIZED, "adamw,x,1e-300,3.5,1e8"), "a chinchilla_ratio of 1e-300 is no budget"),
        (_table(OURS, "adamw~2,130m,1,3.5"), "rename it"),
        (_table(SIZED, "adamw,x#2,1,3.5,1e8"), "scale 'x#2' has a '#', which marks a second entry"),
        (_table(OURS, "muon,130m,1,3.5"), "name one with --baseline 'muon'"),
        (_table(OURS, '"adamw,130m,1,3.5'), "not a CSV (line"),
        (_table(WITH + "val_loss (bits)", "adamw,130m,1,5"), "--columns loss=val_loss (bits) --loss-is bits"),
        (_table(OURS.replace(",", " "), "adamw 130m 1 3.5"), "no table: the first line 'optimizer scale"),
        (_table("My results", OURS, "adamw,130m,1,3.5"), "no table: the first line 'My results' has no comma"),
        (
            gzip.compress(HEAD.encode(), mtime=0),
            "compressed by gzip, not a CSV; save the table in it as UTF-8 text",
        ),
        (b"PK\x03\x04" + bytes(60), "an Excel workbook or a zip file, not a CSV"),
        ('{"optimizer": "adamw", "val_loss": 3.5}\n', "JSON, not a CSV"),
    ],
)
def test_what_cannot_be_believed_is_asked_about_in_one_line(
    tmp_path: Path, table: str | bytes, message: str, capsys
) -> None:
    assert _import(tmp_path, table) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and len(error) < 900
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "option", ["--columns=loss", "--columns=odd=x", "--given=odd=1", "--columns=loss=nope"]
)
def test_an_option_that_names_nothing_says_what_there_is(tmp_path: Path, option: str, capsys) -> None:
    assert _import(tmp_path, HEAD + "adamw,130m,1,3.5\n", option) == 1
    error = capsys.readouterr().err
    assert ("there are" in error or "the fields are" in error) and error.count("\n") == 1


def test_a_tracker_s_export_says_what_it_took_for_what(tmp_path: Path, capsys) -> None:
    assert _import(tmp_path, WANDB) == 0
    said = capsys.readouterr().out
    for line in (
        "columns found: optimizer, scale = model_size, chinchilla_ratio = chinchilla, val_loss = eval/loss,"
        " seed, state = State, hp.peak_lr = learning_rate",
        "ignored: Name, Runtime",
        "left out, not ended: 1 rows (lines 5)",
        "failed, by the column State: 1 rows (lines 4)",
        "not stated, left blank: steps, batch_size, seq_len, vocab, backend, precision",
        "AdamW at one ratio alone",
    ):
        assert line in said, line
    runs = store.load(tmp_path / "r").runs
    assert dict(zip(runs.seed.astype(str) + runs.optimizer, runs.status, strict=True)) == {
        "0AdamW": "finished", "0muon": "finished", "1muon": "failed",
    }  # fmt: skip
    assert set(runs["hp.peak_lr"]) == {0.008, 0.02}


def test_the_pages_leave_blank_what_is_not_stated_and_flag_a_baseline_that_rises(tmp_path: Path) -> None:
    rows = [f"adamw,130m,{r},{loss}" for r, loss in ((1, 3.2), (2, 3.3), (4, 3.25), (8, 3.4))]
    named = ["muon,130m,1,3.15", "muon,130m,2,3.28", "a/<b>c</b>,130m,1,3.2"]
    assert _import(tmp_path, _table(OURS, *rows, *named)) == 0
    loaded = store.load(tmp_path / "r")
    site = Site(tmp_path / "site", studies(loaded), loaded, tmp_path / "r")
    study = site.studies[0]
    assert study.speedups.query("optimizer == 'muon'").speedup.isna().all()
    for page in (leaderboard, cells, method):
        page.write(site, study)
    records.write_site(site)
    board = (tmp_path / "site" / "index.html").read_text()
    for words in (
        "no curve: adamw&#39;s loss rises with data from 1x to 2x",
        "tuning budget unknown",
        "seeds not stated",
        "does not fall with data, and gives no curve",
    ):
        assert words in board, words
    everything = "".join(p.read_text() for p in (tmp_path / "site").rglob("*.html"))
    assert "corpus not stated</p>" in board and "float32" not in everything
    assert "<b>c</b>" not in everything and "a/&lt;b&gt;c" in board
    assert "report run, seed" not in everything and ">Seed<" not in everything


def test_what_takes_long_says_how_far_it_is(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    rows = [
        f"{name},130m,1,{seed},{3.5 + seed % 7 / 1000}" for name in ("adamw", "muon") for seed in range(300)
    ]
    assert _import(tmp_path, _table(OURS.replace(",val_loss", ",seed,val_loss"), *rows)) == 0
    said = capsys.readouterr()
    assert "600 records in" in said.out
    for what in ("rows", "records", "trials", "records to write"):
        assert f"{what}: 256 of 600\n" in said.err
