"""What one block of each contestant is: every function runs in the contestant's own process and returns it.

All train the same shapes on the same batch size with the same recipe, on random tokens (trials.py).
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from benchmark import scales, tasks
from benchmark.data import corpora
from benchmark.scales import Scale
from benchmark.spec import Evaluation
from benchmark.train import parameters, runner
from benchmark.train.schedule import CHUNK
from optimizers.base import Optimizer
from sweeps.search.contestants import at_start, contestants
from tools.bench.trials import at_defaults, random_corpus

Block = Callable[[], object]


def ours(backend: str, name: str, scale_name: str, steps: int, pack: int = 1) -> Block:
    """Our trainer: a block is a run of `steps` steps from its start, set-up included, evaluation left out.

    A whole run, because what a rule does may change along one (Kron fits less and less often).
    """
    if steps > CHUNK:
        raise ValueError(f"a block has at most {CHUNK} steps, not {steps}: the trainer checks in between")
    scale, trainer = scales.get(scale_name), runner.trainer_of(backend)
    trainer.set_up(corpora.cache_folder() / "compiled")
    made = [at_defaults(name, scale, steps, seed) for seed in range(pack)]
    # one step more than it will do: a run that is stopped before its end is not evaluated
    trials = [dataclasses.replace(trial, steps=steps + 1, backend=backend) for trial, _ in made]
    rules, corpus = [optimizer for _, optimizer in made], random_corpus(scale.vocab)
    return lambda: trainer.train(trials, rules, corpus, max_steps=steps)


def training(name: str, scale_name: str, steps: int, pack: int = 1) -> Callable[[], float]:
    """Our jax trainer, timed by itself: a block returns its training seconds, without set-up and evaluation.

    For an accelerator, where a short run would be mostly set-up.
    """
    scale, trainer = scales.get(scale_name), runner.trainer_of("jax")
    made = [at_defaults(name, scale, steps, seed) for seed in range(pack)]
    trials = [dataclasses.replace(trial, evaluation=Evaluation(sequences=1)) for trial, _ in made]
    rules, corpus = [optimizer for _, optimizer in made], random_corpus(scale.vocab)

    def run() -> float:
        outcomes = trainer.train(trials, rules, corpus)
        if bad := [out.reason for out in outcomes if out.status != "finished"]:
            raise ValueError(bad[0])
        return sum(out.cost.train_seconds for out in outcomes)  # each has its share of the pack's

    return run


def plain_torch(name: str, scale_name: str, steps: int) -> Block:
    """An eager torch loop of the kind people write (plain_torch.py)."""
    from tools.bench import plain_torch

    scale = scales.get(scale_name)
    tokens = random_corpus(scale.vocab).tokens("train")
    return lambda: plain_torch.losses(name, scale, tokens, steps)


def jit_per_step(name: str, scale_name: str, steps: int) -> Block:
    """Our jax step, called once per step from Python (step_jax.py)."""
    from tools.bench import step_jax

    scale = scales.get(scale_name)
    return step_jax.block(*at_defaults(name, scale, steps), scale, random_corpus(scale.vocab).tokens("train"))


def products(scale_name: str, steps: int) -> Block:
    """The matrix products of as many steps, alone (products_jax.py)."""
    from tools.bench import products_jax

    return products_jax.block(scales.get(scale_name), steps)


def sgemm(size: int, count: int) -> Block:
    """`count` square float32 matrix products (products_jax.py)."""
    from tools.bench import products_jax

    return products_jax.square(size, count)


def update(kind: str, name: str, scale_name: str, count: int) -> Block:
    """`count` updates of the rule alone on random gradients, at the start of a run at ratio 1:
    our "jax" or "torch" build, or "theirs", that of `pytorch_optimizer` or `torch.optim`."""
    scale = scales.get(scale_name)
    rule = _at_start(name, scale)
    steps = tasks.Task(scale, 1.0).steps(scale.batch_size)
    trial, _ = at_defaults(name, scale, steps)
    if scale.ladder != "micro":  # one layer: all are alike, and embedding and head are no larger problem
        scale = dataclasses.replace(scale, layers=1)
    params = parameters.roles(scale)
    if scale.ladder != "micro":
        params = {n: p for n, p in params.items() if n.startswith("layers.")}
    if kind == "jax":
        from tools.bench import update_jax

        return update_jax.ours(trial, rule, params, count)
    from tools.bench import update_torch

    return (update_torch.ours if kind == "torch" else update_torch.theirs)(trial, rule, params, count)


def _at_start(name: str, scale: Scale) -> Optimizer:
    """The optimizer where its search at this scale starts: with the blocks of large matrices, for instance."""
    return at_start(contestants((name,))[0], scale)


def peak_memory(scale_name: str, steps: int) -> float:
    """Peak bytes of a worker that trains and evaluates at a scale: of this process, since it started."""
    scale, trainer = scales.get(scale_name), runner.trainer_of("jax")
    trainer.set_up(corpora.cache_folder() / "compiled")
    trial, rule = at_defaults("adamw", scale, steps)
    (outcome,) = trainer.train([trial], [rule], random_corpus(scale.vocab))
    return float(outcome.cost.peak_memory_bytes)


def planned_memory(scale_name: str, sequences: int) -> float:
    """Peak bytes of one AdamW step on so many sequences, as the compiler plans it; nothing is run."""
    from tools.bench import step_jax

    scale = dataclasses.replace(scales.get(scale_name), batch_size=sequences)
    trial, rule = at_defaults("adamw", scale, 1)
    return step_jax.planned_memory(trial, rule, scale)


def compilations(names: tuple[str, ...], scale_name: str, cache: Path) -> tuple[int, int, float]:
    """Train every optimizer at two seeds as a worker does whose cache of programs is `cache`: programs needed,
    those that the cache did not have, seconds of compiling or loading."""
    from tools.bench import compiled_jax

    scale = scales.get(scale_name)
    made = [at_defaults(name, scale, steps=20, seed=seed) for name in names for seed in range(2)]
    return compiled_jax.train_counting(made, random_corpus(scale.vocab), cache)


def tokens_per_second(scale_name: str) -> float:
    """Of a short AdamW run at a scale, everything that a trial does included but compiling."""
    scale, trainer = scales.get(scale_name), runner.trainer_of("jax")
    trainer.set_up(corpora.cache_folder() / "compiled")
    trial, rule = at_defaults("adamw", scale, 400)
    outcomes = [trainer.train([trial], [rule], random_corpus(scale.vocab))[0] for _ in range(2)]
    cost = outcomes[-1].cost
    return trial.tokens / cost.train_seconds


def pack_deviation(scale_name: str, steps: int, pack: int) -> float:
    """Largest difference of a final loss (nats per token) between runs trained as a pack and one by one."""
    scale, trainer = scales.get(scale_name), runner.trainer_of("jax")
    trainer.set_up(corpora.cache_folder() / "compiled")
    made = [at_defaults("adamw", scale, steps, seed) for seed in range(pack)]
    corpus = random_corpus(scale.vocab)
    together = trainer.train([trial for trial, _ in made], [rule for _, rule in made], corpus)
    alone = [trainer.train([trial], [rule], corpus)[0] for trial, rule in made]
    return max(abs(a.val_loss - b.val_loss) for a, b in zip(together, alone, strict=True))


def jax_device() -> str:
    return runner.trainer_of("jax").device()
