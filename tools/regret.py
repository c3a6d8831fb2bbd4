"""What a search is worth: `python -m tools.regret` runs the searches on simulated surfaces and prints regret.

Regret is the true loss of what was chosen, less the lowest there is, in nats. Surfaces are quadratic in grid
steps, with interactions and axes that matter little beside the rate; a run adds what its seed does to all
settings alike, and noise of its own.
"""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.arguments import Parser, whole
from optimizers.base import Axis
from sweeps.search.box import Line
from sweeps.search.coordinate_search import Found, coordinate_descent
from sweeps.search.gp_search import RULES, Rules, gp_search
from sweeps.search.history import History
from sweeps.search.random_search import random_search
from sweeps.search.space import Setting

RATE_CURVATURE = 0.03  # nats per squared grid step, about what AdamW has at 27k and 1x
LEAST_CURVATURE, MOST_CURVATURE = 0.0005, 0.02  # of the other axes, log-uniform
INTERACTION = 0.3  # spread of the correlations between axes
NEAR, FAR = 0.7, 1.8  # grid steps from the start to the optimum along an axis: spread
SEED_SD = 0.01  # nats, of what a seed does to all settings alike
GRID = (0.01, 0.02, 0.04, 0.08)


@dataclass(frozen=True)
class Surface:
    """A quadratic bowl around an optimum, in grid steps from the middle of the grid."""

    names: tuple[str, ...]
    matrix: np.ndarray
    optimum: np.ndarray

    def excess(self, setting: Setting) -> float:
        lines = [Line(axis) for axis in axes(len(self.names)).values()]
        places = [line.position(setting[n]) for line, n in zip(lines, self.names, strict=True)]
        gap = np.array(places) - 1.0 - self.optimum
        return float(gap @ self.matrix @ gap)


def axes(count: int) -> dict[str, Axis]:
    """A rate and other factors, each with four values and its start at the second."""
    names = ["peak_lr", *(f"h{i}" for i in range(1, count))]
    return {name: Axis(GRID, GRID[1], "log") for name in names}


def surface(count: int, spread: float, seed: int) -> Surface:
    """A drawn surface over so many axes."""
    rng = np.random.default_rng(seed)
    logs = rng.uniform(math.log(LEAST_CURVATURE), math.log(MOST_CURVATURE), count)
    curvature = np.concatenate([[RATE_CURVATURE], np.exp(logs[1:])])
    factor = rng.normal(0, INTERACTION, (count, count)) + np.eye(count)
    inner = factor @ factor.T
    scale = np.sqrt(np.diag(inner))
    root = np.sqrt(curvature)
    matrix = inner / np.outer(scale, scale) * np.outer(root, root)
    return Surface(tuple(axes(count)), matrix, rng.normal(0, spread, count))


Search = Callable[[History, Mapping[str, Axis], Setting, str], Found]


def coordinate(history: History, space: Mapping[str, Axis], start: Setting, salt: str) -> Found:
    return coordinate_descent(history, space, start, tuple(space), salt)


def at_random(history: History, space: Mapping[str, Axis], start: Setting, salt: str) -> Found:
    return random_search(history, space, start, salt)


def by_model(rules: Rules = RULES) -> Search:
    def search(history: History, space: Mapping[str, Axis], start: Setting, salt: str) -> Found:
        return gp_search(history, space, start, salt, rules=rules)

    return search


def regrets(
    search: Search, count: int, spread: float, noise: float, budget: int, searches: int, seeds: int, runs: int
) -> list[float]:
    """Of so many drawn surfaces the regret, the mean over its searches, which share the budget."""
    found = []
    space = axes(count)
    start = {name: axis.start for name, axis in space.items()}
    for run in range(runs):
        bowl = surface(count, spread, run)
        each = []
        for k in range(searches):
            share = len(range(budget)[k::searches])
            own = range(100 * k, 100 * k + seeds)

            def loss(setting: Setting, seed: int, purpose: str, run: int = run, bowl: Surface = bowl) -> float:
                level = random.Random(f"{run} {seed}").gauss(0, SEED_SD)
                own = random.Random(f"{run} {seed} {sorted(setting.items())}").gauss(0, noise)
                return 3.5 + bowl.excess(setting) + level + own

            history = History(loss, share, own)
            winner = search(history, space, start, f"{run} {k}").winner
            each.append(bowl.excess(winner) if winner else math.inf)
        found.append(statistics.fmean(each))
    return found


NO_RACE = dataclasses.replace(RULES, race=0.0)
# name -> search, how many share the budget, tuning seeds
VARIANTS: dict[str, tuple[Search, int, int]] = {
    "coordinate descent": (coordinate, 1, 1),
    "coordinate descent, three seeds": (coordinate, 1, 3),
    "coordinate descent, two searches": (coordinate, 2, 1),
    "random": (at_random, 1, 1),
    "gp": (by_model(), 1, 3),
    "gp, two searches": (by_model(), 2, 3),
    "gp, by the lowest loss": (by_model(dataclasses.replace(RULES, smoothed=False)), 1, 3),
    "gp, no race": (by_model(NO_RACE), 1, 3),
    "gp, no race, by the lowest loss": (by_model(dataclasses.replace(NO_RACE, smoothed=False)), 1, 3),
    "gp, opening 0.3": (by_model(dataclasses.replace(RULES, opening=0.3)), 1, 3),
}


def table(runs: int, budgets: Sequence[int] = (8, 16, 40), noises: Sequence[float] = (0.010, 0.014)) -> str:
    """Mean and standard deviation of the regret, in thousandths of a nat, by search and budget."""
    lines = []
    for noise in noises:
        for count in (5, 10):
            for word, spread in (("near", NEAR), ("far", FAR)):
                lines.append(f"{count} axes, noise {noise:.3f}, {word} starts, {runs} surfaces; regret / .001")
                lines.append(f"{'':<34}" + "".join(f"{f'{b} trials':>16}" for b in budgets))
                for name, (search, searches, seeds) in VARIANTS.items():
                    cells = []
                    for budget in budgets:
                        found = [
                            1000 * r
                            for r in regrets(search, count, spread, noise, budget, searches, seeds, runs)
                        ]
                        cells.append(f"{statistics.fmean(found):.1f} ({statistics.stdev(found):.1f})")
                    lines.append(f"{name:<34}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = Parser(prog="python -m tools.regret", usage="%(prog)s [RUNS]", description=__doc__)
    parser.add_argument("runs", type=whole, nargs="?", default=40, help="surfaces of each kind (default: 40)")
    print(table(parser.parse_args(arguments).runs))


if __name__ == "__main__":
    main()
