"""A task is a scale, a corpus and a token budget: `100k-4x` is 20 x 100k x 4 tokens."""

import re
from dataclasses import dataclass

from benchmark import scales
from benchmark.scales import Scale

TOKENS_PER_PARAMETER = 20  # Chinchilla's rule of thumb: what a ratio of 1 means (arXiv 2203.15556)


def task_name(scale: str, ratio: float) -> str:
    """`27k-0.5x`: what a task is called, in records, on pages and on a command line."""
    return f"{scale}-{ratio:g}x"


@dataclass(frozen=True)
class Task:
    """What is to be learned, whoever learns it."""

    scale: Scale
    chinchilla_ratio: float
    corpus: str = "gcide"

    @property
    def name(self) -> str:
        return task_name(self.scale.name, self.chinchilla_ratio)

    @property
    def tokens(self) -> int:
        """The training budget in tokens."""
        return round(TOKENS_PER_PARAMETER * self.scale.num_params * self.chinchilla_ratio)

    def steps(self, batch_size: int) -> int:
        """Optimizer steps that the budget pays for, the incomplete last batch dropped."""
        return self.tokens // (batch_size * self.scale.seq_len)


def parse(name: str, corpus: str = "gcide") -> Task:
    """`27k-0.5x` -> Task. Raises ValueError that says what a task's name looks like."""
    match = re.fullmatch(r"(?P<scale>.+)-(?P<ratio>\d+(\.\d+)?)x", name)
    if not match or float(match["ratio"]) <= 0:
        raise ValueError(f"unknown task {name!r}; a task is SCALE-RATIOx, for example 27k-1x or 100k-0.5x")
    return Task(scales.get(match["scale"]), float(match["ratio"]), corpus)
