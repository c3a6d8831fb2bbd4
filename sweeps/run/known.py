"""Records that count as run: which they are, and what has to be said of them."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from benchmark.data import sources
from benchmark.spec import Record
from optimizers.user import identity
from sweeps.search.sweep import Sweep


def counted(found: Iterable[Record], retry_failed: bool) -> Iterator[Record]:
    """The records whose trials are not run again, failed ones as asked for.

    A record of text of the user's own once named it by its path. It counts as its trial's of today as well.
    """
    for record in found:
        if record.status == "failed" and retry_failed:
            continue
        yield record
        corpus = sources.identity(record.trial.corpus)
        if corpus != record.trial.corpus:
            yield dataclasses.replace(record, trial=dataclasses.replace(record.trial, corpus=corpus))


def by_id(found: Iterable[Record], retry_failed: bool) -> dict[str, Record]:
    """`counted`, by trial id; of two records of a trial the later one."""
    return {record.trial.trial_id: record for record in counted(found, retry_failed)}


def made_otherwise(sweep: Sweep, known: Mapping[str, Record]) -> str:
    """A line where records that this sweep counts were made by other code of the same version of a registered
    optimizer; empty where there are none. Records that do not say what code made them are believed."""
    tasks = {stage.task.name for stage in sweep.stages}
    rules = {c.rule: identity.registered(f"optimizers.{c.rule.partition('@')[0]}") for c in sweep.contestants}
    same = (sweep.corpus_hash, sweep.eval_corpus_hash, sweep.backend, sweep.precision)
    counts: dict[str, int] = {}
    for record in known.values():
        trial = record.trial
        now, then = rules.get(trial.rule, ""), record.facts.get("source", "")
        its = (trial.corpus_hash, trial.eval_corpus_hash, trial.backend, trial.precision)
        here = trial.task in tasks and its == same
        if here and now and then and then != now:
            counts[trial.rule] = counts.get(trial.rule, 0) + 1
    if not counts:
        return ""
    told = ", ".join(f"{count} of {rule}" for rule, count in sorted(counts.items()))
    return (
        f"results are reused that other code of the same version made ({told}); if the rule has changed, raise"
        " `version` in its file's `info`, and they are run anew"
    )
