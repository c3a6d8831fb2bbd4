"""Losses that others measured: a CSV with a scale of its own, and what its pages say of whose it is."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import store
from benchmark.published import __main__ as command
from benchmark.report import build
from benchmark.report.pages import claims
from benchmark.report.site import Site
from benchmark.studies import studies

HEAD = "optimizer,scale,chinchilla_ratio,seed,val_loss,num_params,hp.peak_lr"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one imported CSV: a scale that is on no ladder of ours, two seeds, a rate that varies."""
    folder = tmp_path_factory.mktemp("imported")
    rows = [
        f"{name},350m,{ratio:g},{seed},{3 + 0.5 * (ratio * gain) ** -0.5 + 0.001 * seed},350e6,{rate / ratio}"
        for name, gain, rate in (("adamw", 1.0, 0.003), ("muon", 1.3, 0.01))
        for ratio in (1.0, 2.0, 4.0)
        for seed in (0, 1)
    ]
    (folder / "mine.csv").write_text("\n".join([HEAD, *rows]))
    assert command.main(["--csv", str(folder / "mine.csv"), "--results", str(folder / "results")]) == 0
    return build(folder / "results", folder / "out").parent


def test_they_are_not_called_the_study_s_own(site: Path) -> None:
    for name in ("index", "claims", "speedup"):
        page = (site / "mine" / f"{name}.html").read_text()
        assert "own published results" not in page and "study's own results" not in page
        assert "Losses published by others" not in page
        assert "Imported losses" in page
        assert "is assumed" not in page, "every cell has two seeds"
    assert "Imported results" in (site / "mine" / "claims.html").read_text()


@pytest.mark.parametrize("name", ["adam+me", "ours@best"])
def test_marks_that_mean_something_here_mean_nothing_in_the_names_of_others(name: str, tmp_path: Path) -> None:
    lines = [f"{n},13k,{r},{s},{4.0 - 0.1 * r}" for n in ("adamw", name) for r in (1, 2) for s in (0, 1)]
    table = "\n".join(["optimizer,scale,chinchilla_ratio,seed,val_loss", *lines, ""])
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    options = ["--csv", str(tmp_path / "table.csv"), "--name", "marks", "--results", str(tmp_path / "results")]
    assert command.main(options) == 0
    home = build(tmp_path / "results", tmp_path / "site").parent
    assert name in (home / "marks" / "index.html").read_text(encoding="utf-8")


def test_nobody_here_tuned_them(site: Path) -> None:
    """Whose tuning it is stands wherever the baseline's is spoken of."""
    for page in (site / "mine").rglob("*.html"):
        if page.name not in ("method.html", "claims.html"):  # how our own are tuned, and the study's words
            assert not re.search(r"\btuned AdamW|Tuned AdamW", page.read_text()), page
    head = re.search(r'<h1 id="answer">(.*?)</h1>', (site / "mine" / "index.html").read_text())
    assert head and head[1].startswith("AdamW as its publisher ran it needs ")


def test_a_sweep_s_claims_stand_beside_the_study_s_figures_alone(
    site: Path, tmp_path: Path, study_of: Callable[..., list], writer: Callable[..., Path]
) -> None:
    results = tmp_path / "results"
    shutil.copytree(site.parent / "results", results)
    writer(results, "quick", study_of(("adamw", "muon")))
    assert _site(results, tmp_path).published is None
    writer(results, "theirs", study_of(("adamw", "soap"))[::-1], published=True, name="published-fantastic")
    both = _site(results, tmp_path)
    found, source = {s.name: s for s in both.studies}, both.published
    assert source is found["theirs"]
    assert claims.page(found["quick"], source)["published"] is source


def _site(results: Path, tmp_path: Path) -> Site:
    loaded = store.load(results)
    return Site(tmp_path / "out", studies(loaded), loaded, results)


def test_a_scale_on_no_ladder_gets_every_page(site: Path) -> None:
    muon = (site / "mine" / "optimizers" / "muon.html").read_text()
    assert "350m-4x" in muon
    assert "peak_lr" in muon[muon.index("Laws h(N, r)") :]
