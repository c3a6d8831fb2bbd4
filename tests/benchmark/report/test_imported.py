"""Losses that others measured: a CSV with a scale of its own, and what its pages say of whose it is."""

from pathlib import Path

import pytest

from benchmark.published import __main__ as command
from benchmark.report import build

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


def test_a_scale_on_no_ladder_gets_every_page(site: Path) -> None:
    muon = (site / "mine" / "optimizers" / "muon.html").read_text()
    assert "350m-4x" in muon
    assert "peak_lr" in muon[muon.index("Laws h(N, r)") :]
