"""The site: pages, tables and figures from a results folder, without jax, torch or ray.

`build` writes it, `answer` is its first sentence. Start with builder.py. Both import when called: a running
sweep's progress page (live.py) needs no figures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.store import Results
    from benchmark.studies import Studies

__all__ = ["answer", "build", "nothing_known"]


def build(results: "str | Path | Studies", out: str | Path) -> Path:
    """Write the site for `results`, a folder or what `benchmark.load` made of one, into `out` and return its
    index. Raises ValueError without records."""
    from benchmark.report import builder

    return builder.build(results, out)


def answer(results: "Results", sweep: str, against: Sequence[str] = ()) -> tuple[str, ...]:
    """The site's first sentences for a sweep; an optimizer of one's own is compared with those named `against`.
    Raises ValueError that lists the sweeps if there is none such."""
    from benchmark.report import sentence

    return sentence.answer(results, sweep, against)


def nothing_known(results: "Results", sweep: str) -> bool:
    """Whether an optimizer of one's own has no finished report run in a sweep."""
    from benchmark.report import asked, sentence

    return asked.failed(sentence.study_of(results, sweep))
