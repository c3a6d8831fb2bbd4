"""What it costs to cap the instruction sets that XLA compiles for, and whether losses stay equal to the bit.

`python -m tools.isa` trains AdamW with and without `--xla_cpu_max_isa=AVX2`, in turns, each in a process of its
own on one core; about two minutes of CPU. The figures are in docs/speed.md.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmark.arguments import Parser
from tools.bench import blocks, trials, turns

CAP = "--xla_cpu_max_isa=AVX2"
SETTINGS = {"default": "", "capped": CAP}
BLOCKS = {"27k": 60, "100k": 20}  # scale -> steps of a block
ROUNDS = 7
LOSSES = 20


def block(flags: str, scale: str, steps: int) -> Callable[[], object]:
    """So many steps under these flags, which XLA reads once, when jax is imported."""
    os.environ["XLA_FLAGS"] = flags
    return blocks.ours("jax", "adamw", scale, steps)


def losses(flags: str, scale: str, steps: int) -> list[float]:
    """The training loss of each of the first steps (nats per token)."""
    os.environ["XLA_FLAGS"] = flags
    from benchmark import scales
    from benchmark.train import runner

    size = scales.get(scale)
    trial, rule = trials.at_defaults("adamw", size, steps + 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.npz"
        runner.trainer_of("jax").train([trial], [rule], trials.random_corpus(size.vocab), path, max_steps=steps)
        with np.load(path) as file:
            return [loss for (loss,) in json.loads(file["meta"].tobytes())["train_losses"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each scale; returns the exit status."""
    Parser(prog="python -m tools.isa", description=__doc__).parse_args(arguments)
    for scale, steps in BLOCKS.items():
        print(f"{scale}: {ROUNDS} rounds of {steps} steps ...", file=sys.stderr)
        in_turn = [turns.Contestant(n, 1.0, block, (f, scale, steps)) for n, f in SETTINGS.items()]
        seconds = turns.take_turns(in_turn, ROUNDS, turns.Clock(pinned=True))
        ratios = [b / a for a, b in zip(seconds["default"], seconds["capped"], strict=True)]
        first, again, capped = (turns.ask(losses, f, scale, LOSSES) for f in ("", "", CAP))
        equal = sum(a == b for a, b in zip(first, capped, strict=True))
        apart = max(abs(a - b) for a, b in zip(first, capped, strict=True))
        print(
            f"{scale}: under {CAP} a step takes {statistics.median(ratios):.3f} times as long"
            f" [{min(ratios):.3f} to {max(ratios):.3f}]. Of {LOSSES} losses {equal} are equal,"
            f" the others up to {apart:.1e} apart; the default repeats: {first == again}."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
