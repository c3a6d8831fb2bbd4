"""What one worker compiles: counted from what jax says of its cache on disk."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmark.data.corpora import Corpus
from benchmark.spec import Trial
from benchmark.train import trainer_jax
from optimizers.base import Optimizer

ASKED = "/jax/compilation_cache/compile_requests_use_cache"
MISSED = "/jax/compilation_cache/cache_misses"


def train_counting(
    made: Sequence[tuple[Trial, Optimizer]], corpus: Corpus, cache: Path
) -> tuple[int, int, float]:
    """Train these trials one after the other: programs of any kind that this process needed, those of them
    that `cache` did not have, and seconds in which the trainer compiled or loaded its own."""
    trainer_jax.set_up(cache)
    events: Counter[str] = Counter()

    def listen(event: str, **_: Any) -> None:
        events[event] += 1

    jax.monitoring.register_event_listener(listen)
    seconds = 0.0
    for trial, rule in made:
        (outcome,) = trainer_jax.train([trial], [rule], corpus)
        seconds += outcome.cost.compile_seconds
    return events[ASKED], events[MISSED], seconds
