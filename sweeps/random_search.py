"""Independent draws from the same space with the same budget.

Coordinate descent's trials depend on each other, so how good the best of k of them is cannot be estimated
from them; from these it can.
"""

import math
import random
from collections.abc import Mapping

from optimizers.base import Axis
from sweeps.ledger import Ledger
from sweeps.protocol import Found
from sweeps.space import Setting, key

DRAWS_PER_TRIAL = 50  # a space so small that this many draws bring nothing new is exhausted


def random_search(ledger: Ledger, axes: Mapping[str, Axis], start: Setting, salt: str) -> Found:
    """Draw each hyperparameter uniformly from its grid, the others as in `start`, until the budget is spent.

    No setting is drawn twice. Raises Waiting while answers are missing.
    """
    coins, drawn = random.Random(salt), {}
    for _ in range(ledger.budget * DRAWS_PER_TRIAL):
        setting = {**start, **{name: coins.choice(axis.grid) for name, axis in axes.items()}}
        if ledger.possible(setting):
            drawn.setdefault(key(setting), setting)
        if len(drawn) == ledger.budget:
            break
    ledger.ask([(setting, ledger.seeds[0], "random") for setting in drawn.values()])
    best = min(drawn.values(), key=ledger.first, default=None)
    return Found(best if best is not None and math.isfinite(ledger.first(best)) else None, {})
