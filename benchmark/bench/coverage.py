"""Do the intervals hold and are confirmed flips true? Simulated studies, how many stands in each line's name.

The draws are seeded and nothing is timed: the same number of studies gives the same figures on a busy machine
as on an idle one. Next: analysis/simulate.py.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from benchmark.analysis import simulate, simulate_flips
from benchmark.bench.figures import Figure

STUDIES = 1000
SEEDS = (3, 5)
INTERVALS = "coverage of 95 % intervals, worst to best cell (meant: .92 to .98)"
VERDICTS = "verdicts on equal optimizers that are not inseparable (meant: about .05)"
FLIPS = "studies with a confirmed flip that is not true (meant: .05 at most)"
Part = tuple[str, float, Callable[[], list[Figure]]]


def parts(studies: int = STUDIES) -> Iterator[Part]:
    """What is simulated: name, about how many seconds it takes, and the figures."""
    for design in simulate.DESIGNS:
        for seeds in SEEDS:
            arguments = (design, seeds, studies)
            yield f"coverage: {design.name}", 0.008 * studies, lambda a=arguments: intervals(*a)
    for name, (kinds, _) in simulate_flips.STUDIES.items():
        for seeds in (0,) if kinds == ("budget",) else SEEDS:  # a random search has trials, not report seeds
            arguments = (name, seeds, studies)
            yield f"false flips: {name}", 0.03 * studies, lambda a=arguments: flips(*a)


def intervals(design: simulate.Design, seeds: int, studies: int) -> list[Figure]:
    """The share of intervals that hold the planted speedup, and how often equal optimizers are told apart."""
    found = simulate.coverage(design, seeds, studies)
    label = f"{design.name}, {seeds} seeds, {studies:,} studies"
    tied = found["decided"].to_numpy(float)[found["planted"].to_numpy(float) == 1]
    told = [(INTERVALS, found["coverage"].to_numpy(float)), *([(VERDICTS, tied)] if len(tied) else [])]
    return [
        Figure(group, label, "share", float(np.mean(shares)), float(shares.min()), float(shares.max()), studies)
        for group, shares in told
    ]


def flips(name: str, seeds: int, studies: int) -> list[Figure]:
    """The share of studies with a false confirmed flip of each kind, with its exact 95 % interval."""
    found = []
    for kind, share in simulate_flips.false_flips(name, seeds, studies).items():
        ends = stats.binomtest(round(share * studies), studies).proportion_ci()
        label = f"{kind}: {name}, {f'{seeds} seeds' if seeds else '40 trials'}, {studies:,} studies"
        found.append(Figure(FLIPS, label, "share", share, float(ends.low), float(ends.high), studies))
    return found
