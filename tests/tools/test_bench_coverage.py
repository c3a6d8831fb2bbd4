"""The simulated sweeps of the bench: every line is there, and counts what it says."""

import pytest

from benchmark import measurements
from tools.bench import coverage
from tools.bench.__main__ import GROUPS
from tools.simulate import flips as simulated_flips
from tools.simulate import replications, verdicts


def test_every_design_and_every_kind_of_flip_is_a_line_of_the_bench() -> None:
    assert "coverage" in GROUPS  # what `make bench` runs
    names = [name for name, _, _ in coverage.parts()]
    for design in replications.DESIGNS:
        assert names.count(f"coverage: {design.name}, all equal") == 1
        assert names.count(f"coverage: {design.name}, planted") == 1
    flips = [name.removeprefix("false flips: ") for name in names if name.startswith("false flips: ")]
    assert set(flips) == set(simulated_flips.REPLICATIONS)
    assert len(names) == 2 * len(replications.DESIGNS) + len(flips)
    kinds = {kind for kinds, _ in simulated_flips.REPLICATIONS.values() for kind in kinds}
    assert kinds == {"fraction", "ratio", "scale", "budget", "seconds"}


def test_the_regimes_are_those_in_which_verdicts_once_failed() -> None:
    designs = {design.name: design for design in replications.DESIGNS}
    assert len(designs) == len(replications.DESIGNS)
    assert {0.0, 0.012, 0.02} <= {d.choosing_sd for d in replications.DESIGNS}
    assert {2, 6, 12} <= {len(d.speedups) for d in replications.DESIGNS}
    assert {(3,), (6,), (12,), (4, 8), (3, 6, 12)} <= {d.looks for d in replications.DESIGNS}
    loud = [{n for n, sd in d.residual_sds.items() if sd == 0.03} for d in replications.DESIGNS]
    assert {"adamw"} in loud and any(n and "adamw" not in n for n in loud)
    assert {0.004, 0.010} <= {d.residual_sd for d in replications.DESIGNS if d.misfit}


def test_figures_are_the_shares_with_their_ends() -> None:
    found = {(f.group, f.name): f for f in coverage.verdicts(replications.LARGE, "planted", 6)}
    table = verdicts.outcomes(replications.LARGE, 6)
    label = "130m, planted, 6 replications"  # fewer replications are another figure
    held = table.groupby("replication").held.all()
    assert found[coverage.TOGETHER, label].median == held.mean()
    assert found[coverage.FALSE, label].median == table.groupby("replication").wrong.any().mean()
    assert found[coverage.ALONE, label].median == pytest.approx(table.held_one.mean())
    told = table[table.truth == 1.1]
    assert found[coverage.FOUND, f"1.1x: {label}"].median == pytest.approx((told.verdict == "faster").mean())
    (flip,) = coverage.flips("equal at one trial", 0, 20)
    assert (flip.median, flip.lo) == (0.0, 0.0)
    assert flip.hi == pytest.approx(1 - 0.025 ** (1 / 20))  # Clopper and Pearson, none of 20
    assert (
        measurements.moved(
            [flip], [measurements.Measurement(flip.group, flip.name, "share", 0.4, 0.3, 0.5, 20)]
        )
        != []
    )
