"""The progress page of a running sweep: it comes, and the sweep does not notice, whatever happens to it."""

import dataclasses
import json
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import running
from benchmark.report import build, live, running_trials

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


def test_the_page_joins_a_site_and_the_next_build_replaces_it(
    tmp_path: Path, results: Path, site: Path
) -> None:
    shutil.copytree(site, tmp_path, dirs_exist_ok=True)
    whole = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    page = live.build(results, tmp_path, "quick")
    assert page == tmp_path / "quick" / "progress.html"
    assert page.read_bytes() != whole[page]
    build(results, tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == whole


@pytest.mark.parametrize("beside", [False, True])
def test_before_the_first_site_no_link_leads_nowhere(
    tmp_path: Path, site: Path, study_of: Callable[..., list], writer: Callable[..., Path], beside: bool
) -> None:
    """A sweep has no page but this one until it ends, be there a site of other sweeps or none."""
    out = tmp_path / "out"
    if beside:
        shutil.copytree(site, out)
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


def line(step: int, loss: float, **changes: Any) -> running.Line:
    of = (step, 1000, step * 1024, loss, 2048.0, 0.31, "host", 1)
    return dataclasses.replace(running.Line(time.time(), "t1", "muon", "6m-1x", *of), **changes)


@pytest.mark.parametrize("records", [True, False])
def test_a_running_trial_is_on_the_page_without_a_record_and_without_a_build(
    tmp_path: Path,
    results: Path,
    study_of: Callable[..., list],
    writer: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    records: bool,
) -> None:
    """From the first line on, also where no trial of the sweep has ended yet."""
    monkeypatch.setattr(live, "REFRESH", 0.05)
    if not records:
        results = writer(tmp_path / "results", "quick", study_of(("adamw", "muon")))
        (results / "quick" / "trials.jsonl").unlink()
    out, driver = tmp_path / "out", Driver()
    page, folder = out / "quick" / "progress.html", results / "quick" / running.FOLDER

    def shows(*texts: str) -> bool:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if page.exists() and all(text in page.read_text() for text in texts):
                return True
            time.sleep(0.05)
        return False

    try:
        with live.watch(driver, results, out, "quick") as watched:
            assert pickle.dumps(watched), "as Tune does"
            running.append(folder, line(100, 5.1234))
            assert shows("Running now", "100 of 1,000", "5.1234", "2,048", "31%", "8 min", "<body data-live>")
            assert "Complete: all" in page.read_text() or not records
            started = watched.next
            running.append(folder, line(200, 4.5678, note="wandb: <offline>"))
            assert shows("4.5678", "200 of 1,000", "<polyline", "wandb: &lt;offline&gt;")
            running.end(folder, "t1")
            deadline = time.monotonic() + 30
            while "Running now" in page.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert "Running now" not in page.read_text()
            assert watched.next == started or not started, "no build for it"
        assert driver.manifests == 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_of_days_is_read_in_samples(tmp_path: Path) -> None:
    folder = tmp_path / running.FOLDER
    folder.mkdir()
    each = json.dumps(dataclasses.asdict(line(1, 4.0)))
    steps = [each.replace('"step": 1,', f'"step": {n},') for n in range(1, 20_001)]
    (folder / "t1.jsonl").write_text("\n".join(steps) + "\n")
    began = time.perf_counter()
    (found,) = running.read(tmp_path)
    assert time.perf_counter() - began < 0.5
    assert found[-1].step == 20_000 and 50 < len(found) <= running.SAMPLES
    assert [x.step for x in found] == sorted({x.step for x in found}) and found[0].step < 20


def test_a_trial_that_says_nothing_any_more_is_marked_and_then_left_out(tmp_path: Path) -> None:
    running.append(
        tmp_path / running.FOLDER, line(100, 5.0, time=1000.0, share_of_peak=None, tokens_per_second=1e4)
    )
    assert "1000 s" not in (part := running_trials.section(tmp_path, now=1010.0)) and "10 s ago<" in part
    assert "5 min ago, silent" in running_trials.section(tmp_path, now=1300.0)
    assert "Running" not in running_trials.section(tmp_path, now=1000.0 + 2 * running_trials.GONE_SECONDS)
