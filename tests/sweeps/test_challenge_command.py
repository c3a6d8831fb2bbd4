"""`python -m sweeps challenge`: what it plans, and the command that it prints at its end."""

import shlex
from pathlib import Path

import pytest

from benchmark.kit import admission
from sweeps import __main__ as command
from sweeps.run.options import AA, CHALLENGE, PROG, parser

ROOT = Path(__file__).parents[2]
MINE = str(ROOT / "examples" / "mine_optax.py")
PRICE = ["--dry-run", "--flops-per-second", "1e11"]  # stated, so that nothing is timed


@pytest.fixture(autouse=True)
def admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first steps of one's own optimizer are tried elsewhere (test_contestants)."""
    monkeypatch.setattr(admission, "admit_named", lambda *_: None)


def planned(capsys, folder: Path, *words: str) -> str:
    assert command.main([*words, *PRICE, "--results", str(folder / "r"), "--executor", "serial"]) == 0
    return capsys.readouterr().out


def trials(text: str) -> int:
    return int(next(line for line in text.splitlines() if line.startswith("total")).split()[2])


def test_against_what_is_committed_only_ones_own_runs_and_half_of_it_at_first(capsys, tmp_path):
    text = planned(capsys, tmp_path, "challenge", "--optimizer", MINE, "--optimizers", "adamw")
    assert text.startswith("Sweep quick: adamw, adamw~2, mine_optax\n")
    assert trials(text) == 2 * 20 + 4 + 4 and "No committed results" not in text


def test_what_has_no_committed_results_is_planned_beside_it_and_said_with_its_price(capsys, tmp_path):
    more = ("--at", "55k-1x", "--optimizers", "adamw")
    text = planned(capsys, tmp_path, "challenge", "--optimizer", MINE, *more)
    assert trials(text) == 2 * 20 + 3 * 4 + 24 + 2 * 8
    assert text.splitlines()[-1].startswith(
        "No committed results of adamw fit 55k-1x, 55k-0.5x, 55k-2x with jax: of 92"
    )
    assert text.splitlines()[-1].endswith(" minutes with 1 workers.")


def next_of(words: list[str], searches: int) -> str:
    args = parser().parse_args(words)
    args.words, args.prog = words, PROG
    return command.goes_on(args, "adamw", searches)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("challenge --optimizer mine.py --against muon", "challenge --optimizer mine.py --against muon"),
        ("challenge --searches 5 --optimizer mine.py", "challenge --optimizer mine.py"),
        ("quick --searches=2 --optimizers adamw,lion --optimizer mine.py", "challenge --optimizer mine.py"),
        ("--optimizer mine.py micro --optimizers adamw,muon", "--optimizer mine.py micro --optimizers adamw"),
    ],
)
def test_the_command_that_would_decide_is_the_same_with_more_searches(words, wanted):
    assert next_of(words.split(), 6) == f"{PROG} {wanted} --searches 6"
    assert parser().parse_args(shlex.split(next_of(words.split(), 6))[3:]).searches == 6


def test_the_command_that_would_decide_runs_next(capsys, tmp_path):
    """Read back as a shell would, and planned: the same optimizer, more searches, nobody else's trials."""
    printed = shlex.split(next_of(["challenge", "--optimizers", "adamw", "--optimizer", MINE], 6))
    text = planned(capsys, tmp_path, *printed[3:])
    assert "up to 6 where its verdict is open" in text and trials(text) == 48


@pytest.mark.parametrize(
    ("words", "notes"),
    [
        (
            "challenge --optimizers adamw --against adamw",
            ["--against adamw changes nothing: yours is compared"],
        ),
        (
            "challenge --optimizers adamw --at 27k-1x",
            ["--at 27k-1x changes nothing: quick reports there anyway"],
        ),
        ("challenge --optimizers adamw --at 27k-1.0x", ["--at 27k-1.0x changes nothing"]),
        ("quick --optimizers adamw --at 27k-2x", []),  # there the baseline alone reports
        ("quick --optimizers adamw --tasks 27k-0.5x --at 27k-1x", []),  # nor there, with the others left out
    ],
)
def test_words_that_change_nothing_are_said_to(capsys, tmp_path, words, notes):
    mine = ["--optimizer", MINE, *PRICE, "--executor", "serial", "--results", str(tmp_path / "r")]
    assert command.main([*words.split(), *mine]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "changes nothing" in line]
    assert len(said) == len(notes)
    assert all(note in line for note, line in zip(notes, said, strict=True))


def test_whom_to_set_nobody_beside_is_said(capsys, tmp_path):
    assert (
        command.main(
            ["quick", "--optimizers", "adamw", "--against", "lion", *PRICE, "--results", str(tmp_path)]
        )
        == 0
    )
    assert "--against says whom an --optimizer of yours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["challange"],
            f"choose from gpu, micro, paper, quick, schedules, smoke, transfer, {CHALLENGE}, {AA}, or give",
        ),
        (["challenge"], "name it with --optimizer"),
        (["challenge", "--optimizer", MINE, "--against", "lyon"], "--against lyon (did you mean"),
        (["challenge", "--optimizer", MINE, "--at", "55k"], "a task is SCALE-RATIOx"),
    ],
)
def test_bad_usage_is_one_line(capsys, words, said):
    assert command.main([*words, "--dry-run"]) == 1
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
