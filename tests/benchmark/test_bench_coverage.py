"""The simulated studies of the bench: every line is there, and counts what it says."""

import numpy as np
import pytest

from benchmark.analysis import simulate, simulate_flips
from benchmark.bench import coverage, figures
from benchmark.bench.__main__ import GROUPS


def test_every_design_and_every_kind_of_flip_is_a_line_of_the_bench() -> None:
    assert "coverage" in GROUPS  # what `make bench` runs
    names = [name for name, _, _ in coverage.parts()]
    assert names.count("coverage: micro") == 2  # 3 and 5 seeds
    assert {name.split(": ")[0] for name in names} == {"coverage", "false flips"}
    kinds = {kind for kinds, _ in simulate_flips.STUDIES.values() for kind in kinds}
    assert kinds == {"fraction", "ratio", "scale", "budget", "seconds"}
    assert len(names) == 2 * len(simulate.DESIGNS) + sum(
        1 if kinds == ("budget",) else 2 for kinds, _ in simulate_flips.STUDIES.values()
    )


def test_coverage_counts_the_intervals_that_hold_the_truth() -> None:
    design = simulate.LARGE
    got = simulate.coverage(design, 3, 6, draws=100).set_index(["optimizer", "chinchilla_ratio"])
    held = dict.fromkeys(got.index, 0)
    for i in range(6):  # one by one, each in a frame of its own
        losses = simulate.study(design, 3, np.random.default_rng([0, i])).assign(scale=f"{i:06d}")
        for row in simulate.speedups(losses, n_bootstrap=100).itertuples():
            if row.optimizer != "adamw":
                truth = design.speedups[row.optimizer]
                held[row.optimizer, row.chinchilla_ratio] += row.lo <= truth <= row.hi
    assert got.coverage.to_dict() == {key: count / 6 for key, count in held.items()}


def test_figures_are_the_shares_with_their_ends() -> None:
    found = coverage.intervals(simulate.LARGE, 3, 20)
    assert found[0].name == "130m, 3 seeds, 20 studies"  # fewer studies are another figure
    cells = simulate.coverage(simulate.LARGE, 3, 20)
    held = cells.coverage
    assert (found[0].median, found[0].lo, found[0].hi) == pytest.approx((held.mean(), held.min(), held.max()))
    assert found[1].median == pytest.approx(cells[cells.planted == 1.0].decided.mean())
    (flip,) = coverage.flips("equal at one trial", 0, 20)
    assert (flip.median, flip.lo) == (0.0, 0.0)
    assert flip.hi == pytest.approx(1 - 0.025 ** (1 / 20))  # Clopper and Pearson, none of 20
    assert figures.moved([flip], [figures.Figure(flip.group, flip.name, "share", 0.4, 0.3, 0.5, 20)]) != []
