"""Corpora as token ids: split by document, free of repeats, tokenized once and kept in the user's cache.

`python -m benchmark.data.corpora gcide` prepares one and prints its sizes and hashes. The steps are in
sources/ (text), dedup.py, bpe.py and build.py.
"""

from benchmark import stopping  # before imports that take long: one may be interrupted in them

# isort: split
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmark.arguments import Parser, at_least
from benchmark.data import bpe, build, user_cache
from benchmark.data.build import HELD_OUT_MOST, PREPARATION, SPLITS, Split, dtype, short_hash
from benchmark.data.sources import find, identity, parse, shown, usage
from benchmark.data.sources.base import Document, Source
from benchmark.store import write_atomically

MAX_EPOCHS = 4  # up to about here repeated data is worth nearly as much as new (arXiv 2305.16264)


@dataclass(frozen=True, eq=False)
class Corpus:
    """A prepared corpus.

    corpus_hash: of the tokens of every split, 16 hex digits; tokenizer_hash: of the tokenizer's JSON.
    token_bytes: [vocab] bytes that each token stands for, 0 for the end of text.
    counts, documents, bytes: tokens, documents and bytes of text in each split.
    folder: where tokenizer.json and the tokens are.
    notes: what was left out of the text or dropped from it, and why, in lines for people.
    """

    name: str
    corpus_hash: str
    tokenizer_hash: str
    vocab: int
    token_bytes: np.ndarray = field(repr=False)
    counts: Mapping[str, int]
    documents: Mapping[str, int]
    bytes: Mapping[str, int]
    folder: Path
    notes: tuple[str, ...] = ()

    def tokens(self, split: Split) -> np.ndarray:
        """All token ids of a split, 1-D and read-only: uint16, or uint32 where the vocabulary needs it."""
        return np.memmap(self.folder / f"{split}.bin", dtype(self.vocab), mode="r")


def prepare(
    name: str,
    vocab: int = 512,
    *,
    cache_dir: Path | None = None,
    progress: bool = True,
    say: Callable[[str], object] = lambda _: None,
) -> Corpus:
    """Return the corpus of this name, prepared now or found in the cache.

    name: a file of sources/ and what it asks for after a colon: `gcide`, `local:PATH`.
    say: called with each of the corpus's notes if it is prepared now.
    vocab: size of the byte-level BPE.
    cache_dir: instead of $OPTIMIZER_BENCHMARK_CACHE or the user's cache folder. Two processes may prepare at
    once, and either may be killed: a corpus appears in the cache whole or not at all. Text is held in memory
    while it is prepared: count on eight times its size.
    Raises ValueError: unknown name, missing package or path, unreadable or too little text, unwritable cache.
    """
    if vocab < bpe.SMALLEST_VOCAB:
        raise ValueError(f"a byte-level vocabulary has at least {bpe.SMALLEST_VOCAB} tokens, not {vocab}")
    try:
        source, name = find(name), parse(name).shown
    except OSError as error:
        raise ValueError(f"corpus {name} cannot be read ({error})") from None
    cache = cache_dir or cache_folder()
    pointer = cache / "sources" / short_hash(f"{PREPARATION} {vocab} {identity(name)} {source.stamp}".encode())
    try:
        if pointer.is_file():
            folder, *notes = pointer.read_text(encoding="utf-8").splitlines() or [""]
            if folder and (found := _load(name, vocab, cache / "corpora" / folder, notes)):
                return found
        made = _prepared(name, vocab, source, cache, pointer, None if progress else True)
    except OSError as error:
        raise ValueError(
            f"cannot keep corpus {name} in {cache} ({error.strerror}); free space there, or set"
            " OPTIMIZER_BENCHMARK_CACHE to another folder"
        ) from error
    for note in made.notes:
        say(f"corpus {name}: {note}")
    return made


def kept(name: str, vocab: int, corpus_hash: str, tokenizer_hash: str) -> Corpus | None:
    """The corpus of these hashes from the cache, whatever became of the text that it was made of; None if it
    is not there. name: what to call it."""
    for meta in sorted((cache_folder() / "corpora").glob("[!.]*/meta.json")):
        found = _load(shown(name), vocab, meta.parent)
        if found and (found.corpus_hash, found.tokenizer_hash) == (corpus_hash, tokenizer_hash):
            return found
    return None


def cache_folder() -> Path:
    """Where prepared corpora are kept: $OPTIMIZER_BENCHMARK_CACHE, or this application's place for the user.

    See user_cache.py for a user who has none. Raises ValueError where there is no place at all.
    """
    return user_cache.folder()


def check_size(corpus: Corpus, tokens_needed: int, eval_tokens: int) -> float:
    """How many epochs of the corpus `tokens_needed` training tokens are.

    Raises ValueError if that is more than MAX_EPOCHS, or if validation or test holds fewer than `eval_tokens`.
    """
    train = corpus.counts["train"]
    per_token = sum(corpus.bytes.values()) / max(1, sum(corpus.counts.values())) / 1e6  # MB
    trained = tokens_needed / MAX_EPOCHS / (1 - 2 * HELD_OUT_MOST)  # tokens of all splits together
    needed = per_token * max(trained, eval_tokens / HELD_OUT_MOST)
    if tokens_needed > MAX_EPOCHS * train:
        raise ValueError(
            f"corpus {corpus.name} is too small: it has {train:,} training tokens and the task needs"
            f" {tokens_needed:,}, {tokens_needed / train:.1f} epochs where at most {MAX_EPOCHS} are allowed;"
            f" choose a larger corpus or a smaller task; it takes about {needed:.1f} MB of text"
        )
    for split in ("validation", "test"):
        if corpus.counts[split] < eval_tokens:
            raise ValueError(
                f"corpus {corpus.name} is too small: its {split} split has {corpus.counts[split]:,} tokens and"
                f" an evaluation needs {eval_tokens:,}; choose a larger corpus, some {needed:.1f} MB of text"
            )
    return tokens_needed / train


def _load(name: str, vocab: int, folder: Path, notes: Sequence[str] = ()) -> Corpus | None:
    """The corpus in this folder, or None if it is not there, damaged, or of another vocabulary."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        sizes = {split: (folder / f"{split}.bin").stat().st_size for split in SPLITS}
    except (OSError, ValueError):
        return None
    if any(sizes[split] != meta["counts"][split] * dtype(vocab).itemsize for split in SPLITS):
        return None
    token_bytes = np.array(meta.pop("token_bytes"), np.int32)
    if len(token_bytes) != vocab:
        return None
    dropped = meta.pop("dropped", {})  # what was made before it was counted has none
    said = (*notes, *([_repeats(dropped)] if dropped.get("paragraphs") else []))
    return Corpus(name=name, vocab=vocab, token_bytes=token_bytes, folder=folder, notes=said, **meta)


def _repeats(dropped: Mapping[str, int]) -> str:
    whole = f", {dropped['documents']:,} of them whole documents" if dropped["documents"] else ""
    return f"dropped {dropped['paragraphs']:,} of {dropped['of']:,} paragraphs, which repeat others{whole}"


def _prepared(name: str, vocab: int, source: Source, cache: Path, pointer: Path, silent: bool | None) -> Corpus:
    """Read and prepare; `silent` is tqdm's `disable`: None shows a bar on a terminal only."""
    bar = tqdm(source.documents(), f"{name}: reading", unit=" documents", disable=silent, leave=False)
    documents, content = build.in_hash_order(bar)
    if not documents:
        raise ValueError(f"corpus {name} is empty: there is no text in it")
    folder = cache / "corpora" / short_hash(f"{PREPARATION} {vocab} {content}".encode())
    if not _load(name, vocab, folder):
        with tqdm(desc=f"{name}: encoding", unit=" documents", disable=silent, leave=False) as bar:
            _build(name, documents, vocab, folder, bar)
    notes = source.notes()
    write_atomically(pointer, "\n".join([folder.name, *notes]))
    corpus = _load(name, vocab, folder, notes)
    assert corpus, f"{folder} was just written"
    return corpus


def _build(name: str, documents: list[Document], vocab: int, folder: Path, bar: tqdm) -> None:
    """Make the corpus aside and rename it into place; whoever comes second keeps the first one's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        build.build(documents, vocab, temporary, bar)
        if not _load(name, vocab, folder):
            shutil.rmtree(folder, ignore_errors=True)  # damaged, if it is there at all
        temporary.chmod(0o755)  # a shared cache is for others too
        try:
            temporary.rename(folder)
        except OSError:
            if not _load(name, vocab, folder):  # else another process was first, with the same corpus
                raise
    except ValueError as error:
        raise ValueError(f"corpus {name} is too small: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Remove what killed preparations left behind a day or longer ago."""
    for left in parent.glob(".making-*"):
        with contextlib.suppress(FileNotFoundError):  # another process removes it or finishes with it
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)


def main(arguments: list[str] | None = None, prog: str = "python -m benchmark.data.corpora") -> int:
    """Prepare a corpus and print what is in it; the exit status."""
    parser = Parser(prog=prog, usage="%(prog)s NAME [options]", description="Prepare a corpus.")
    parser.add_argument("name", help=usage())
    parser.add_argument(
        "--vocab",
        type=at_least(bpe.SMALLEST_VOCAB, 512),
        default=512,
        help="size of the byte-level BPE (default: 512)",
    )
    options = parser.parse_args(arguments)
    try:
        corpus = prepare(options.name, options.vocab)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{corpus.name}: corpus {corpus.corpus_hash}, tokenizer {corpus.tokenizer_hash}")
    for split in SPLITS:
        sizes = corpus.documents[split], corpus.bytes[split], corpus.counts[split]
        print("{:>11}: {:>10,} documents {:>14,} bytes {:>13,} tokens".format(split, *sizes))
    for note in corpus.notes:
        print(note)
    print(f"in {corpus.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(stopping.run(main, "Interrupted; nothing of the corpus was kept, run the command again."))
