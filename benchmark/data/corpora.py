"""Corpora as token ids: split by document, free of repeats, tokenized once and kept in the user's cache.

`python -m benchmark.data.corpora gcide` prepares one and prints its sizes and hashes. The steps are in
sources/ (text), dedup.py, bpe.py and build.py; what is too large for them is in token_files.py and streamed.py.
"""

from benchmark import stopping  # before imports that take long: one may be interrupted in them

# isort: split
import contextlib
import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer
from tqdm import tqdm

from benchmark.arguments import Parser, at_least, whole
from benchmark.data import bpe, build, tokenizer, user_cache
from benchmark.data.ask import Ask
from benchmark.data.build import HELD_OUT_MOST, PREPARATION, SPLITS, short_hash
from benchmark.data.corpus import Corpus as Corpus
from benchmark.data.corpus import load
from benchmark.data.sources import find, identity, parse, shown, usage
from benchmark.data.sources.base import Source
from benchmark.files import write_atomically

MAX_EPOCHS = 4  # up to about here repeated data is worth nearly as much as new (arXiv 2305.16264)


def prepare(
    name: str,
    vocab: int = 512,
    *,
    cache_dir: Path | None = None,
    progress: bool = True,
    say: Callable[[str], object] = lambda _: None,
    tokenizer_file: str = "",
    tokens: int = 0,
    held_out: bool = False,
) -> Corpus:
    """Return the corpus of this name, prepared now or found in the cache.

    name: a file of sources/ and what it asks for after a colon: `gcide`, `local:PATH`.
    say: called with each of the corpus's notes if it is prepared now.
    vocab: size of the byte-level BPE, or of the model's vocabulary, in which the ids of a tokenizer must lie.
    tokenizer_file: a tokenizer.json, in place of a BPE that is trained on the text.
    tokens: training tokens that will be needed at most, so that of a source without end no more is read.
    held_out: the corpus is for evaluation alone: all of its text goes to validation and test.
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
    given = tokenizer.read(tokenizer_file, vocab) if tokenizer_file else None
    try:
        if source.prepare:
            ask = Ask(name, vocab, cache, tokenizer_file, tokens, held_out, progress, say)
            folder = source.prepare(ask)
            made = load(name, vocab, folder)
            assert made, f"{folder} was just written"
            return made
        how = _how(vocab, given, held_out)
        pointer = cache / "sources" / short_hash(f"{how} {identity(name)} {source.stamp}".encode())
        if pointer.is_file():
            folder, *notes = pointer.read_text(encoding="utf-8").splitlines() or [""]
            if folder and (found := load(name, vocab, cache / "corpora" / folder, notes)):
                return found
        making = functools.partial(build.build, vocab=vocab, tokenizer=given, held_out=held_out)
        made = _prepared(name, vocab, source, cache, pointer, how, making, None if progress else True)
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
        found = load(shown(name), vocab, meta.parent)
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
    texts = sum(corpus.bytes.values())
    per_token = texts / max(1, sum(corpus.counts.values())) / 1e6  # MB
    trained = tokens_needed / MAX_EPOCHS / (1 - 2 * HELD_OUT_MOST)  # tokens of all splits together
    needed = per_token * max(trained, eval_tokens / HELD_OUT_MOST)
    if tokens_needed > MAX_EPOCHS * train:
        takes = f"; it takes about {needed:.1f} MB of text" if texts else ""
        raise ValueError(
            f"corpus {corpus.name} is too small: it has {train:,} training tokens and the task needs"
            f" {tokens_needed:,}, {tokens_needed / max(1, train):.1f} epochs where at most {MAX_EPOCHS} are"
            f" allowed; choose a larger corpus or a smaller task{takes}"
        )
    evaluated = corpus.evaluation or corpus
    for split in ("validation", "test"):
        if corpus.counts[split] < eval_tokens:
            larger = f", some {needed:.1f} MB of text" if texts and not corpus.evaluation else ""
            raise ValueError(
                f"corpus {evaluated.name} is too small: its {split} split has {corpus.counts[split]:,} tokens"
                f" and an evaluation needs {eval_tokens:,}; choose a larger corpus{larger}"
            )
    return tokens_needed / train


def _how(vocab: int, given: Tokenizer | None, held_out: bool) -> str:
    """What decides, besides its text, what a corpus becomes."""
    own = f" {short_hash(given.to_str().encode())}" if given else ""
    return f"{PREPARATION} {vocab}{own}{' held out' if held_out else ''}"


def _prepared(
    name: str,
    vocab: int,
    source: Source,
    cache: Path,
    pointer: Path,
    how: str,
    making: Callable[..., None],
    silent: bool | None,
) -> Corpus:
    """Read and prepare; `silent` is tqdm's `disable`: None shows a bar on a terminal only."""
    bar = tqdm(source.documents(), f"{name}: reading", unit=" documents", disable=silent, leave=False)
    documents, content = build.in_hash_order(bar)
    if not documents:
        raise ValueError(f"corpus {name} is empty: there is no text in it")
    folder = cache / "corpora" / short_hash(f"{how} {content}".encode())
    if not load(name, vocab, folder):
        with tqdm(desc=f"{name}: encoding", unit=" documents", disable=silent, leave=False) as bar:
            _build(name, vocab, folder, lambda where: making(documents, folder=where, bar=bar))
    notes = source.notes()
    write_atomically(pointer, "\n".join([folder.name, *notes]))
    corpus = load(name, vocab, folder, notes)
    assert corpus, f"{folder} was just written"
    return corpus


def _build(name: str, vocab: int, folder: Path, making: Callable[[Path], None]) -> None:
    """Make the corpus aside and rename it into place; whoever comes second keeps the first one's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        making(temporary)
        if not load(name, vocab, folder):
            shutil.rmtree(folder, ignore_errors=True)  # damaged, if it is there at all
        temporary.chmod(0o755)  # a shared cache is for others too
        try:
            temporary.rename(folder)
        except OSError:
            if not load(name, vocab, folder):  # else another process was first, with the same corpus
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
    parser.add_argument("--tokenizer", default="", metavar="FILE", help="a tokenizer.json in its place")
    parser.add_argument(
        "--tokens", type=whole, default=0, metavar="N", help="training tokens to prepare of what is streamed"
    )
    options = parser.parse_args(arguments)
    try:
        corpus = prepare(options.name, options.vocab, tokenizer_file=options.tokenizer, tokens=options.tokens)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{corpus.name}: corpus {corpus.corpus_hash}, tokenizer {corpus.tokenizer_hash}")
    for split in SPLITS:
        sizes = corpus.documents.get(split, 0), corpus.bytes.get(split, 0), corpus.counts[split]
        print("{:>11}: {:>10,} documents {:>14,} bytes {:>13,} tokens".format(split, *sizes))
    for note in corpus.notes:
        print(note)
    print(f"in {corpus.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(stopping.run(main, "Interrupted; nothing of the corpus was kept, run the command again."))
