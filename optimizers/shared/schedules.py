"""Contestants under a stated schedule: `adamw+wsd` is AdamW whose rate follows "wsd" and nothing else.

Each is tuned like any other, so that what separates it from the same rule under another schedule is what the
schedule is worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from optimizers.base import Value
from optimizers.shared.near import near

MARK = "+"


@dataclass(frozen=True)
class Schedule:
    """fixed: the recipe's part that it states. horizon_free: whether a longer run begins as a shorter one does,
    so that one long run, with a decay branched off where a shorter one would end, stands for all of them: its
    warmup is then as many tokens in all of them."""

    title: str
    fixed: Mapping[str, Value] = field(default_factory=dict)
    horizon_free: bool = False


def _shape(kind: str, fraction: float) -> dict[str, Value]:
    return {"decay_kind": kind, "decay_fraction": fraction, "final_lr_ratio": 0.0}


SCHEDULES: Mapping[str, Schedule] = {
    "linear": Schedule("linear decay", _shape("linear", 1.0)),
    "cosine": Schedule("cosine decay", _shape("cosine", 1.0)),
    "wsd": Schedule("wsd", _shape("linear", 0.2), horizon_free=True),
    "wsd_sqrt": Schedule("wsd, 1-sqrt decay", _shape("sqrt", 0.2), horizon_free=True),
    "power": Schedule("power schedule", _shape("power", 0.2), horizon_free=True),
    "constant": Schedule("constant rate", _shape("linear", 0.0), horizon_free=True),
}
"""Decays of a fifth of the run, as in the study of 1-sqrt (arXiv 2405.18392), for all that have a trunk."""


def scheduled(name: str) -> tuple[str, Schedule | None]:
    """The contestant that a name is of, and its schedule: `adamw+wsd` -> ("adamw", wsd), `adamw` -> ("adamw",
    None). Raises ValueError for a schedule that there is not."""
    original, mark, schedule = name.partition(MARK)
    if not mark:
        return name, None
    if schedule not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise ValueError(f"{name!r}: no schedule {schedule!r}{near(schedule, SCHEDULES)}; choose from {known}")
    return original, SCHEDULES[schedule]
