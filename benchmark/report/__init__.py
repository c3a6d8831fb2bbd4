"""The site: pages, tables and figures from a results folder, without jax, torch or ray.

`build` writes it, `answer` is its first sentence. Start with builder.py. Both import when called: a running
sweep's progress page (live.py) needs no figures.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.store import Results
    from benchmark.studies import Studies

__all__ = ["answer", "build"]


def build(results: "str | Path | Studies", out: str | Path) -> Path:
    """Write the site for `results`, a folder or what `benchmark.load` made of one, into `out` and return its
    index. Raises ValueError without records."""
    from benchmark.report import builder

    return builder.build(results, out)


def answer(results: "Results", sweep: str) -> tuple[str, str, str, str]:
    """The site's first sentences for a sweep. Raises ValueError that lists the sweeps if there is none such."""
    from benchmark.report import sentence

    return sentence.answer(results, sweep)
