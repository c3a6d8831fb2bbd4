"""A few damaged user files, as `python -m tools.fuzz files` judges many; and the judge is shown each fault."""

import itertools
import os
from pathlib import Path

import pytest

from tools.fuzz import files
from tools.fuzz.files import Damaged, damaged, judge

WELL = files.examples()[0]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*")


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    files.preload()


def test_the_same_seed_gives_the_same_files() -> None:
    assert list(damaged(40, 3)) == list(damaged(40, 3)) != list(damaged(40, 4))
    assert list(damaged(40, 3))[30:] == list(damaged(10, 3, first=30))
    assert len({file.what for file in damaged(60, 1)}) > 15
    assert len({file.content for file in damaged(60, 1)}) > 50


@pytest.mark.parametrize("file", list(damaged(8, 5)), ids=lambda file: file.what)
def test_a_damaged_file_is_one_line_or_none(file: Damaged, tmp_path: Path) -> None:
    status, said, wrong = judge(file, tmp_path)
    assert not wrong, f"{wrong}\n{said}"
    assert status in (0, 1)


# line in front of a good file, what is said of it
SAID = [
    ("import os; os._exit(0)", "ends the process when it is imported"),
    ("while True: pass", "its import has not ended after 1 seconds"),
    ("class Odd(BaseException): ...\nraise Odd", "Odd: `raise Odd`"),
    ("x = " + "+".join(["1"] * 50_000), "RecursionError"),
    ("__doc__ = 5", ""),
]


@pytest.mark.parametrize(("line", "message"), SAID, ids=[line[:20] for line, _ in SAID])
def test_what_is_said(line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "while" in line:
        monkeypatch.setattr(files, "HANG_SECONDS", 1.0)
    status, said, wrong = judge(Damaged("mine.py", "", f"{line}\n{WELL}".encode()), tmp_path)
    assert (status, wrong) == (1 if message else 0, "") and message in said


def test_the_judge_sees_a_traceback_a_hang_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(names, others, backend):
        raise RuntimeError("ours")

    well = Damaged("mine.py", "", WELL.encode())
    monkeypatch.setattr(files.contestants, "contestants", broken)
    assert judge(well, tmp_path)[2] == "a traceback"
    monkeypatch.setattr(files.contestants, "contestants", lambda *_: Path("left").write_text("x"))
    assert judge(well, tmp_path)[2] == "left left beside the file"
    monkeypatch.setattr(files.contestants, "contestants", lambda *_: os._exit(5))
    assert judge(well, tmp_path)[2] == "status 5 with 0 lines"
    monkeypatch.setattr(files, "LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(files.contestants, "contestants", lambda *_: all(itertools.count(1)))
    assert judge(well, tmp_path)[2] == "took longer than 0.3 s"
    monkeypatch.setattr(files, "PATIENCE", 1)
    monkeypatch.setattr(files.contestants, "contestants", lambda *_: files.time.sleep(100))
    assert judge(well, tmp_path)[2] == "took longer than 0.3 s"


def test_a_step_that_hangs_is_what_the_first_steps_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = next(t for t in files.examples() if "def step(self, closure=None):" in t)
    step = "def step(self, closure=None):\n        "
    hangs = text.replace(step, f"{step}import time; time.sleep(1000)\n        ", 1)
    assert hangs != text
    monkeypatch.setattr(files, "LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(files, "PATIENCE", 2)
    monkeypatch.setattr(files, "STEPS_SECONDS", 1.0)
    file = Damaged("mine.py", "", hangs.encode())
    assert judge(file, tmp_path)[0] is None
    status, said, wrong = files.judge_whole(file, tmp_path)
    assert (status, wrong) == (1, "") and "has not taken its first steps after 1 seconds" in said
