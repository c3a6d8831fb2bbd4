"""Averages of a run's weights that the benchmark keeps beside the last iterate, the same for both frameworks.

They are taken of what would be evaluated, at SAMPLES moments of the run and between the calls of its loop, so
that the training itself is the same to the bit with them and without. The last iterate stays the result.
"""

from collections.abc import Mapping

SAMPLES = 200  # moments of a run, so that the shortest mean age below is that of four samples
EMAS: Mapping[str, float] = {"ema2": 0.02, "ema10": 0.1}
"""Name -> mean age of an exponential average's weights, as a fraction of the run."""

TAIL = 0.1  # of the run: what the uniform mean "tail" is over (LAWA, arXiv 2209.14981, of its latest iterates)
NAMES = (*EMAS, "tail")


def every(steps: int) -> int:
    """Steps between two samples."""
    return max(1, round(steps / SAMPLES))


def next_sample(step: int, steps: int) -> int:
    """The first step after `step` at which a sample is taken; the last step is always one."""
    return min(steps, (step // every(steps) + 1) * every(steps))


def weights(step: int, steps: int) -> dict[str, float]:
    """The share of the sample at `step` in each average: average += share (sample - average).

    An exponential average is the plain mean of its samples until these are as old as it is meant to be; the
    tail's is that of its samples so far, 0 before it begins.
    """
    apart = every(steps)
    number = -(-step // apart)  # the last sample may come early
    shares = {name: max(1 / number, apart / (apart + age * steps)) for name, age in EMAS.items()}
    before = int((1 - TAIL) * steps) // apart  # samples that the tail leaves out
    return {**shares, "tail": 1 / (number - before) if number > before else 0.0}
