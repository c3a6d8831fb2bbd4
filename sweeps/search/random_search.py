"""Independent draws from the same space with the same budget.

Coordinate descent's trials depend on each other, so how good the best of k of them is cannot be estimated
from them; from these it can.
"""

import math
import random
from collections.abc import Mapping

from benchmark.spec import Value
from optimizers.base import Axis
from sweeps.search.coordinate_search import Found
from sweeps.search.history import History
from sweeps.search.space import Setting, key

DRAWS_PER_TRIAL = 50  # a space so small that this many draws bring nothing new is exhausted


def random_search(history: History, axes: Mapping[str, Axis], start: Setting, salt: str) -> Found:
    """Draw the hyperparameters of `axes`, the others as in `start`, until the budget is spent.

    A setting that was drawn before, which only a space of fixed grids brings, is drawn again. salt: names
    the search; the draws depend on it and on nothing else. Raises Waiting while answers are missing.
    """
    coins, drawn = random.Random(salt), {}
    for _ in range(history.budget * DRAWS_PER_TRIAL):
        setting = {**start, **{name: draw(axis, coins) for name, axis in axes.items()}}
        if history.possible(setting):
            drawn.setdefault(key(setting), setting)
        if len(drawn) == history.budget:
            break
    history.ask([(setting, history.seeds[0], "random") for setting in drawn.values()])
    best = min(drawn.values(), key=history.first, default=None)
    return Found(best if best is not None and math.isfinite(history.first(best)) else None, {})


def draw(axis: Axis, coins: random.Random) -> Value:
    """One of the values of a fixed grid; else log-uniform between the ends of the grid, in the axis' own
    spacing. A value that has no logarithm there, such as 0, keeps its share of the grid."""
    value = coins.choice(axis.grid)
    if axis.spacing == "fixed" or axis.geometric(float(value)) <= 0:
        return value
    logs = [math.log(number) for v in axis.grid if (number := axis.geometric(float(v))) > 0]
    return float(f"{axis.from_geometric(math.exp(coins.uniform(min(logs), max(logs)))):.4g}")
