"""A page is one file, found by looking; nothing else is edited to add one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.report import build, live, pages

Writer = Callable[..., Path]
SPREAD = """
from dataclasses import replace
from benchmark.report import charts, text
from benchmark.frames import rows
from benchmark.report.table import Table, numbers, titled

LABEL, ORDER, FILE = "Spread", 25, "spread.html"


def page(study):
    columns = (titled(study.titles), numbers("val_loss_sd", "Spread, nats/token", text.fixed))
    table = Table("Spread of the seeds", columns, rows(study.speedups))
    figures = [replace(charts.speedup_by_ratio(study, study.scales[0]), key="spread-27k")]
    return {"heading": "Spread of seeds", "lead": "Far apart?", "figures": figures, "tables": [table]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are pages, too."""
    more = tmp_path / "more"
    more.mkdir()
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(more)])
    return more


def test_the_head_lists_the_pages_in_their_order() -> None:
    found = pages.found()
    assert [p.label for p in found if p.label] == [
        "Leaderboard", "Speedup", "Flips", "Tuning", "Optimizers", "Claims", "Method",
    ]  # fmt: skip
    files = {path.stem for path in Path(pages.__file__).parent.glob("*.py")} - {"__init__"}
    assert {p.name for p in found} == files


def test_a_page_is_added_by_one_file(folder: Path, tmp_path: Path, study_of: Callable, writer: Writer) -> None:
    (folder / "extra_spread.py").write_text(SPREAD)
    out = build(writer(tmp_path / "results", "quick", study_of(("adamw", "muon"))), tmp_path / "out").parent
    page = (out / "quick" / "spread.html").read_text()
    assert "<h1>Spread of seeds</h1>" in page
    assert 'class="num">Spread, nats/token</th>' in page
    assert '<figure class="chart" id="spread-27k">' in page
    assert (out / "quick" / "figures" / "spread-27k.svg").exists()
    head = (out / "index.html").read_text()
    places = [head.index(f'href="quick/{name}.html"') for name in ("speedup", "spread", "flips")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("FILE = 'a.html'", r"no_page.py is not a page: it needs FILE and page\(study\)"),
        ("LABEL = 'A'\ndef write(site, study): ...", "no_page.py has a LABEL but no FILE to link to"),
    ],
)
def test_a_file_that_is_no_page_is_one_clear_line(
    folder: Path, content: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "benchmark.report.pages.no_page", raising=False)
    (folder / "no_page.py").write_text(content)
    with pytest.raises(ValueError, match=said):
        pages.found()


def test_a_running_sweep_s_page_leads_to_added_pages_once_they_are_there(
    folder: Path, tmp_path: Path, study_of: Callable, writer: Writer
) -> None:
    (folder / "extra_told.py").write_text(
        "LABEL, FILE = 'Told', 'told.html'\n\ndef page(s): return {'heading': 'x'}"
    )
    results = writer(
        tmp_path / "results", "quick", study_of(("adamw", "muon"), {"adamw": ["1"], "muon": ["1"]})
    )
    assert "told.html" not in live.build(results, tmp_path / "out", "quick").read_text()
    build(results, tmp_path / "out")
    assert 'href="../quick/told.html">Told</a>' in live.build(results, tmp_path / "out", "quick").read_text()
