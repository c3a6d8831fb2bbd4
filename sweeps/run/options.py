"""What `python -m sweeps` understands."""

import argparse
from pathlib import Path
from typing import Any

import optimizers
import sweeps
from benchmark import store
from benchmark.arguments import (
    Parser,
    existing_file,
    existing_folder,
    folder,
    names,
    one_of,
    positive,
    up_to,
    whole,
)
from benchmark.data.sources import usage
from benchmark.train.trackers import TRACKERS
from optimizers.shared.carried import POLICIES
from optimizers.user.spec import parse

AA, CHALLENGE = "aa", "challenge"
PROG = "python -m sweeps"


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        usage="%(prog)s NAME [options]",
        description="Tune and compare optimizers, then build the leaderboard. Running it again resumes.",
        former={"--study": "--replication"},
        epilog=f"Examples: {prog} quick --optimizers adamw,muon --optimizer mine.py; {prog} {AA} --copies 10",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        help=f"the sweep: {', '.join(sweeps.names())}; the path of a file with your own; {CHALLENGE}: your"
        f" --optimizer against the committed results of quick; or {AA}: copies of one optimizer, which should"
        " not differ",
    )
    which = parser.add_argument_group("what to run")
    which.add_argument(
        "--optimizers",
        type=_optimizers,
        default=[],
        metavar="A,B",
        help="these only, by name or by group: study (default), 2026, lr-free, all",
    )
    which.add_argument(
        "--optimizer",
        action=_Named,
        default=[],
        metavar="WHERE",
        help="your own (mine.py, mine.py:Fast) or what is installed (torch.optim:RMSprop)",
    )
    which.add_argument(
        "--axis",
        action=_Grid,
        metavar="NAME=V1,V2",
        help="a grid of the --optimizer before it, in place of or beside its own",
    )
    which.add_argument(
        "--against",
        type=_optimizers,
        default=[],
        metavar="A,B",
        help=f"{CHALLENGE}: whom to compare it with beside the baseline (default: the best)",
    )
    which.add_argument(
        "--searches",
        type=up_to(64),
        metavar="N",
        help="independent searches of every optimizer, each as large as the sweep's (default: the sweep's); the"
        f" baseline has more where the sweep says so; {CHALLENGE}: at most so many of yours",
    )
    which.add_argument("--tasks", type=_tasks, default=[], metavar="T,U", help="these only, such as 27k-1x")
    which.add_argument(
        "--at",
        type=_tasks,
        default=[],
        metavar="T,U",
        help="report at these too, such as 55k-1x,100k-1x, at the settings that the first tuning finds",
    )
    _one(
        which,
        "--search",
        ("gp", "coordinate", "random"),
        "gp: a model of the loss proposes; coordinate: one change at a time; random: draws"
        " (default: the sweep's, mostly gp)",
        default=None,
    )
    which.add_argument(
        "--sealed", action="store_true", help="report on seeds that were never used before, drawn now and kept"
    )
    _one(
        which,
        "--transfer",
        tuple(POLICIES),
        "tune at the smallest scale only and carry the setting on by this rule",
        default=None,
    )
    which.add_argument("--corpus", metavar="NAME", help=f"{usage()} (default: the sweep's)")
    which.add_argument(
        "--tokenizer", type=existing_file, metavar="FILE", help="a tokenizer.json to encode it with"
    )
    which.add_argument(
        "--eval-corpus",
        metavar="NAME",
        help="evaluate on this corpus; a folder of folders has a domain in each (default: held-out text)",
    )
    copies = parser.add_argument_group(f"{AA}: how often a comparison errs")
    copies.add_argument(
        "--optimizer-name",
        metavar="A",
        help="the optimizer, or the name of a --optimizer file (default: adamw)",
    )
    copies.add_argument("--copies", type=whole, metavar="K", help="how many, the first included (default: 10)")
    copies.add_argument(
        "--sweep", metavar="NAME", help="the sweep that they go through, by name or path (default: quick)"
    )
    copies.add_argument(
        "--replication",
        type=whole,
        metavar="N",
        help="another N has other tuning seeds and openings (default: 1)",
    )
    how = parser.add_argument_group("how to run it")
    _one(how, "--backend", ("jax", "torch"), "(default: the sweep's, mostly jax)", default=None)
    _one(
        how,
        "--precision",
        ("float32", "bfloat16"),
        "(default: the sweep's, mostly float32)",
        default=None,
    )
    _one(how, "--executor", ("ray", "serial"), "serial needs no Ray (default: ray)")
    how.add_argument(
        "--pack",
        type=whole,
        metavar="K",
        help="train K alike trials at once (default: on a GPU the sweep's, else 1)",
    )
    how.add_argument("--slots-per-gpu", type=whole, default=1, metavar="N", help="trials that share a GPU")
    how.add_argument(
        "--gpus-per-trial",
        type=whole,
        default=1,
        metavar="N",
        help="GPUs that train a trial together, of one node or of several (jax)",
    )
    how.add_argument(
        "--timeout",
        type=positive("a number of seconds such as 3600, or 0 for no limit", none=True),
        default=3600.0,
        metavar="SECONDS",
        help="a trial has hung that takes longer than this and than its FLOPs at 10 TFLOP/s (default: 3600; "
        "0: no limit)",
    )
    how.add_argument(
        "--track",
        type=one_of(*TRACKERS),
        metavar=f"{{{','.join(TRACKERS)}}}",
        help="tell this tracker of every trial that takes longer than half a minute, while it runs",
    )
    how.add_argument("--retry-failed", action="store_true", help="run trials again that failed before")
    price = parser.add_argument_group("what it costs")
    price.add_argument(
        "--dry-run", action="store_true", help="print trials, tokens, FLOPs, time and memory only"
    )
    price.add_argument(
        "--max-hours",
        type=positive("a number of hours above 0, such as 6 or 0.5"),
        metavar="H",
        help="cut tuning, alike for all, until the sweep takes H hours",
    )
    price.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="trials that run at once, at most (default: one a core, or a GPU slot)",
    )
    price.add_argument(
        "--flops-per-second",
        type=positive("a worker's peak in FLOPs a second, such as 312e12", least=1e9, most=1e18),
        metavar="F",
        help="a worker's peak, of --gpus-per-trial that of one GPU (default: training is timed here)",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--results", type=folder, default="results", metavar="DIR", help="(default: results)")
    where.add_argument(
        "--reuse",
        type=_reused,
        action="append",
        default=[],
        metavar="DIR",
        help="take finished trials from here too",
    )
    where.add_argument(
        "--own-tuning",
        action="store_true",
        help="run all tuning here (default: where a sweep's is committed in results/reference, it counts)",
    )
    where.add_argument(
        "--out", type=folder, default="reports", metavar="DIR", help="the site (default: reports)"
    )
    return parser


class _Named(argparse.Action):
    """Collects --optimizer, checked, as what optimizers/user/spec.py reads back."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        try:
            setattr(namespace, self.dest, [*getattr(namespace, self.dest), str(parse(values))])
        except ValueError as error:
            parser.error(str(error))


class _Grid(argparse.Action):
    """Adds --axis to the last --optimizer."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if not namespace.optimizer:
            parser.error("--axis gives a grid to the --optimizer before it; name one first")
        *others, last = namespace.optimizer
        try:
            namespace.optimizer = [*others, str(parse(last).with_grids([values]))]
        except ValueError as error:
            parser.error(str(error))


def _one(group: Any, option: str, known: tuple[str, ...], text: str, **more: Any) -> None:
    """An option that takes one of a few words, by default the first."""
    more = {"default": known[0], "metavar": f"{{{','.join(known)}}}", **more}
    group.add_argument(option, type=one_of(*known), help=text, **more)


_tasks = names("27k-1x,27k-2x")


def _optimizers(text: str) -> list[str]:
    """Names of optimizers, or words for groups of them."""
    return optimizers.expand(names("adamw,muon")(text))


def _reused(text: str) -> Path:
    """A folder with records to take."""
    path = existing_folder(text)
    try:
        found = store.holds_records(path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from None
    if not found:
        raise argparse.ArgumentTypeError(
            f"{path} holds no records (<sweep>/trials.jsonl or <sweep>/trials/*.json); name a results folder"
        )
    return path
