"""What `python -m sweeps` understands."""

import argparse
import math
from pathlib import Path
from typing import Any

import sweeps
from benchmark.data.sources import usage
from optimizers.user.spec import parse

AA, CHALLENGE = "aa", "challenge"
PROG = "python -m sweeps"


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Tune and compare optimizers, then build the leaderboard. Running it again resumes.",
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
    which.add_argument("--optimizers", type=_list, default=[], metavar="A,B", help="these only (default: all)")
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
        type=_list,
        default=[],
        metavar="A,B",
        help=f"{CHALLENGE}: whom to compare it with beside the baseline (default: the best)",
    )
    which.add_argument(
        "--searches",
        type=_positive,
        metavar="N",
        help="independent searches of every optimizer, with as many trials and report seeds each as the sweep"
        f" gives (default: the sweep's); {CHALLENGE}: at most so many of yours, and of the baseline where yours"
        " goes on",
    )
    which.add_argument("--tasks", type=_list, default=[], metavar="T,U", help="these only, such as 27k-1x")
    which.add_argument(
        "--at",
        type=_list,
        default=[],
        metavar="T,U",
        help="report at these too, such as 55k-1x,100k-1x, at the settings that the sweep's first tuning finds",
    )
    which.add_argument(
        "--search",
        choices=("gp", "coordinate", "random"),
        default="gp",
        help="gp: a model of the loss proposes (default); coordinate: one change at a time; random: draws",
    )
    which.add_argument(
        "--sealed", action="store_true", help="report on seeds that were never used before, drawn now and kept"
    )
    which.add_argument(
        "--transfer",
        choices=("constant", "law", "width"),
        help="tune at the smallest scale only and carry the setting on by this rule",
    )
    which.add_argument("--corpus", metavar="NAME", help=f"{usage()} (default: the sweep's)")
    copies = parser.add_argument_group(f"{AA}: how often a comparison errs")
    copies.add_argument(
        "--optimizer-name",
        metavar="A",
        help="the optimizer, or the name of a --optimizer file (default: adamw)",
    )
    copies.add_argument(
        "--copies", type=_positive, metavar="K", help="how many, the first included (default: 10)"
    )
    copies.add_argument(
        "--sweep", metavar="NAME", help="the sweep that they go through, by name or path (default: quick)"
    )
    copies.add_argument(
        "--study",
        type=_positive,
        metavar="N",
        help="another N has other tuning seeds and openings (default: 1)",
    )
    how = parser.add_argument_group("how to run it")
    how.add_argument("--backend", choices=("jax", "torch"), default="jax", help="(default: jax)")
    how.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="(default: float32)"
    )
    how.add_argument(
        "--executor", choices=("ray", "serial"), default="ray", help="serial needs no Ray (default: ray)"
    )
    how.add_argument(
        "--pack", type=_positive, default=1, metavar="K", help="train K alike trials at once (GPU)"
    )
    how.add_argument("--slots-per-gpu", type=_positive, default=1, metavar="N", help="trials that share a GPU")
    how.add_argument(
        "--timeout",
        type=_seconds,
        default=3600.0,
        metavar="SECONDS",
        help="a trial has hung that takes longer than this and than its FLOPs at 10 TFLOP/s (default: 3600; "
        "0: no limit)",
    )
    how.add_argument("--retry-failed", action="store_true", help="run trials again that failed before")
    price = parser.add_argument_group("what it costs")
    price.add_argument(
        "--dry-run", action="store_true", help="print trials, tokens, FLOPs, time and memory only"
    )
    price.add_argument(
        "--max-hours",
        type=_above_zero,
        metavar="H",
        help="cut tuning, alike for all, until the sweep takes H hours",
    )
    price.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="trials that run at once, at most (default: one a core, or a GPU slot)",
    )
    price.add_argument(
        "--flops-per-second",
        type=_above_zero,
        metavar="F",
        help="a worker's peak (default: training is timed here)",
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)"
    )
    where.add_argument(
        "--reuse",
        type=Path,
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
        "--out", type=Path, default=Path("reports"), metavar="DIR", help="the site (default: reports)"
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


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _seconds(text: str) -> float:
    return 0.0 if float(text) == 0 else _above_zero(text)
