"""The axes that several entries search, so that a beta is continued alike everywhere.

Grids named PAPER are those of "Fantastic Pretraining Optimizers and Where to Find Them" (arXiv 2509.02046) at
130M and 1x. Rates that are best on the micro ladder lie about ten times higher.
"""

from optimizers.base import Axis


def rate(grid: tuple[float, ...], start: float) -> Axis:
    """A learning rate or any other positive factor, searched in ratios."""
    return Axis(grid, start, "log")


def decay(grid: tuple[float, ...], start: float) -> Axis:
    """Weight decay; 0 is a member of every grid and the end of it."""
    return Axis(grid, start, "log")


def beta(grid: tuple[float, ...], start: float) -> Axis:
    """An averaging coefficient, searched in ratios of 1 - beta; at 1 it would never forget."""
    return Axis(grid, start, "log1m", high=0.9999)


def epsilon(grid: tuple[float, ...], start: float) -> Axis:
    """A guard against division by zero; float32 ends near 1e-38."""
    return Axis(grid, start, "log", low=1e-30, high=1e-2)


# One start for AdamW and all that differ from it in one place: none of them gets a head start. Runs of a few
# hundred steps want a shorter momentum than the study's: at 27k and 1x AdamW gains 0.05 nats from .8 over .9.
MICRO_ADAM = {
    "peak_lr": rate((0.008, 0.016, 0.032, 0.064), 0.016),
    "weight_decay": decay((0.0, 0.1, 0.2, 0.4), 0.2),
    "beta1": beta((0.6, 0.8, 0.9, 0.95), 0.8),
    "beta2": beta((0.9, 0.95, 0.98, 0.99), 0.95),
}
