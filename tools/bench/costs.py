"""What each optimizer costs: a whole step at a micro scale, and its update alone on random gradients."""

import importlib.util
from collections.abc import Sequence

from benchmark import scales
from benchmark.measurements import Measurement, measurement
from tools.bench import blocks as c
from tools.bench.groups import block_steps
from tools.bench.turns import Clock, Contestant, take_turns

TOGETHER = 4  # optimizers whose processes, up to three each, live at once beside the baseline's
THEIRS = "pytorch_optimizer"
# whose rule ours is compared with; the package's Adams are torch's own
THEIR_RULES = {
    **dict.fromkeys(("kron", "lion", "mars", "muon", "scion", "soap", "sophia"), THEIRS),
    **dict.fromkeys(("adamw", "nadamw"), "torch.optim"),
}


def steps(scale_name: str, names: Sequence[str], rounds: int, clock: Clock) -> list[Measurement]:
    """Milliseconds of a whole training step with each optimizer on jax, against the first one's."""
    count = block_steps(scales.get(scale_name), clock)
    field = [Contestant(name, count, c.ours, ("jax", name, scale_name, count)) for name in names]
    seconds = take_turns(field, rounds, clock)
    each = {x.name: [1e3 * s / x.work for s in seconds[x.name]] for x in field}
    base = each[names[0]]
    return [
        measurement("cost of a step", f"{scale_name} {n}", "ms", v, base, names[0]) for n, v in each.items()
    ]


def updates(scale_name: str, names: Sequence[str], count: int, rounds: int, clock: Clock) -> list[Measurement]:
    """Milliseconds of an update, gradients given: in jax against the first one's, in torch against that of
    THEIR_RULES. Of the whole micro model; of one layer of a larger one, whose layers are all alike."""
    group = "cost of an update"
    label = f"{scale_name} " if scales.get(scale_name).ladder == "micro" else f"one {scale_name} layer, "
    both = all(importlib.util.find_spec(p) for p in ("torch", THEIRS))
    found: list[Measurement] = []
    for at in range(1, len(names), TOGETHER):
        some = [names[0], *names[at : at + TOGETHER]]
        kinds = [(n, kind) for n in some for kind in ("jax", "torch", "theirs") if _has(n, kind, both)]
        field = [Contestant(f"{n}, {kind}", count, c.update, (kind, n, scale_name, count)) for n, kind in kinds]
        seconds = take_turns(field, rounds, clock)
        each = {pair: [1e3 * s / count for s in seconds[x.name]] for pair, x in zip(kinds, field, strict=True)}
        for name in some[0 if at == 1 else 1 :]:
            base = each[names[0], "jax"]
            found.append(measurement(group, f"{label}{name}, jax", "ms", each[name, "jax"], base, names[0]))
            if (name, "torch") in each:
                package = each.get((name, "theirs"), [])
                versus = THEIR_RULES.get(name, "")
                found.append(
                    measurement(group, f"{label}{name}, torch", "ms", each[name, "torch"], package, versus)
                )
    return found


def _has(name: str, kind: str, both: bool) -> bool:
    return kind == "jax" or (both and (kind == "torch" or name in THEIR_RULES))
