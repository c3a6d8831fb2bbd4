"""From the options of a command to the sweep that they ask for."""

import argparse
import dataclasses
import sys

import optimizers
import sweeps
from benchmark.data import evaluation
from benchmark.data.corpora import check_size, prepare
from benchmark.data.sources import parse
from optimizers.shared.copies import copy_name
from sweeps.run.options import AA, CHALLENGE
from sweeps.search import challenge
from sweeps.search.carried import with_policies
from sweeps.search.contestants import contestants
from sweeps.search.sweep import Sweep
from sweeps.search.transfer import transferred
from sweeps.search.variants import extended, searched, select, trained

LARGE_VOCAB = 65_536  # beyond it a corpus takes long to prepare


def challenge_sweep(args: argparse.Namespace) -> tuple[Sweep, argparse.Namespace]:
    """The sweep that decides about one's own optimizer; and the options, with the folders of what is reused."""
    challenge.check(args)
    policy = argparse.Namespace(**{**vars(args), "searches": None})  # here a limit, and no other sweep
    base = extended(select(_policy(sweeps.get("quick"), policy), args.tasks), args.at)
    sweep, found = challenge.sweep(args, prepared(base, args))
    return sweep, argparse.Namespace(**{**vars(args), "reuse": [*args.reuse, *found.folders]})


def named_sweep(args: argparse.Namespace) -> Sweep:
    """The named sweep with its contestants, the baseline twice: see aa.py."""
    named = sweeps.get(args.name, (CHALLENGE, AA))
    sweep = extended(select(_policy(named, args), args.tasks), args.at)
    names = args.optimizers or optimizers.expand(sweep.optimizers) or optimizers.entrants()
    if sweep.baseline not in names:
        names = [sweep.baseline, *names]  # nothing can be said without it; finished trials are not run again
    names = dict.fromkeys((*names, copy_name(sweep.baseline, 2)))  # what chance makes of it, on every page
    tuned = contestants(tuple(names), args.optimizer, sweep.backend)
    return dataclasses.replace(sweep, contestants=with_policies(tuned, sweep.policies))


def prepared(sweep: Sweep, args: argparse.Namespace) -> Sweep:
    """The sweep with the prepared corpus, the user's or its own."""
    corpus = parse(args.corpus or sweep.corpus)
    tokenizer = args.tokenizer or sweep.tokenizer
    # a sweep's own evaluation corpus belongs to its own corpus
    evaluated = args.eval_corpus or ("" if args.corpus else sweep.eval_corpus)
    other = parse(evaluated) if evaluated else None
    sweep = dataclasses.replace(
        sweep,
        corpus=corpus.shown,
        corpus_at=corpus.spelled if corpus.label else "",  # absolute: workers run in folders of their own
        tokenizer=tokenizer,
        eval_corpus=other.shown if other else "",
        eval_corpus_at=other.spelled if other and other.label else "",
        pack=args.pack or sweep.pack,
    )
    # a price needs no corpus, but finished trials are only known by its hash; a large one is not made for that
    largest = max(stage.task.scale.vocab for stage in sweep.stages)
    large = largest > LARGE_VOCAB or sweep.corpus.startswith("hub:")
    return sweep if args.dry_run and large else _with_corpus(sweep)


def _policy(sweep: Sweep, args: argparse.Namespace) -> Sweep:
    """The sweep as the user wants it; what is not said stays as the sweep declares it. Another search or
    transfer policy makes a sweep with a name and folder of its own."""
    sweep = trained(sweep, args.backend, args.precision)
    if args.searches and args.searches != sweep.protocol.searches:
        sweep = searched(sweep, args.searches)
    if args.transfer:
        sweep = transferred(sweep, args.transfer)
    if args.search and args.search != sweep.protocol.search:
        protocol = dataclasses.replace(sweep.protocol, search=args.search)
        sweep = dataclasses.replace(sweep, name=f"{sweep.name}-{args.search}", protocol=protocol)
    return sweep


def _with_corpus(sweep: Sweep) -> Sweep:
    """The sweep with its corpus prepared. Raises ValueError if the corpus is too small for one of its tasks."""
    tasks = [stage.task for stage in sweep.stages]
    vocab, *others = dict.fromkeys(task.scale.vocab for task in tasks)
    if others:
        raise ValueError(f"{sweep.name}: its tasks are of two ladders, whose vocabularies differ; keep one's")

    def say(note: str) -> None:
        print(note, file=sys.stderr)

    name = sweep.corpus_at or sweep.corpus
    corpus = prepare(name, vocab, say=say, tokenizer_file=sweep.tokenizer, tokens=sweep.tokens)
    hashes = {"corpus_hash": corpus.corpus_hash, "tokenizer_hash": corpus.tokenizer_hash}
    if sweep.eval_corpus:
        other = evaluation.prepare(sweep.eval_corpus_at or sweep.eval_corpus, corpus, sweep.tokenizer, say)
        corpus = corpus.evaluated_on(other)
        hashes["eval_corpus_hash"] = other.corpus_hash
    evaluated = max(sweep.tuning_evaluation.sequences, sweep.report_evaluation.sequences)
    longest = max(task.scale.seq_len for task in tasks)
    check_size(corpus, sweep.tokens, evaluated * longest + 1)
    return dataclasses.replace(sweep, **hashes)
