"""Are verdicts, intervals and flips true, and what is found? Simulated sweeps, how many stands in each name.

The draws are seeded and nothing is timed: the same number of replications gives the same figures on a busy
machine as on an idle one.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmark.analysis.settings import rows
from benchmark.measurements import Measurement
from tools.simulate import flips as simulated_flips
from tools.simulate import replications as simulated
from tools.simulate import verdicts as simulated_verdicts

REPLICATIONS, MORE = 100, 300  # of each kind; with --full
SEEDS = (4, 8)
TOGETHER = "replications in which every interval holds its truth (meant: .93 to .98)"
ALONE = "cells whose own interval holds the truth (meant: .93 to .98)"
FALSE = "replications with a false verdict (meant: .05 at most)"
FOUND = "cells with a planted speedup that are judged faster"
UNDECIDED = "cells left undecided"
FLIPS = "replications with a confirmed flip that is not true (meant: .05 at most)"
MENUS = {"all equal": simulated_verdicts.EQUAL, "planted": simulated.MENU}
Part = tuple[str, float, Callable[[], list[Measurement]]]


def parts(replications: int = REPLICATIONS) -> Iterator[Part]:
    """What is simulated: name, about how many seconds it takes, and the figures."""
    for design in simulated.DESIGNS:
        for menu in MENUS:
            arguments = (design, menu, replications)
            yield f"coverage: {design.name}, {menu}", 0.25 * replications, lambda a=arguments: verdicts(*a)
    for name, (kinds, _) in simulated_flips.REPLICATIONS.items():
        for seeds in (0,) if kinds == ("budget",) else SEEDS:  # a random search has trials, not report seeds
            arguments = (name, seeds, replications)
            yield f"false flips: {name}", 0.5 * replications, lambda a=arguments: flips(*a)


def verdicts(design: simulated.Design, menu: str, replications: int) -> list[Measurement]:
    """Shares of replications and of cells, each with its 95 % interval over replications."""
    table = simulated_verdicts.outcomes(design, replications, MENUS[menu])
    label = f"{design.name}, {menu}, {replications:,} replications"
    held, held_one, wrong = (
        simulated_verdicts.shares(table, table[c].to_numpy(bool)) for c in ("held", "held_one", "wrong")
    )
    found = [
        _share(TOGETHER, label, int((held == 1).sum()), replications),
        _mean(ALONE, label, held_one),
        _share(FALSE, label, int((wrong > 0).sum()), replications),
    ]
    truth, verdict = table["truth"].to_numpy(float), table["verdict"].to_numpy(str)
    for planted in np.unique(truth[truth > 1]):
        own = rows(table, truth == planted)
        faster = simulated_verdicts.shares(own, verdict[truth == planted] == "faster")
        found.append(_mean(FOUND, f"{planted:g}x: {label}", faster))
    return [*found, _mean(UNDECIDED, label, simulated_verdicts.shares(table, verdict == "undecided"))]


def flips(name: str, seeds: int, replications: int) -> list[Measurement]:
    """The share of replications with a false confirmed flip of each kind, with its exact 95 % interval."""
    found = []
    for kind, share in simulated_flips.false_flips(name, seeds, replications).items():
        label = f"{kind}: {name}, {f'{seeds} seeds' if seeds else '40 trials'}, {replications:,} replications"
        found.append(_share(FLIPS, label, round(share * replications), replications))
    return found


def _share(group: str, label: str, count: int, replications: int) -> Measurement:
    """A share of replications with its exact 95 % interval."""
    ends = stats.binomtest(count, replications).proportion_ci()
    return Measurement(
        group, label, "share", count / replications, float(ends.low), float(ends.high), replications
    )


def _mean(group: str, label: str, shares: NDArray[np.float64]) -> Measurement:
    """The mean of the replications' shares with its 95 % interval."""
    mean, half = float(shares.mean()), 1.96 * float(shares.std(ddof=1)) / np.sqrt(len(shares))
    return Measurement(group, label, "share", mean, max(mean - half, 0.0), min(mean + half, 1.0), len(shares))
