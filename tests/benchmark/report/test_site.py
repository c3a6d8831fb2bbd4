"""The site as files: what is on the pages, that it stands alone, and that it is the same every time."""

import hashlib
import html
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import store
from benchmark.report import answer, build


@pytest.fixture(scope="module")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(results, tmp_path_factory.mktemp("site")).parent


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_index_shows_every_optimizer_with_its_planted_order(site: Path) -> None:
    index = (site / "index.html").read_text()
    first = index[index.index('id="27k-2x"') :]
    places = [first.index(f">{title}</a>") for title in ("Muon", "AdamW", "Lion")]
    assert places == sorted(places)
    assert "faster" in first
    assert "n=3" in first


def test_the_page_opens_with_the_answer_that_a_sweep_prints(site: Path, results: Path) -> None:
    best, speedup, _ = answer(store.load(results), "quick")
    heading = re.search(r'<h1 id="answer">(.*?)</h1>', (site / "index.html").read_text())
    assert heading is not None
    assert html.unescape(heading[1]) == f"{best} {speedup}"
    assert "27k-2x" in best
    assert re.search(r"interval \d\.\d\d to \d\.\d\d, n = 3 seeds", speedup)


def test_an_unknown_sweep_is_named(results: Path) -> None:
    with pytest.raises(ValueError, match=r"no sweep 'other' in the results; there are quick"):
        answer(store.load(results), "other")


def test_same_results_same_bytes(site: Path, results: Path, tmp_path: Path) -> None:
    build(results, tmp_path / "again")
    assert digest(tmp_path / "again") == digest(site)


def test_no_page_names_an_outside_asset(site: Path) -> None:
    for page in site.rglob("*.html"):
        loads = re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', page.read_text())
        assert all(not re.match(r"(https?:)?//", target) for target in loads), page


def test_every_internal_link_leads_to_a_page(site: Path) -> None:
    missing = set()
    for page in site.rglob("*.html"):
        for target in re.findall(r'href="([^"#]+)', page.read_text()):
            if not re.match(r"https?:|data:", target) and not (page.parent / target).exists():
                missing.add(f"{page.relative_to(site)} -> {target}")
    assert not missing


def test_index_is_small(site: Path) -> None:
    assert (site / "index.html").stat().st_size < 300_000


def test_names_come_out_as_text(
    tmp_path: Path, study_of: Callable[..., list], writer: Callable[..., Path]
) -> None:
    evil = '</script><img src=x onerror="alert(1)">'
    runs = study_of(("adamw", evil))
    out = build(writer(tmp_path / "results", "quick", runs, corpus=evil, title=evil), tmp_path / "out").parent
    for page in [*out.rglob("*.html"), *out.rglob("*.js")]:
        assert "<img src=x" not in page.read_text(), page
    assert "&lt;img src=x" in (out / "index.html").read_text()


def test_no_framework_is_imported(results: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmark.report import build;"
        f"build(Path({str(results)!r}), Path({str(tmp_path)!r}));"
        "print(sorted({'jax', 'torch', 'ray', 'optax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no records in .*; run a sweep first"):
        build(tmp_path, tmp_path / "out")
