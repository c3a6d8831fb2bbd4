"""The axes that several optimizers search, and the one rule by which every search on the micro ladder starts.

The rule uses nothing that was found by running this suite, so that no optimizer is better prepared:
- A rate starts at WIDTH_FACTOR times the best of "Fantastic Pretraining Optimizers and Where to Find Them"
  (arXiv 2509.02046) at 130M and 1x, on a grid of the same octaves around it for all.
- Every other hyperparameter starts at the published study's best at 130M and 1x; AdamW's variants at AdamW's,
  so that none has a head start on it. What the published study has not tuned starts at the method's own
  default, and the recipe at one value for all. A method that it has not tuned at all and that changes one part
  of AdamW or of Lion starts where that one does. A factor on a rate that a rule finds itself starts at 1, what
  its authors use, on the same octaves. A guard against division by zero is not searched: it stays where
  it does not act.
- A grid of decays or averaging coefficients has five values, the same for all but for their unit.
A file that departs from this says so in its docstring. Spaces named "paper" are the published study's grids.
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


WIDTH_FACTOR = 4.0  # width**-0.5 from the published 512 to 32: half way between no correction and one by width
OCTAVES = range(-3, 3)  # three below and two above: a rate that is too high is a trial that says little


def micro_rate(study_best: float) -> Axis:
    """The rate, around the published study's best at 130M and 1x."""
    start = WIDTH_FACTOR * study_best
    return rate(tuple(float(f"{start * 2.0**octave:.4g}") for octave in OCTAVES), float(f"{start:.4g}"))


def micro_decay(study_best: float) -> Axis:
    """Weight decay: none, and octaves around the published study's best."""
    return decay(tuple(float(f"{study_best * factor:.4g}") for factor in (0, 0.5, 1, 2, 4)), study_best)


def micro_momentum(study_best: float) -> Axis:
    """The coefficient of the average that becomes the step; short runs may want a short memory."""
    return beta((0.6, 0.8, 0.9, 0.95, 0.98), study_best)


def micro_beta2(study_best: float) -> Axis:
    """The coefficient of any other average."""
    return beta((0.8, 0.9, 0.95, 0.98, 0.99), study_best)


def micro_adam(study_best_rate: float) -> dict[str, Axis]:
    """The axes of AdamW and of every variant that changes one part of it. All start at the same values, except
    for the rate."""
    return {
        "peak_lr": micro_rate(study_best_rate),
        "weight_decay": micro_decay(0.1),
        "beta1": micro_momentum(0.9),
        "beta2": micro_beta2(0.98),
    }


def found_rate() -> dict[str, dict[str, Axis]]:
    """AdamW's axes on both ladders for a rule that finds its rate itself: the factor on it starts at 1, on the
    micro ladder on a grid as wide as a rate's."""
    return {
        "micro": {**micro_adam(1.0), "peak_lr": rate(tuple(2.0**octave for octave in OCTAVES), 1.0)},
        "paper": {
            "peak_lr": rate((0.25, 0.5, 1.0, 2.0), 1.0),
            "weight_decay": decay((0.0, 0.1, 0.2), 0.1),
            "beta1": beta((0.9, 0.95, 0.98), 0.9),
            "beta2": beta((0.9, 0.95, 0.98), 0.95),
            "eps": epsilon((1e-25, 1e-20, 1e-15, 1e-10), 1e-20),
        },
    }


# Even the smallest search tunes the rates of all roles, the decay and the momentum: the same five for everyone.
ADAM_ESSENTIAL = ("peak_lr", "weight_decay", "beta1", "embedding_lr_ratio", "head_lr_ratio")
