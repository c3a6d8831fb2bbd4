"""What happens when in a run: the learning-rate schedule's shape, and the steps after which a run is checked.

The shape is a multiplier in [0, 1], the same for jax, torch and numpy: plain arithmetic without branches,
because every hyperparameter of it is traced in jax, and library schedules branch on theirs. It is warmup, a
trunk, and a decay over the last `decay_fraction`; "wsd" is the linear decay with a fraction below 1.
"""

from types import ModuleType
from typing import Any

DECAY_KINDS = ("cosine", "linear", "sqrt", "power")
POWER = -0.51  # of the trunk's fall with tokens: PowerLM's exponent (arXiv 2408.13359, "b")
CHUNK = 128  # steps between two checks at most: long enough to hide the check, short enough to see an explosion


def multiplier(
    xp: ModuleType,
    step: Any,
    steps: Any,
    warmup_fraction: Any,
    decay_kind: Any,
    decay_fraction: Any,
    final_lr_ratio: Any,
) -> Any:
    """Factor on the peak rate at `step` (from 0) of `steps`.

    xp: numpy, jax.numpy or torch-like module that offers minimum, maximum, cos, sqrt and where.
    warmup_fraction, decay_fraction: fractions of the run; decay never starts before warmup ends.
    decay_kind: index into DECAY_KINDS, so that it can be traced. "sqrt" decays by 1 - sqrt(progress) (arXiv
    2405.18392). "power" decays linearly, and its trunk falls from the end of warmup as tokens**POWER: the rule
    min(peak, b a n**POWER) of arXiv 2408.13359, whose crossing is put at the end of warmup, since its constant
    a is of one model family and the peak is searched anyway.
    final_lr_ratio: final / peak. The last step lies just above it, so no step is wasted at zero.
    """
    warmup_steps = warmup_fraction * steps
    rise = xp.minimum(1.0, (step + 1.0) / xp.maximum(warmup_steps, 1.0))
    start = xp.maximum(warmup_steps, steps * (1.0 - decay_fraction))
    progress = xp.minimum(1.0, xp.maximum(0.0, step - start) / xp.maximum(steps - start, 1.0))
    cosine = 0.5 * (1.0 + xp.cos(xp.pi * progress))
    shape = xp.where(decay_kind == DECAY_KINDS.index("cosine"), cosine, 1.0 - progress)
    shape = xp.where(decay_kind == DECAY_KINDS.index("sqrt"), 1.0 - xp.sqrt(progress), shape)
    fallen = xp.maximum(1.0, (step + 1.0) / xp.maximum(warmup_steps, 1.0)) ** POWER
    trunk = xp.where(decay_kind == DECAY_KINDS.index("power"), fallen, 1.0)
    return rise * trunk * (final_lr_ratio + (1.0 - final_lr_ratio) * shape)


def evaluation_steps(steps: int, points: int) -> list[int]:
    """The steps after which the curve is evaluated: `points` of them, evenly spaced, the last at the end."""
    return sorted({max(1, round(steps * (i + 1) / points)) for i in range(points)})
