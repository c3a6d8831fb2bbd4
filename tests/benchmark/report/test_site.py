"""The site as files: what is on the pages, that it stands alone, and that it is the same every time."""

import dataclasses
import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmark import store
from benchmark.report import answer, build, text

Imports = Callable[[str, set[str]], list[str]]


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


def test_intervals_in_seconds_say_what_is_not_in_them(site: Path) -> None:
    index = (site / "index.html").read_text()
    assert "as timed on test-machine; their intervals are those of the tokens" in index


def test_the_other_metrics_stand_beside_their_table_as_json(site: Path) -> None:
    boards = re.findall(
        r'<section class="board".*?</section>', (site / "index.html").read_text(), flags=re.DOTALL
    )
    for board in boards:
        found = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', board)[0])
        ids = re.findall(r'<tr id="([^"]+)">', board)
        assert list(found["rows"]) == ids, "every row but the baseline's"
        assert set(found["one"]) == {"tokens", "seconds", "FLOPs"}
    muon = json.loads(re.findall(r'json">(.*?)</script>', boards[0])[0])["rows"]["muon--27k-2x"]["seconds"]
    assert muon["point"] == f"{float(muon['sort']):.2f}×"
    assert muon["label"] == text.verdict(muon["verdict"])
    assert len(muon["bar"]) == 3


def test_the_page_opens_with_the_answer_that_a_sweep_prints(site: Path, results: Path) -> None:
    best, ties, _, _ = answer(store.load(results), "quick")
    heading = re.search(r'<h1 id="answer">(.*?)</h1>', (site / "index.html").read_text())
    assert heading is not None
    assert html.unescape(heading[1]) == best
    assert best.count(".") == 1 + len(re.findall(r"\d\.\d", best)), "one sentence"
    assert "27k-2x" in best
    assert re.search(r"interval \d\.\d\d to \d\.\d\d, n\s=\s3 runs over 1 search", best)
    assert ties == "The runs do not separate Muon from Soap."


def test_an_unknown_sweep_is_named(results: Path) -> None:
    with pytest.raises(ValueError, match=r"no sweep 'other' in the results; there are quick"):
        answer(store.load(results), "other")


def test_another_process_makes_the_same_bytes_and_imports_no_framework(
    site: Path, results: Path, tmp_path: Path, imports: Imports
) -> None:
    code = (
        "from pathlib import Path; from benchmark.report import build;"
        f"build(Path({str(results)!r}), Path({str(tmp_path)!r}))"
    )
    assert imports(code, {"jax", "torch", "ray", "optax", "jinja2"}) == ["jinja2"]
    assert digest(tmp_path) == digest(site)


def test_a_rebuild_writes_what_changed_and_removes_its_own_stale_pages_and_nothing_else(
    tmp_path: Path, study_of: Callable[..., list], writer: Callable[..., Path]
) -> None:
    """And a list of files that leads outside removes nothing there."""
    results, out, fresh = tmp_path / "results", tmp_path / "out", tmp_path / "fresh"
    runs = study_of(("adamw", "muon"))
    writer(results, "quick", runs)
    writer(results, "old", [r for r in study_of(("adamw", "soap")) if r.trial.optimizer == "soap"])
    build(results, out)
    notes = [out / "notes.txt", out / "quick" / "notes.txt", out / "records" / "mine.html"]
    for note in notes:
        note.write_text("not ours")
    shutil.rmtree(results / "old")
    build(results, out)
    assert not (out / "old").exists()
    assert all(note.read_text() == "not ours" for note in notes)
    for note in notes:
        note.unlink()
    pages = sorted((out / "records").iterdir())
    before = {page: page.stat().st_mtime_ns for page in pages}
    changed = dataclasses.replace(runs[0], finished_at="2026-01-01T00:00:00+00:00")
    writer(results, "quick", [changed, *runs[1:]])
    build(results, out)
    again = [page.stem for page in pages if page.stat().st_mtime_ns != before[page]]
    assert again == [runs[0].trial.trial_id]
    outside = tmp_path / "precious.txt"
    outside.write_text("keep")
    (fresh / "assets").mkdir(parents=True)
    (fresh / "assets" / "files.json").write_text(json.dumps({"../precious.txt": "x", str(outside): "y"}))
    build(results, fresh)
    assert outside.read_text() == "keep"
    assert digest(out) == digest(fresh)


def test_figures_for_a_paper_are_drawn_by_matplotlib_with_their_text_as_text(site: Path) -> None:
    figure = (site / "quick" / "figures" / "leaderboard-27k-2x.svg").read_text()
    words = "".join(re.findall(r">([^<]+)</text>", figure))
    assert "higher is better" in words
    assert "Muon" in words
    assert "dc:date" not in figure
    assert (site / "quick" / "figures" / "leaderboard-27k-2x.png").read_bytes().startswith(b"\x89PNG")


def test_drawings_on_a_page_share_no_id(site: Path) -> None:
    for page in site.rglob("*.html"):
        ids = re.findall(r' id="([^"]+)"', page.read_text())
        assert len(ids) == len(set(ids)), page


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
    evil = '</script><img src=x onerror="alert(1)">$x_{'
    runs = study_of(("adamw", evil))
    out = build(writer(tmp_path / "results", "quick", runs, corpus=evil, title=evil), tmp_path / "out").parent
    for page in [*out.rglob("*.html"), *out.rglob("*.js"), *out.rglob("*.svg")]:
        if page.name != "charts.js":
            assert "<img src=x" not in page.read_text(), page
    for drawing in out.rglob("*.svg"):
        ElementTree.parse(drawing)
    assert all(re.fullmatch(r"[\w./-]+", str(page.relative_to(out))) for page in out.rglob("*"))
    assert "&lt;img src=x" in (out / "index.html").read_text()


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no records in .*; run a sweep first"):
        build(tmp_path, tmp_path / "out")
