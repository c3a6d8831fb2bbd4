"""What it costs to have a model at several token budgets: runs planned for each, or one long run.

Under a schedule that does not know the horizon a longer run begins as a shorter one does. One run to the
largest budget, with a decay branched off where each smaller one would end, is then as good as a run for each.
"""

from collections.abc import Sequence


def branched_tokens(budgets: Sequence[float], decay_fraction: float) -> float:
    """Training tokens of one run to the largest budget and a decay for each smaller one, over the last
    `decay_fraction` of its budget."""
    *smaller, largest = sorted(budgets)
    return largest + decay_fraction * sum(smaller)
