"""What the benchmark makes of each: admitted or not, what it is charged, its loss after 30 steps at 27k, and
where the registry has its rule, how far that loss is from the registry's at one seed and setting."""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optimizers
from benchmark import scales
from benchmark.data.corpora import Corpus
from benchmark.kit import admission, cases
from benchmark.spec import Record, Trial
from benchmark.train import runner
from optimizers.base import Optimizer
from optimizers.user import files
from tools.thirdparty.rows import COUNT, PARAMS, SCALE, Row

STEPS, SEQUENCES = 30, 64
HEAD = "| optimizer | way in | admitted | state per parameter | more gradients | 30 steps | number's check |"


def cells(row: Row, corpus: Corpus) -> Iterator[str]:
    """What the table says of a row, cell by cell; it ends where the optimizer is refused."""
    yield row.way_in
    with tempfile.TemporaryDirectory() as folder:
        try:
            entry = files.load(row.asked(Path(folder)))
            admission.admit(entry, row.backend)
        except ValueError as error:
            yield f"refused: {str(error)[-120:]}"
            return
        yield "yes"
        yield _against(entry().state_floats(PARAMS) / COUNT, row.state)
        yield _against(entry().extra_gradients(PARAMS), row.gradients)
        record = trained(entry, row.backend, corpus, {})
        loss = record.val_loss if record.val_loss is not None else record.train_loss
        yield f"{loss:.3f}" if loss is not None else f"{record.status}: {record.reason[:60]}"
        yield _checked(row, entry, corpus) if row.twin else "–"


def _against(found: float, must: float | None) -> str:
    if must is None:
        return f"{found:.2f}"
    return f"{found:.2f} as it must" if abs(found - must) < 0.02 else f"**{found:.2f}, must be {must:.2f}**"


def _checked(row: Row, entry: type[Optimizer], corpus: Corpus) -> str:
    """How far the loss is from the registry's, at one seed and setting."""
    short = {"beta1": "b1", "beta2": "b2"}
    theirs = {short[n] if n in short and not hasattr(entry(), n) else n: v for n, v in row.setting.items()}
    twin = optimizers.get(row.twin)
    one = trained(entry, row.backend, corpus, theirs).val_loss
    other = trained(twin, row.backend, corpus, row.setting).val_loss
    return (
        f"{row.twin}: {one - other:+.1e}" if one is not None and other is not None else f"{row.twin}: no loss"
    )


def trained(entry: type[Optimizer], backend: Any, corpus: Corpus, setting: dict[str, float]) -> Record:
    """A short run at one seed; `setting` replaces hyperparameters."""
    base, scale = cases.one_batch_trial(entry(), backend, 0, STEPS), scales.get(SCALE)
    own = {name: value for name, value in setting.items() if hasattr(entry(), name)}
    trial: Trial = dataclasses.replace(
        base,
        scale=SCALE,
        tokens=STEPS * scale.batch_size * scale.seq_len,
        hyperparameters={**base.hyperparameters, **entry.recipe_fixed, "batch_size": scale.batch_size, **own},
        corpus=corpus.name,
        corpus_hash=corpus.corpus_hash,
        tokenizer_hash=corpus.tokenizer_hash,
        evaluation=dataclasses.replace(base.evaluation, sequences=SEQUENCES),
    )
    return runner.run([trial], entry, corpus)[0]
