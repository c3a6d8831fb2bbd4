"""Is this a loss in nats per token? What is not, or may not be, is asked for (`--loss-is`), never believed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from benchmark.published.numbers import Mark, number, shown

Unit = Literal["nats", "bits", "perplexity"]
UNITS: tuple[Unit, ...] = ("nats", "bits", "perplexity")
LARGEST_VOCABULARY = 1_000_000  # tokens; beyond any tokenizer in use: bounds a loss where none is stated
UNTRAINED = 7.0  # nats; a finished run's loss is below it, a perplexity seldom is
TOO_GOOD = 0.5  # nats per token, a perplexity of 1.6: an accuracy, or a loss per something else
REMEDY = "say what it is with --loss-is nats, bits or perplexity"
WORDS = {  # in a column's name -> what it holds
    "perplexity": "perplexity", "ppl": "perplexity", "bpb": "bits per byte", "bitsperbyte": "bits per byte",
    "bpc": "bits per character", "bits": "bits", "accuracy": "accuracy", "acc": "accuracy",
}  # fmt: skip


def suspicion(column: str) -> str:
    """What a column's name says it holds, where that is no loss in nats; else empty."""
    plain = "".join(c for c in column.lower() if c.isalnum())
    words = {"".join(c for c in w if c.isalnum()) for w in column.lower().replace("_", "/").split("/")}
    return next((v for w, v in WORDS.items() if w in words or (len(w) > 3 and w in plain)), "")


def nats(text: str, unit: Unit | None, mark: Mark = ".") -> float:
    """A field of the loss column in nats per token; NaN or infinity for a run that diverged.

    Raises ValueError for what is no loss in this unit.
    """
    if "%" in text:
        raise ValueError(f"val_loss {shown(text)} is a percentage, no loss")
    try:
        value = number(text, mark)
    except ValueError as error:
        raise ValueError(f"val_loss {error}; leave it empty if the run diverged") from None
    if math.isnan(value) or value == math.inf:
        return value
    if value <= 0:
        raise ValueError(f"val_loss {shown(text)} is no loss in nats per token, which is positive")
    if unit == "perplexity":
        if value < 1:
            raise ValueError(f"val_loss {shown(text)} is no perplexity, which is 1 or more")
        return math.log(value)
    return value * math.log(2) if unit == "bits" else value


def check(values: Mapping[int, float], vocabularies: Mapping[int, int], unit: Unit | None) -> None:
    """Refuse losses that cannot be, and ask about those that hardly are.

    values: line -> loss in nats per token. vocabularies: line -> size of the vocabulary, where it is known.
    Raises ValueError.
    """
    finite = {line: v for line, v in values.items() if math.isfinite(v)}
    for line, value in finite.items():
        known = vocabularies.get(line) or 0
        bound = math.log(known or LARGEST_VOCABULARY)
        if value > bound * (1 + 1e-6):
            of = f"{known:,} tokens" if known else "any vocabulary in use"
            raise ValueError(
                f"line {line}: a loss of {value:.4g} nats is above ln(vocabulary) = {bound:.4g} of {of}, which"
                f" guessing has: {_ask(unit)}; leave it empty if the run diverged"
            )
    _typical(list(finite.values()), unit)


def _typical(values: Sequence[float], unit: Unit | None) -> None:
    if not values or unit is not None:
        return
    middle = statistics.median(values)
    if middle > UNTRAINED or middle < TOO_GOOD:
        what = "a model that has learnt nothing" if middle > UNTRAINED else "a perplexity of 1.6 or less"
        raise ValueError(f"the losses are {middle:.3g} in the middle, in nats that is {what}: {REMEDY}")


def _ask(unit: Unit | None) -> str:
    return REMEDY if unit is None else f"it cannot be in {unit}; state the vocabulary in a column vocab"
