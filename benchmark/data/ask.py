"""What is asked of a corpus, for sources that are not read document by document into memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ask:
    """name: as it is shown. vocab: of the model. cache: the folder of prepared corpora.

    tokenizer: a tokenizer.json, "" for none.
    tokens: training tokens that the largest task needs, 0 where nobody has said.
    held_out: all of it is for evaluation, and nothing for training.
    progress: whether a bar may be shown. say: takes a line for people.
    """

    name: str
    vocab: int
    cache: Path
    tokenizer: str = ""
    tokens: int = 0
    held_out: bool = False
    progress: bool = True
    say: Callable[[str], object] = lambda _: None
