"""The site: pages, tables and figures from a results folder, without jax, torch or ray.

`build` writes it, `answer` is its first sentence. Start with site.py.
"""

from benchmark.report.sentence import answer
from benchmark.report.site import build

__all__ = ["answer", "build"]
