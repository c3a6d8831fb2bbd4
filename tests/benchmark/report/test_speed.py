"""The page of speeds shows every figure of the bench, and says so where there are none."""

from pathlib import Path

from benchmark import measurements, store
from benchmark.measurements import measurement
from benchmark.report.pages import speed
from benchmark.report.site import Site
from benchmark.studies import studies

WHERE = {"machine": "aaaa", "cpu": "A processor", "device": "cpu", "commit": "c0ffee1234", "load": 0.1}


def page(results: Path, bench: Path, out: Path) -> str:
    loaded = store.load(results)
    speed.write_site(Site(out, studies(loaded), loaded, bench))
    return (out / "speed.html").read_text(encoding="utf-8")


def test_every_figure_is_shown_with_its_range_ratio_and_commit(results: Path, tmp_path: Path) -> None:
    twice = measurement("throughput", "27k: ours", "tokens/s", [2000.0, 2400.0, 2200.0], [1000.0] * 3, "theirs")
    measurements.write([twice], WHERE, tmp_path / "bench" / "throughput.json")
    measurements.write(
        [measurement("memory", "27k: a worker", "MB", [512.0])], WHERE, tmp_path / "bench" / "memory.json"
    )
    html = page(results, tmp_path, tmp_path / "site")
    assert "A processor · cpu · aaaa" in html
    for shown in (
        "Throughput",
        "2,200 tokens/s",
        "2,000 to 2,400",
        "2.20 (2.00 to 2.40) of theirs",
        "c0ffee12",
    ):
        assert shown in html
    assert "512 MB" in html


def test_nothing_measured_is_said(results: Path, tmp_path: Path) -> None:
    assert "Nothing was measured yet" in page(results, tmp_path, tmp_path / "site")
