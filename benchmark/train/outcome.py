"""From a run's raw numbers to its Outcome: the rule of divergence, the units and the costs, once for both
frameworks."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmark import scales
from benchmark.data import batches, evaluated
from benchmark.data.corpora import Corpus
from benchmark.spec import Cost, Outcome, Point, Trial
from benchmark.train import parameters
from benchmark.train.checkpoint import Progress
from optimizers.base import Optimizer

EXPLODED = 10.0  # times ln(vocabulary): a training loss above that never comes back


def outcome(
    trial: Trial,
    optimizer: Optimizer,
    corpus: Corpus,
    *,
    sequence_losses: np.ndarray,
    train_losses: Sequence[float],
    progress: Progress,
    curve: tuple[Point, ...],
    compile_seconds: float,
    wall_seconds: float,
    peak_memory_bytes: int,
    state_bytes: int,
    pack_size: int,
    counted_gradients: float | None = None,
    average_losses: Mapping[str, float] | None = None,
) -> Outcome:
    """Judge one run. A run has diverged if a loss is not finite, if it exploded (ended early), or if it ends
    no better than a uniform guess over the vocabulary.

    sequence_losses: [sequences] in nats per token; NaN where the run ended early.
    train_losses: [steps] in nats per token.
    counted_gradients: how many a step took beyond the first, where the trainer saw them; None: as the optimizer
    says.
    average_losses: of averages of the weights on the same sequences, in nats per token.
    """
    scale = scales.get(trial.scale)
    loss = float(sequence_losses.mean())
    reason = _divergence(loss, train_losses, trial.steps, math.log(scale.vocab))
    trained = progress.step * trial.batch_size * trial.seq_len
    share = 1.0 / pack_size  # a pack's seconds are shared equally by its runs
    train_seconds = progress.train_seconds * share
    params = parameters.roles(scale)
    extra = optimizer.extra_flops(params, trial.steps, trial.batch_size * trial.seq_len)
    model = parameters.flops_per_token(scale) * trained
    gradients = optimizer.extra_gradients(params) if counted_gradients is None else counted_gradients
    cost = Cost(
        wall_seconds=wall_seconds * share,
        train_seconds=train_seconds,
        eval_seconds=progress.eval_seconds * share,
        compile_seconds=compile_seconds * share,
        tokens_per_second=trained / train_seconds if train_seconds else 0.0,
        step_seconds=train_seconds / max(1, progress.step),
        peak_memory_bytes=peak_memory_bytes,
        state_bytes=state_bytes,
        model_flops=model,
        optimizer_flops=extra * progress.step + gradients * model,
    )
    tail = [x for x in train_losses[-max(1, trial.steps // 10) :] if math.isfinite(x)]
    per_epoch = batches.sequence_count(len(corpus.tokens("train")), trial.seq_len)
    epochs = trial.steps * trial.batch_size / per_epoch
    train_loss = float(np.mean(tail)) if tail else None
    if reason:
        return Outcome("diverged", reason, None, None, train_loss, curve, epochs, cost)
    bits = _bits_per_byte(trial, corpus, sequence_losses)
    domains = evaluated.by_domain(corpus.tokens(trial.evaluation.split), sequence_losses)
    return Outcome("finished", "", loss, bits, train_loss, curve, epochs, cost, domains, average_losses or {})


def _divergence(loss: float, train_losses: Sequence[float], steps: int, uniform: float) -> str:
    done, last = len(train_losses), train_losses[-1]
    if not math.isfinite(last):
        return f"training loss was not finite by step {done} of {steps}"
    if done < steps:
        return f"training loss exploded to {last:.3g} nats per token by step {done} of {steps}"
    if not math.isfinite(loss):
        return "final loss is not finite"
    if loss >= uniform:
        return f"final loss {loss:.3f} is no better than a uniform guess ({uniform:.3f} nats per token)"
    return ""


def _bits_per_byte(trial: Trial, corpus: Corpus, sequence_losses: np.ndarray) -> float | None:
    """None where it is not known which bytes a token stands for."""
    tokens = corpus.tokens(trial.evaluation.split)
    sequences = evaluated.sequences(tokens, trial.seq_len, trial.evaluation.sequences)
    predicted_bytes = int(corpus.token_bytes[sequences[:, 1:]].sum())
    if not predicted_bytes:
        return None
    return float(sequence_losses.sum() * trial.seq_len / (math.log(2) * predicted_bytes))
