"""What is compared with what: each function measures one group of figures on this machine."""

import importlib.util
from collections.abc import Sequence

from benchmark import scales
from benchmark.measurements import Measurement, measurement
from benchmark.scales import Scale
from benchmark.train import parameters
from benchmark.train.schedule import CHUNK
from tools.bench import blocks as c
from tools.bench import trials
from tools.bench.turns import Clock, Contestant, ask, first_cores, take_turns, workers

BLOCK_TOKENS, BLOCK_STEPS = 32_768, 16  # a block has at least so many of both: a quarter of a second and more
ACCELERATOR_STEPS = 512  # in a block of packs
SGEMM, SGEMMS = 2048, 8
PLAIN = "plain torch loop"
# the package whose rule the plain loop takes
PLAIN_RULES = {"adamw": "torch", "muon": "torch", "soap": "pytorch_optimizer", "kron": "pytorch_optimizer"}


def block_steps(scale: Scale, clock: Clock) -> int:
    """Steps in a block; on an accelerator, whose steps are short, as many as a block may have."""
    if not clock.pinned:
        return CHUNK
    return max(BLOCK_STEPS, BLOCK_TOKENS // (scale.batch_size * scale.seq_len))


def throughput(scale_name: str, optimizer: str, rounds: int, clock: Clock) -> list[Measurement]:
    """Tokens per second of our loops and of others, and the step against the machine's matrix products."""
    scale = scales.get(scale_name)
    steps = block_steps(scale, clock)
    tokens = float(steps * scale.batch_size * scale.seq_len)
    run = (optimizer, scale_name, steps)
    field = [Contestant("ours, jax", tokens, c.ours, ("jax", *run))]
    field.append(Contestant("one jit call per step", tokens, c.jit_per_step, run))
    if _installed("torch"):
        field.append(Contestant("ours, torch", tokens, c.ours, ("torch", *run)))
        if _installed(PLAIN_RULES.get(optimizer, "")):
            field.append(Contestant(PLAIN, tokens, c.plain_torch, run))
    yardsticks = [Contestant("sgemm", 2.0 * SGEMM**3 * SGEMMS, c.sgemm, (SGEMM, SGEMMS))]
    if optimizer == "adamw":
        yardsticks.append(Contestant("products", tokens, c.products, (scale_name, steps)))
    seconds = take_turns([*field, *yardsticks], rounds, clock)
    rates = {x.name: [x.work / s for s in seconds[x.name]] for x in (*field, *yardsticks)}
    reference = PLAIN if PLAIN in rates else "one jit call per step"
    figures = [
        _rate("throughput", f"{scale_name} {optimizer}", name, rates, reference)
        for name in (x.name for x in field)
    ]
    per_token = flops_per_token(scale, optimizer, steps)
    achieved = [per_token * rate / 1e9 for rate in rates["ours, jax"]]
    peak = [rate / 1e9 for rate in rates["sgemm"]]
    label = f"{scale_name} {optimizer}"
    figures.append(measurement("FLOP/s", label, "GFLOP/s", achieved, peak, f"a float32 product of {SGEMM}"))
    if "products" in seconds:
        step, alone = ([1e3 * s / steps for s in seconds[name]] for name in ("ours, jax", "products"))
        figures.append(measurement("step", label, "ms", step, alone, "its matrix products alone"))
    return figures


def flops_per_token(scale: Scale, optimizer: str, steps: int) -> float:
    """Of a whole step: both passes, head and attention included, and the update."""
    batch = scale.batch_size * scale.seq_len
    _, rule = trials.at_defaults(optimizer, scale, steps)
    extra = rule.extra_flops(parameters.roles(scale), steps, batch)
    return parameters.flops_per_token(scale) + extra / batch


def packs(scale_name: str, sizes: Sequence[int], rounds: int, clock: Clock) -> list[Measurement]:
    """Tokens per second of K runs trained together, against one run."""
    scale = scales.get(scale_name)
    steps = block_steps(scale, clock) if clock.pinned else ACCELERATOR_STEPS
    tokens = float(steps * scale.batch_size * scale.seq_len)
    build, run = (c.ours, ("jax", "adamw")) if clock.pinned else (c.training, ("adamw",))
    field = [Contestant(f"K = {k}", k * tokens, build, (*run, scale_name, steps, k)) for k in sizes]
    seconds = take_turns(field, rounds, clock)
    rates = {x.name: [x.work / s for s in seconds[x.name]] for x in field}
    figures = [_rate("packs", f"{scale_name} adamw", name, rates, field[0].name) for name in rates]
    largest = max(sizes)
    if clock.pinned and largest > 1:
        apart = ask(c.pack_deviation, scale_name, steps, largest)
        name = f"{scale_name} adamw, K = {largest}: loss apart from single runs"
        figures.append(measurement("packs", name, "nats", [apart]))
    return figures


def two_workers(scale_name: str, rounds: int, clock: Clock) -> list[Measurement]:
    """Tokens per wall second of two workers on two cores, against one of them alone."""
    scale = scales.get(scale_name)
    steps = block_steps(scale, clock)
    tokens = steps * scale.batch_size * scale.seq_len
    one = Contestant("worker", tokens, c.ours, ("jax", "adamw", scale_name, steps))
    rates: dict[str, list[float]] = {"one": [], "two": []}
    with workers([one, one], list(first_cores(2))) as pair:
        for _ in range(rounds):
            for name, together in (("one", pair[:1]), ("two", pair)):
                for worker in together:
                    worker.begin()
                slowest = max(worker.finish()[0] for worker in together)
                rates[name].append(len(together) * tokens / slowest)
    return [_rate("workers", f"{scale_name} adamw", name, rates, "one") for name in rates]


def _rate(group: str, label: str, name: str, rates: dict[str, list[float]], versus: str) -> Measurement:
    others = [] if name == versus else rates[versus]
    return measurement(group, f"{label}: {name}", "tokens/s", rates[name], others, versus)


def _installed(package: str) -> bool:
    return package != "" and importlib.util.find_spec(package) is not None
