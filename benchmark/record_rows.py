"""A record as rows of tables: of its run, and of each evaluation along it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmark import machine, scales
from benchmark.data import sources
from benchmark.spec import Record


def run_row(sweep: str, record: Record) -> dict[str, Any]:
    """A row of `store.Results.runs`, which says what its columns are."""
    trial = record.trial
    row: dict[str, Any] = {
        "trial_id": trial.trial_id,
        "sweep": sweep,
        "optimizer": trial.optimizer,
        "rule": trial.rule,
        "scale": trial.scale,
        "num_params": scales.SCALES[trial.scale].num_params if trial.scale in scales.SCALES else None,
        "chinchilla_ratio": trial.chinchilla_ratio,
        "task": trial.task,
        "tokens": trial.tokens,
        "steps": trial.steps,
        "batch_size": trial.batch_size,
        "seed": trial.seed,
        "use": trial.use,
        "status": record.status,
        "reason": record.reason,
        "purpose": record.purpose,
        "val_loss": record.val_loss,
        "bits_per_byte": record.bits_per_byte,
        "train_loss": record.train_loss,
        "data_epochs": record.data_epochs,
        "corpus": sources.shown(trial.corpus),
        "corpus_hash": trial.corpus_hash,
        "tokenizer_hash": trial.tokenizer_hash,
        "eval_corpus": sources.shown(trial.eval_corpus),
        "eval_corpus_hash": trial.eval_corpus_hash,
        "backend": trial.backend,
        "precision": trial.precision,
        "experiment": trial.experiment,
        "eval_split": trial.evaluation.split,
        "machine": machine.machine(record.environment),
        "cpu_type": machine.cpu_type(record.environment),
        "conditions": machine.conditions(record.environment),
        "gradients_per_step": _gradients(record),
        "finished_at": record.finished_at,
    }
    row.update(asdict(record.cost))
    row.update({f"hp.{name}": value for name, value in trial.hyperparameters.items()})
    row.update({f"average.{name}": loss for name, loss in record.averages.items()})
    row.update({f"domain.{name}": loss for name, loss in record.domain_losses.items()})
    return row


def _gradients(record: Record) -> float:
    """Gradients of the batch that a step evaluates, a loss alone a third of one. Where an old record does not
    say: one for an optimizer of the registry, as all of them had, and NaN for a user's."""
    said = record.facts.get("gradients_per_step")
    if isinstance(said, int | float):
        return float(said)
    return 1.0 if "@" in record.trial.rule else np.nan


def curve_rows(record: Record) -> Iterator[dict[str, Any]]:
    """Rows of `store.Results.curves`, one per evaluation along the run."""
    trial = record.trial
    for point in record.curve:
        yield {
            "trial_id": trial.trial_id,
            "optimizer": trial.optimizer,
            "scale": trial.scale,
            "chinchilla_ratio": trial.chinchilla_ratio,
            "task": trial.task,
            "seed": trial.seed,
            "use": trial.use,
            "fraction": point.step / trial.steps,
            **asdict(point),
        }
