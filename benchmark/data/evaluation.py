"""A corpus for evaluation alone; a folder of folders has a domain in each of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmark.data import corpora, corpus, files, folders
from benchmark.data.build import SPLITS
from benchmark.data.corpus import Corpus
from benchmark.data.sources import PATH, parse, where_of

Say = Callable[[str], object]


def prepare(name: str, trained_on: Corpus, tokenizer_file: str = "", say: Say = lambda _: None) -> Corpus:
    """The corpus of this name, with the training corpus's tokenizer: half validation, half test.

    Raises ValueError where text is to be encoded and nobody has named the tokenizer, and as corpora.prepare.
    """
    parsed = parse(name)
    tokenizer = tokenizer_file or trained_on.tokenizer
    if not tokenizer and parsed.kind != "tokens":
        raise ValueError(
            f"evaluation corpus {parsed.shown}: the tokenizer of {trained_on.name} is not known; name its"
            " tokenizer.json with --tokenizer, or evaluate on tokens:PATH"
        )

    def one(name: str) -> Corpus:
        return corpora.prepare(name, trained_on.vocab, say=say, tokenizer_file=tokenizer, held_out=True)

    parts = _domains(Path(parsed.where)) if where_of(parsed.kind) == PATH else []
    if len(parts) < 2:
        return one(name)
    found = {files.printable(part.name): one(f"{parsed.kind}:{part}") for part in parts}
    return _together(parsed.shown, found)


def _domains(path: Path) -> list[Path]:
    """The folders in a folder that holds nothing else; none where there is a file beside them."""
    if not path.is_dir():
        return []
    entries = [e for e in sorted(path.iterdir()) if not e.name.startswith(".")]
    parts = [entry for entry in entries if entry.is_dir()]
    described = {entry.name.casefold() for entry in entries} - {part.name.casefold() for part in parts}
    return parts if described <= folders.DESCRIPTIONS else []


def _together(name: str, parts: dict[str, Corpus]) -> Corpus:
    """One corpus of several domains, kept in the cache like any other."""
    first = next(iter(parts.values()))
    corpus_hash = corpus.together(*(f"{domain} {part.corpus_hash}" for domain, part in parts.items()))
    folder = first.folder.parent / corpus.together(str(first.vocab), corpus_hash, first.tokenizer_hash)
    # of an evaluation that reads as much of each domain as there is of the smallest
    least = {split: len(parts) * min(part.counts[split] for part in parts.values()) for split in SPLITS}
    meta = {
        "corpus_hash": corpus_hash,
        "tokenizer_hash": first.tokenizer_hash,
        "counts": least,
        "documents": {s: sum(part.documents.get(s, 0) for part in parts.values()) for s in SPLITS},
        "bytes": {s: sum(part.bytes.get(s, 0) for part in parts.values()) for s in SPLITS},
        "token_bytes": first.token_bytes.tolist(),
        "domains": {
            domain: {split: [corpus.entry(shard) for shard in part.shards(split)] for split in SPLITS}
            for domain, part in parts.items()
        },
    }
    corpus.write(folder, meta)
    made = corpus.load(name, first.vocab, folder)
    assert made, f"{folder} was just written"
    notes = tuple(f"{domain}: {note}" for domain, part in parts.items() for note in part.notes)
    return replace(made, notes=notes)
