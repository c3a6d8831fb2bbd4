"""The progress page of a running sweep: it comes, and the sweep does not notice, whatever happens to it."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.report import build, live

Imports = Callable[[str, set[str]], list[str]]


class Driver:
    """Stands in for a sweep's driver."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.manifests = 0
        self.on_record: Callable[..., None] | None = self.tell

    def tell(self, *news: Any) -> None:
        self.told.append(news)

    def write_manifest(self) -> None:
        self.manifests += 1

    def receive(self, record: str) -> None:
        assert self.on_record
        self.on_record(record, "plan")


def until_it_ends(page: live.Page) -> None:
    deadline = time.monotonic() + 60
    while page.child and not page.due() and page.child:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_record_brings_the_page_and_the_next_waits(tmp_path: Path, results: Path) -> None:
    driver = Driver()
    before = driver.on_record
    with live.watch(driver, results, tmp_path, "quick") as page:
        driver.receive("first")
        assert page.child
        until_it_ends(page)
        text = (tmp_path / "quick" / "progress.html").read_text()
        assert "Complete: all 10 cells are done" in text
        assert "<body data-live>" in text
        driver.receive("second")
        assert page.child is None, "no build so soon after the last"
        assert page.next - time.monotonic() > live.EVERY / 2
    assert driver.told == [("first", "plan"), ("second", "plan")]
    assert driver.manifests == 1
    assert driver.on_record == before


def test_the_pause_is_a_hundred_times_the_cost(tmp_path: Path, results: Path) -> None:
    page = live.Page(results, tmp_path, "quick")
    page.command = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass"]
    page.start()
    until_it_ends(page)
    assert 0.4 / live.SHARE * 0.9 < page.next - time.monotonic() < 1.5 / live.SHARE


def test_a_build_that_fails_or_cannot_start_leaves_the_sweep_alone(tmp_path: Path, results: Path) -> None:
    driver = Driver()
    with live.watch(driver, results, tmp_path, "no such sweep") as page:
        driver.receive("first")
        until_it_ends(page)
        page.command, page.next = ["/no/such/program"], 0.0
        driver.receive("second")
    assert len(driver.told) == 2
    assert not (tmp_path / "no such sweep").exists()


def test_a_build_under_way_ends_with_the_sweep(tmp_path: Path, results: Path) -> None:
    driver = Driver()
    with live.watch(driver, results, tmp_path, "quick") as page:
        page.command = [sys.executable, "-c", "import time; time.sleep(600)"]
        driver.receive("first")
        child = page.child
    assert child is not None
    assert child.returncode is not None


def test_the_page_joins_a_site_and_the_next_build_replaces_it(tmp_path: Path, results: Path) -> None:
    build(results, tmp_path)
    whole = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    page = live.build(results, tmp_path, "quick")
    assert page == tmp_path / "quick" / "progress.html"
    assert page.read_bytes() != whole[page]
    build(results, tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == whole


@pytest.mark.parametrize("beside", [False, True])
def test_before_the_first_site_no_link_leads_nowhere(
    tmp_path: Path, results: Path, study_of: Callable[..., list], writer: Callable[..., Path], beside: bool
) -> None:
    """A sweep has no page but this one until it ends, be there a site of other sweeps or none."""
    out = tmp_path / "out"
    if beside:
        build(results, out)
    folder = writer(tmp_path / "results", "quick", study_of(("adamw", "muon")))
    writer(folder, "running", study_of(("adamw", "soap")))
    page = live.build(folder, out, "running")
    targets = re.findall(r'href="([^"#]+)', page.read_text())
    assert any(target.endswith("site.css") for target in targets)
    missing = [t for t in targets if not t.startswith("data:") and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("there", [False, True])
def test_it_needs_no_figures(results: Path, tmp_path: Path, imports: Imports, there: bool) -> None:
    """Also where the pages of its own sweep are there, and it looks for what they are called."""
    if there:
        (tmp_path / "quick").mkdir()
        (tmp_path / "quick" / "index.html").touch()
    code = (
        "from pathlib import Path; from benchmark.report import live;"
        f"live.build(Path({str(results)!r}), Path({str(tmp_path)!r}), 'quick')"
    )
    assert imports(code, {"altair", "matplotlib", "vl_convert", "jax", "ray", "jinja2"}) == ["jinja2"]
    assert ("speedup.html" in (tmp_path / "quick" / "progress.html").read_text()) == there
