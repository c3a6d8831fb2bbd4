"""Whether steps do as much in wide models as in narrow ones: `python -m tools.coordinates`, muP's own check,
which needs no statistics (arXiv 2203.03466, Appendix D.1).

Models of the micro ladder, which differ in width, take ten steps on the same tokens: all at one setting, as
in the standard parametrization, and each at the setting that muP makes of it. Printed is how far the
coordinates of each activation have moved (root mean square), over that at the smallest width. Under muP it
stays the same, here within FLAT; under the standard parametrization it grows.

Every role steps at one rate, from the first step on. In fewer or smaller steps logits fall with the root of the
width under muP too: they then move mostly because their input does, by a head of random entries.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

import optimizers
from benchmark import scales
from benchmark.arguments import Parser, positive
from benchmark.frames import column, where
from benchmark.scales import Scale
from optimizers.shared.near import near
from sweeps.search import width
from sweeps.search.contestants import contestants

FLAT = 0.2  # of the size at the smallest width
RATE, STEPS, BATCH, SEQ_LEN, SEEDS = 0.008, 10, 8, 32, 4
WIDTHS = ("27k", "55k", "100k", "220k", "400k")
PARAMETRIZATIONS = ("standard", "mup")


def sizes(name: str, models: Sequence[Scale], rate: float = RATE, seeds: int = SEEDS) -> pd.DataFrame:
    """The change of each activation in all steps, over that of the first of `models`.

    Returns a row for each parametrization, width and activation: columns parametrization, width, activation,
    rms (logits in nats) and ratio. Raises ValueError for an unknown optimizer.
    """
    from tools import coordinates_jax

    (contestant,), cls, base = contestants([name]), optimizers.get(name), models[0]
    start = {**contestant.start(base), "peak_lr": rate, "embedding_lr_ratio": 1.0, "head_lr_ratio": 1.0}
    given = {n: float(start[n]) for n in (*cls().floats(), "embedding_lr_ratio", "head_lr_ratio")}
    blank = cls(**{n: start[n] for n in cls().statics()})
    found = []
    for scale in models:
        ratio = scale.width / base.width
        by = width.setting("mup", ratio, contestant.width_free)
        settings = {"standard": given, "mup": given | width.scaled(given, by)}
        inits = {"standard": {}, "mup": width.init_ratios(scale, ratio)}
        moved = coordinates_jax.changes(blank, scale, settings, inits, tokens(scale), seeds)
        found += [
            {"parametrization": kind, "width": scale.width, "activation": activation, "rms": float(rms[-1])}
            for kind, activations in moved.items()
            for activation, rms in activations.items()
        ]
    table = pd.DataFrame(found)
    first = table.groupby(["parametrization", "activation"])["rms"].transform("first")
    return table.assign(ratio=table["rms"] / first)


def tokens(scale: Scale) -> np.ndarray:
    """Batches with their targets, one a step, [STEPS, BATCH, sequence + 1], drawn by a power law."""
    weight = 1 / np.arange(1, scale.vocab + 1)
    shape = (STEPS, BATCH, scale.seq_len + 1)
    return np.random.default_rng(0).choice(scale.vocab, shape, p=weight / weight.sum()).astype(np.int32)


def apart(table: pd.DataFrame) -> dict[str, float]:
    """By parametrization the largest distance of a ratio from 1."""
    far = table.assign(far=(table["ratio"] - 1).abs())
    return {kind: float(max(column(where(far, parametrization=kind), "far"))) for kind in PARAMETRIZATIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios of the optimizers named. Returns 1 where one is not flat under muP."""
    parser = Parser(prog="python -m tools.coordinates", usage="%(prog)s [NAME ...]", description=__doc__)
    parser.add_argument("names", nargs="*", default=["adamw", "muon"], metavar="NAME", help="of an optimizer")
    parser.add_argument("--rate", type=positive("a rate such as 0.008"), default=RATE, metavar="LR")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in optimizers.names()]:
        parser.error(f"unknown optimizer {unknown[0]!r}{near(unknown[0], optimizers.names())}")
    models = [dataclasses.replace(scales.get(name), seq_len=SEQ_LEN) for name in WIDTHS]
    worst = 0.0
    for name in asked.names:
        table = sizes(name, models, asked.rate)
        shown = table.pivot(index=["parametrization", "activation"], columns="width", values="ratio")
        print(f"{name}: change in {STEPS} steps, over that at width {models[0].width}")
        print(shown.reindex(index=PARAMETRIZATIONS, level=0).to_string(float_format="{:.2f}".format))
        far = apart(table)
        word = "flat" if far["mup"] <= FLAT else "NOT flat"
        print(f"muP: within {far['mup']:.0%}, {word}; standard: within {far['standard']:.0%}\n", flush=True)
        worst = max(worst, far["mup"])
    return int(worst > FLAT)


if __name__ == "__main__":
    raise SystemExit(main())
