"""Options that a command would not read, or that ask for what happens anyway: said, so that nobody believes
that they did something."""

import argparse

import sweeps
from benchmark import tasks
from sweeps.run.options import AA, CHALLENGE
from sweeps.search.sweep import Sweep
from sweeps.search.variants import select

COPIES = ("--optimizer-name", "--copies", "--sweep", "--replication")  # of `aa` alone
NOT_COPIES = ("--against", "--at", "--searches", "--transfer")  # that `aa` has no use for


def refused(args: argparse.Namespace) -> str:
    """A line about an option that this command does not have, empty where there is none: the answer would be
    to another question than the one that was asked."""
    strange = NOT_COPIES if args.name == AA else COPIES
    found = [option for option in strange if getattr(args, option[2:].replace("-", "_"))]
    if not found:
        return ""
    if args.name == AA:
        return f"{AA} does not read {found[0]}; leave it out"
    return f"{found[0]} belongs to {AA}, and {args.name} does not read it; leave it out"


def needless(args: argparse.Namespace, sweep: Sweep) -> list[str]:
    """Lines about words that change nothing, each with the reason. sweep: what the command has become."""
    lines = []
    if args.against and not args.optimizer and args.name != CHALLENGE:
        lines.append(
            "--against says whom an --optimizer of yours is set beside; without one it changes nothing"
        )
    elif sweep.baseline in args.against:
        lines.append(
            f"--against {sweep.baseline} changes nothing: yours is compared with it anyway, as the baseline"
        )
    if args.at:
        named = select(sweeps.get("quick" if args.name == CHALLENGE else args.name), args.tasks)
        there = {s.task.name for s in named.stages if s.phase != "baseline"}
        twice = [name for name in args.at if tasks.parse(name).name in there]
        lines += [f"--at {name} changes nothing: {named.name} reports there anyway" for name in twice]
    return lines
