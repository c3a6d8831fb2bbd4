"""Bad words on every command line: one line of usage, one line that says what to write, and no traceback."""

import importlib
import os
import re
from pathlib import Path

import pytest

from benchmark.arguments import Parser, names, whole
from sweeps.run.options import parser

ROOT = Path(__file__).parents[1]
GUARD = 'if __name__ == "__main__":'
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("benchmark", "sweeps", "tools")
    for path in (ROOT / package).rglob("*.py")
    if GUARD in path.read_text(encoding="utf-8")
)
SWEEP, REPORT, PUBLISHED = "sweeps.__main__", "benchmark.report.__main__", "benchmark.published.__main__"
KIT, CORPORA, LIVE = "benchmark.kit.__main__", "benchmark.data.corpora", "benchmark.report.live"
BENCH, COMPONENTS = "tools.bench.__main__", "tools.bench.components"

# command, words, what the one line says
CASES = [
    (SWEEP, "smoke --optimizers AdamW", "unknown optimizer 'AdamW' (did you mean 'adamw'?); choose from"),
    (
        SWEEP,
        "smoke --optimizers , --dry-run",
        "expected names with commas between, such as adamw,muon; got ','",
    ),
    (SWEEP, "smoke --optimizers adamw,,muon", "there is no name at place 2 of 'adamw,,muon'"),
    (SWEEP, "smoke --tasks ,13k-1x", "there is no name at place 1 of ',13k-1x'"),
    (SWEEP, "smoke --optimizers adamw, muon", "nothing takes the word 'muon'; a list has no blanks"),
    (SWEEP, "smoke --optimisers adamw", "no option '--optimisers' (did you mean '--optimizers'?)"),
    (SWEEP, "--dryrun", "no option '--dryrun' (did you mean '--dry-run'?)"),
    (SWEEP, "smoke -x", "there is no option '-x'"),
    (SWEEP, "aa --study 2", "--study is called --replication"),
    (SWEEP, "aa --study=2", "--study is called --replication"),
    (SWEEP, "smoke --seeds 0", "there is no option '--seeds'"),
    (SWEEP, "", "the following arguments are required: NAME"),
    (SWEEP, "Quick", "unknown sweep 'Quick' (did you mean 'quick'?)"),
    (SWEEP, "smoke --tasks 13K-0.5x --dry-run", "no task '13K-0.5x' (did you mean '13k-0.5x'?)"),
    (SWEEP, "smoke --corpus gcid --dry-run", "unknown corpus 'gcid' (did you mean 'gcide'?)"),
    (SWEEP, "smoke --searches 0", "--searches: expected a whole number from 1 on, such as 3; got '0'"),
    (SWEEP, "smoke --searches -2", "got '-2'"),
    (SWEEP, "smoke --workers 1e3", "expected a whole number from 1 on, such as 3; got '1e3'"),
    (SWEEP, "smoke --pack 1.5", "got '1.5'"),
    (
        SWEEP,
        "smoke --max-hours abc",
        "--max-hours: expected a number of hours above 0, such as 6 or 0.5; got 'abc'",
    ),
    (SWEEP, "smoke --max-hours nan", "got 'nan'"),
    (SWEEP, "smoke --max-hours inf", "got 'inf'"),
    (SWEEP, "smoke --max-hours -1", "got '-1'"),
    (SWEEP, "smoke --max-hours", "--max-hours: expected a value"),
    (
        SWEEP,
        "smoke --flops-per-second -1e9",
        "expected a value; one that begins with a dash: --flops-per-second=VALUE",
    ),
    (SWEEP, "smoke --flops-per-second=-1e9", "got '-1e9'"),
    (SWEEP, "smoke --max-hours 1e999", "got '1e999'"),
    (SWEEP, "smoke --optimizers adamw;lion", "unknown optimizer 'adamw;lion'"),
    (SWEEP, "smoke --flops-per-second fast", "such as 312e12; got 'fast'"),
    (SWEEP, "smoke --flops-per-second 1", "such as 312e12, between 1e+09 and 1e+18; got '1'"),
    (SWEEP, "smoke --flops-per-second 312", "got '312'"),
    (SWEEP, "smoke --copies 3", "--copies belongs to aa, and smoke does not read it"),
    (
        SWEEP,
        "challenge --optimizer x.py --replication 2",
        "--replication belongs to aa, and challenge does not read it",
    ),
    (SWEEP, "aa --at 55k-1x", "aa does not read --at"),
    (SWEEP, "smoke --optimizer m.py --axis b1=0.9,,0.95", "'b1=0.9,,0.95' has an empty place"),
    (SWEEP, "smoke --timeout soon", "expected a number of seconds such as 3600, or 0 for no limit; got 'soon'"),
    (SWEEP, "smoke --timeout -1", "got '-1'"),
    (SWEEP, "smoke --backend Jax", "expected jax or torch; got 'Jax' (did you mean 'jax'?)"),
    (SWEEP, "smoke --search grid", "expected gp, coordinate or random; got 'grid'"),
    (SWEEP, "smoke --precision float16", "expected float32 or bfloat16; got 'float16' (did you mean"),
    (SWEEP, "smoke --workers 1 --workers 2", "--workers: given twice, as 1 and as 2; give it once"),
    (SWEEP, "smoke micro", "nothing takes the word 'micro'"),
    (SWEEP, "smoke --reuse empty", "empty holds no records"),
    (SWEEP, "smoke --reuse file", "file is a file; name a folder"),
    (SWEEP, "smoke --reuse nowhere", "there is no folder nowhere"),
    (SWEEP, "smoke --results file", "file is a file; name a folder"),
    (SWEEP, f"smoke --results {'a' * 300}", "File name too long"),
    (SWEEP, "smoke --out file", "file is a file; name a folder"),
    (
        SWEEP,
        "smoke --out .",
        "--out . holds files that are not a site of ours (empty, file, theirs); name a new",
    ),
    (SWEEP, "smoke --out /", "--out / holds files that are not a site of ours"),
    (SWEEP, "smoke --out theirs", "--out theirs holds files that are not a site of ours (thesis.tex)"),
    (SWEEP, "smoke --out results", "--out results is the results folder"),
    (SWEEP, "smoke --axis momentum=0.9", "--axis gives a grid to the --optimizer before it"),
    (SWEEP, "smoke --optimizer mine", "name a Python file (mine.py)"),
    (SWEEP, "challenge", "name it with --optimizer mine.py"),
    (SWEEP, "challenge --optimizer x.py --against Muon", "--against Muon (did you mean 'muon'?)"),
    (SWEEP, "aa --copies 1", "--copies 1 leaves nothing to compare"),
    (REPORT, "--results nowhere", "no results folder at nowhere"),
    (REPORT, "--results file", "file is a file; name a folder"),
    (REPORT, "--result nowhere --resluts x", "no option '--resluts' (did you mean '--results'?)"),
    (REPORT, "--results ROOT/results/reference --out theirs", "holds files that are not a site of ours"),
    (REPORT, "site", "nothing takes the word 'site'"),
    (PUBLISHED, "--csv a.csv --result-json b", "not allowed with argument"),
    (PUBLISHED, "--cvs a.csv", "no option '--cvs' (did you mean '--csv'?)"),
    (PUBLISHED, "--results . --csv nowhere.csv", "nowhere.csv: cannot be read"),
    (KIT, "", "the following arguments are required: optimizer"),
    (KIT, "Lion", "unknown optimizer 'Lion' (did you mean 'lion'?)"),
    (KIT, "mine.py", "there is no such file"),
    (CORPORA, "gcide --vocab 0", "expected a whole number from 257 on, such as 512; got '0'"),
    (CORPORA, "gcide --vocab many", "got 'many'"),
    (CORPORA, "Gcide", "unknown corpus 'Gcide' (did you mean 'gcide'?)"),
    (LIVE, "nowhere out quick", "no results folder at nowhere"),
    (BENCH, "--rounds 0", "expected a whole number from 1 on"),
    (BENCH, "--groups throughputs", "unknown group 'throughputs' (did you mean 'throughput'?)"),
    (BENCH, "--optimizers adam", "unknown optimizer 'adam'"),
    (COMPONENTS, "nowhere", "there is no folder nowhere"),
    (COMPONENTS, "empty", "empty holds no sweep.json"),
    ("tools.regret", "many", "got 'many'"),
    ("tools.efficiency", "1000", "the following arguments are required: count"),
    ("tools.coordinates", "adam", "unknown optimizer 'adam'"),
    ("tools.parity", "--corpus gcid", "unknown corpus 'gcid'"),
    ("tools.compiled.__main__", "140m", "unknown scale '140m' (did you mean '130m'?)"),
    ("tools.isa", "27k", "nothing takes the word '27k'"),
    ("tools.thirdparty.__main__", "--word torch", "there is no option '--word'"),
    ("benchmark.corpora", "Gcide", "unknown corpus 'Gcide' (did you mean 'gcide'?)"),
]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, with a file, an empty folder and one of theirs; nothing of it may change."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "nice", int)  # commands run in this process, whose priority is for all later tests
    return tmp_path


def status(module: str, words: list[str]) -> int:
    try:
        return int(importlib.import_module(module).main(words) or 0)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize(("module", "words", "message"), CASES, ids=lambda value: str(value)[:60])
def test_bad_words_are_one_line(module: str, words: str, message: str, user: Path, capsys) -> None:
    before = {path: path.read_bytes() for path in user.rglob("*") if path.is_file()}
    given = [word.replace("ROOT", str(ROOT)) for word in words.split()]  # whose path may hold blanks
    assert status(module, given) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("usage: ")] in ([], lines[:1]) and lines[0]
    (line,) = [line for line in lines if not line.startswith("usage: ")]
    assert message in line
    assert {path: path.read_bytes() for path in user.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("module", [m for m in COMMANDS if m != "benchmark.extras"])
def test_every_command_refuses_an_unknown_option(module: str, user: Path, capsys) -> None:
    assert status(module, ["--no-such-option"]) == 2
    assert "--no-such-option" in capsys.readouterr().err.splitlines()[-1]


def test_every_command_is_in_the_table() -> None:
    here = {module for module, _, _ in CASES}
    assert {m for m in COMMANDS if not m.startswith("tools.fuzz")} - here == {
        "benchmark.extras",
        "tools.readme",
    }


@pytest.mark.parametrize("text", ["adamw, muon", "adamw,muon,", " adamw , muon , ", "adamw,muon,adamw"])
def test_a_list_may_hold_blanks(text: str) -> None:
    assert parser().parse_args(["smoke", "--optimizers", text]).optimizers == ["adamw", "muon"]


def test_what_is_given_twice_alike_or_is_a_list_is_taken() -> None:
    asked = parser().parse_args(
        ["smoke", "--workers=2", "--workers", "2", "--optimizer", "a.py", "--optimizer", "b.py"]
    )
    assert asked.workers == 2 and len(asked.optimizer) == 2
    again = Parser(prog="x")
    again.add_argument("--n", type=whole)
    assert [again.parse_args(["--n", n]).n for n in "12"] == [1, 2], "each call begins anew"


def test_paths_may_begin_with_a_home_or_a_dash(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(user))
    asked = parser().parse_args(["smoke", "--results=~/a b", "--out=-site", "--optimizer", "~/it's mine.py"])
    assert asked.results == user / "a b" and asked.out == Path("-site")
    assert asked.optimizer == [str(user / "it's mine.py")]


def test_a_usage_is_one_line() -> None:
    usage = parser().format_usage()
    assert usage.count("\n") == 1 and len(usage) < 80
    assert re.search(r"--max-hours H", parser().format_help())
    assert names("a,b")("x") == ["x"]
