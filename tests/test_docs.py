"""What the texts say exists: commands, options, files, links; the notebook page runs as it is written."""

import errno
import re
from pathlib import Path

import pytest

from benchmark import store
from benchmark.data import sources
from benchmark.kit import admission
from optimizers.user import files
from sweeps.run import writable
from sweeps.run.options import parser
from tools import readme

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
EXAMPLES = {"optimizers/tiger_torch.py", "tests/optimizers/test_tiger.py"}  # files that a reader is to write


@pytest.fixture(params=TEXTS, ids=lambda path: path.name)
def text(request: pytest.FixtureRequest) -> str:
    return request.param.read_text(encoding="utf-8")


def test_lines_that_are_quoted_of_a_fault_are_printed_so(tmp_path: Path) -> None:
    """The program's own functions make them; what differs from case to case is `...` or a number there."""
    said = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    full = writable.full(OSError(errno.ENOSPC, ""), {"--results": Path("results")})
    assert re.sub(r"[\d.]+ MB", "0.0 MB", full) in said
    trials = tmp_path / "smoke" / "trials"
    trials.mkdir(parents=True)
    for number, content in enumerate(("", '{"a": "', '{"schema": 99, "trial_id": "", "trial": {}}')):
        (trials / f"{number:016x}.json").write_text(content)
    damaged: list[str] = []
    assert not list(store.records(tmp_path, damaged)) and len(damaged) == 3
    for line in damaged:
        reason = line.partition(": ")[2]
        assert re.sub(r"(?<=Error: ).*(?=\))", "...", reason) in said
    assert store.skipped(["..."]).removesuffix("...") in said


def test_commands_exist(text: str) -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", "\n".join(_code(text)))) <= TARGETS
    for module in re.findall(r"python -m ([a-z_.]+)", text):
        if not module.startswith(("pip", "pytest")):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_options_of_a_sweep_exist(text: str) -> None:
    known = parser().format_help()
    for line in "\n".join(_code(text)).splitlines():
        if "-m sweeps" in line or "make sweep" in line:
            for option in re.findall(r"--[a-z-]+", line):
                assert option in known, f"{option} in {line}"


def test_files_and_links_exist(request: pytest.FixtureRequest, text: str) -> None:
    folder = request.node.callspec.params["text"].parent
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (folder / link).exists(), link
    named = re.findall(r"`((?:optimizers|benchmark|sweeps|tools|tests|docs|examples)/[\w./]*)`", text)
    assert not [path for path in named if not (ROOT / path).exists() and path not in EXAMPLES]


def test_every_test_that_a_text_names_is_there(text: str) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_row_of_the_field_names_a_test() -> None:
    page = (ROOT / "docs" / "field.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| found |")]
    assert len(rows) > 39
    for row in rows:
        assert re.search(r"\| (`tests/[^`]+::\w+`(, )?)+ \|$|\| the same \|$", row), row


def test_the_reading_path_is_short_and_its_lines_are_counted() -> None:
    path = readme.reading((ROOT / "README.md").read_text(encoding="utf-8"))
    assert 1 < len(path) <= 8
    assert sum(actual for _, actual in path.values()) <= 1400
    for file, (stated, actual) in path.items():
        assert abs(stated - actual) <= max(5, 0.1 * actual), (
            f"run `python -m tools.readme`: {file} has {actual}"
        )


def test_the_corpora_that_the_texts_name_are_there() -> None:
    named = {name for path in TEXTS for name in re.findall(r"--corpus (\w+)", path.read_text(encoding="utf-8"))}
    assert named and named <= set(sources.names())


def test_the_notebook_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/notebook.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "adamw" in printed and "baseline" in printed and "spread" in printed
    assert (tmp_path / names["index"]).is_file()


def test_every_block_of_the_page_for_ones_own_optimizer_takes_its_first_steps(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-optimizer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == page.count("```python") > 3
    for name, block in blocks:
        (tmp_path / name).write_text(block, encoding="utf-8")
        entry = files.load(tmp_path / name)
        for backend in files.backends(entry):
            admission.admit(entry, backend)
    for where in re.findall(r"--optimizer ([\w.]+:\w+)", page):
        assert files.load(where)().floats()["peak_lr"] > 0


def _code(text: str) -> list[str]:
    """Everything that is set as code: blocks, and spans within a line."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [*blocks, *re.findall(r"`([^`\n]+)`", text)]
