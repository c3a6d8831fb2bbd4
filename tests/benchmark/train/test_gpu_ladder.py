"""The smallest scale for one GPU trains on a CPU: each optimizer from where its search starts, on real text.

Batches of two sequences, so that a step takes a second. All optimizers for 50 steps: `pytest -m slow`.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import optimizers
from benchmark import scales
from benchmark.data import corpora
from benchmark.data.corpora import Corpus
from benchmark.spec import Evaluation, Outcome, Trial
from benchmark.train import trainer_jax
from benchmark.train.checkpoint import Writer
from benchmark.train.upkeep import CHECKPOINT_SECONDS, Upkeep
from sweeps.search.contestants import at_start, contestants

SCALE, BATCH = scales.get("2m"), 2


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_jax, "EVAL_CHUNK", 8)  # what an evaluation is padded to


@pytest.fixture(scope="module")
def text() -> Corpus:
    """The built-in text, in the vocabulary of this ladder."""
    return corpora.prepare("gcide", SCALE.vocab, progress=False)


def trained(name: str, steps: int, corpus: Corpus, path: Path | None = None) -> tuple[Trial, Outcome]:
    (contestant,) = contestants((name,))
    trial = Trial(
        optimizer=name,
        rule=contestant.rule,
        scale=SCALE.name,
        chinchilla_ratio=1.0,
        tokens=steps * BATCH * SCALE.seq_len,
        steps=steps,
        seq_len=SCALE.seq_len,
        vocab=SCALE.vocab,
        hyperparameters={**contestant.start(SCALE), "batch_size": BATCH},
        seed=0,
        use="tuning",
        corpus=corpus.name,
        corpus_hash=corpus.corpus_hash,
        tokenizer_hash=corpus.tokenizer_hash,
        evaluation=Evaluation(sequences=8),
    )
    trainer_jax.set_up(corpora.cache_folder() / "compiled")
    (outcome,) = trainer_jax.train([trial], [at_start(contestant, SCALE)], corpus, path)
    return trial, outcome


def test_two_million_parameters_learn_in_a_few_steps(text: Corpus) -> None:
    assert text.vocab == 8192 and text.tokens("train").max() > 4096
    assert text.counts["train"] < 10_485_760, "at 1x it would be read more often than MAX_EPOCHS"
    _, outcome = trained("adamw", 4, text)
    assert outcome.status == "finished" and outcome.val_loss is not None
    assert outcome.val_loss < 9.0, "log 8192 is 9.01: what knows nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", optimizers.entrants())
def test_two_million_parameters_learn_with_every_optimizer(name: str, text: Corpus) -> None:
    trial, outcome = trained(name, 50, text)
    assert trial.steps == 50 and outcome.status == "finished" and outcome.val_loss is not None
    print(f"{name}: validation loss {outcome.val_loss:.3f} after 50 steps")
    assert outcome.val_loss < 8.0
    assert dataclasses.asdict(outcome.cost)["state_bytes"] < 5 * 4 * SCALE.total_params


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "kron"])
def test_saving_takes_little_of_a_run(name: str, text: Corpus, tmp_path: Path, monkeypatch: Any) -> None:
    """Copies of the state, for which the run waits, and writing, which it need not wait for."""
    took: dict[str, list[float]] = {"copy": [], "write": []}

    def timed(kind: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            began = time.perf_counter()
            function(*args)
            took[kind].append(time.perf_counter() - began)

        return call

    monkeypatch.setattr(Upkeep, "_save", timed("copy", Upkeep._save))
    monkeypatch.setattr(Writer, "_run", timed("write", Writer._run))
    _, outcome = trained(name, 120, text, tmp_path / "state.npz")
    wall = outcome.cost.wall_seconds
    assert len(took["write"]) == len(took["copy"]) >= wall // (CHECKPOINT_SECONDS + 10) >= 1
    waited, written = sum(took["copy"]), sum(took["write"])
    print(
        f"{name}: {len(took['copy'])} checkpoints in {wall:.0f} s,"
        f" {waited:.2f} s copying and {written:.2f} s writing: {(waited + written) / wall:.2%}"
    )
    assert waited + written < 0.03 * wall
