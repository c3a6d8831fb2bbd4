"""An optimizer benchmark for language-model pretraining: the fixed experiment, and the reading of its outcome.

    import benchmark

    study = benchmark.load("results")   # a results folder, or one sweep's own
    study.names                         # its sweeps; study.only("reference") keeps one
    study.speedups()                    # tokens saved over the baseline, with intervals and verdicts
    study.losses()                      # the report runs that these rest on
    study.flips()                       # pairs whose order depends on where one looks
    study.bands()                       # the ranks that the noise allows
    study.costs()                       # seconds, FLOPs and memory
    study.records                       # every run
    benchmark.build(study, "reports")   # the site

Every table is a DataFrame with the columns `sweep`, `corpus` and `backend`. The rooms:

    spec, scales, tasks     what a trial, a record, a model size and a task are
    data/, train/           corpora and tokens; the decoder twice, and its trainers
    kit/                    the conformance kit for an optimizer of your own
    store, study, studies   records on disk; one sweep, and several, made ready for reading
    analysis/               from DataFrames to DataFrames
    published/              others' results as records
    report/                 pages and figures

Importing this imports none of them: a worker that trains needs no pandas, a reader neither jax nor torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.studies import Studies

__all__ = ["build", "load"]


def load(results: str | Path = "results") -> "Studies":
    """Every sweep below a results folder, or the one whose own folder it is.

    What cannot be used is left out, with one warning; `.results.damaged` lists it. Raises ValueError that says
    what to do where there is no such folder, or no record in it.
    """
    import warnings

    from benchmark import store, studies

    found = studies.load(results)
    if found.results.damaged:
        warnings.warn(store.skipped(found.results.damaged), stacklevel=2)
    return found


def build(results: "str | Path | Studies", out: str | Path = "reports") -> Path:
    """Write the site for a folder, or for what `load` made of one, into `out`; return its index."""
    from benchmark import report

    return report.build(results, out)
