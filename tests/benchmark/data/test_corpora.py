"""Corpora: from text to tokens, and what is asked of every corpus."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from benchmark.data import bpe, build, corpora
from benchmark.data.corpora import Corpus, check_size, prepare

VOCAB = 320
REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def texts(count: int, seed: int = 0) -> list[str]:
    """Different documents of made-up words, three paragraphs each, some of them not ASCII."""
    draw = random.Random(seed)
    letters = "abcdefghij" * 3 + "éß漢🙂"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(500)]
    return ["\n\n".join(" ".join(draw.choices(words, k=30)) for _ in range(3)) for _ in range(count)]


def write_jsonl(path: Path, documents: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return f"local:{path}"


def decoded(corpus: Corpus, split: build.Split) -> list[str]:
    tokenizer = Tokenizer.from_file(str(corpus.folder / "tokenizer.json"))
    tokens = corpus.tokens(split)
    ends = np.flatnonzero(tokens == 0)
    assert ends[-1] == len(tokens) - 1
    return tokenizer.decode_batch([part[:-1].tolist() for part in np.split(tokens, ends + 1)[:-1]])


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return [*texts(400), "A document may say <|endoftext|> itself.\n", " leading and trailing space \n\n"]


@pytest.fixture(scope="module")
def corpus(documents: list[str], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    return prepare(
        write_jsonl(folder / "a.jsonl", documents), VOCAB, cache_dir=folder / "cache", progress=False
    )


def test_tokens_decode_to_the_text(corpus: Corpus, documents: list[str]) -> None:
    found = [text for split in build.SPLITS for text in decoded(corpus, split)]
    assert sorted(found) == sorted(documents)


def test_counts_bytes_and_token_bytes_agree_with_the_text(corpus: Corpus) -> None:
    for split in build.SPLITS:
        tokens, found = corpus.tokens(split), decoded(corpus, split)
        assert tokens.ndim == 1 and tokens.dtype == np.uint16 and not tokens.flags.writeable
        assert corpus.counts[split] == len(tokens)
        assert corpus.documents[split] == len(found)
        assert corpus.bytes[split] == sum(len(text.encode()) for text in found)
        assert corpus.token_bytes[tokens].sum() == corpus.bytes[split]
    assert corpus.token_bytes.shape == (VOCAB,) and corpus.token_bytes[0] == 0


def test_a_large_vocabulary_takes_four_bytes(documents: list[str], tmp_path: Path) -> None:
    corpus = prepare(write_jsonl(tmp_path / "a.jsonl", documents), 70_000, cache_dir=tmp_path, progress=False)
    assert corpus.tokens("test").dtype == np.uint32
    assert corpus.token_bytes.shape == (70_000,)
    assert corpus.token_bytes[corpus.tokens("test")].sum() == corpus.bytes["test"]


def test_splits_hold_their_shares(corpus: Corpus) -> None:
    total = sum(corpus.bytes.values())
    for split in ("validation", "test"):
        assert (
            0.1 * total <= corpus.bytes[split] <= 0.1 * total + 2000
        )  # a small corpus: the most that is held out


def test_order_of_documents_and_files_does_not_matter(
    corpus: Corpus, documents: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    shuffled = random.Random(1).sample(documents, len(documents))
    write_jsonl(folder / "a.jsonl", shuffled[:100])
    write_jsonl(folder / "b.jsonl", shuffled[100:])
    other = prepare(f"local:{folder}", VOCAB, cache_dir=tmp_path / "cache", progress=False)
    assert (other.corpus_hash, other.tokenizer_hash) == (corpus.corpus_hash, corpus.tokenizer_hash)


def test_hashes_tell_text_and_vocabulary_apart(corpus: Corpus, documents: list[str], tmp_path: Path) -> None:
    changed = prepare(
        write_jsonl(tmp_path / "b.jsonl", documents[1:]), VOCAB, cache_dir=tmp_path, progress=False
    )
    smaller = prepare(write_jsonl(tmp_path / "a.jsonl", documents), 300, cache_dir=tmp_path, progress=False)
    assert len({corpus.corpus_hash, changed.corpus_hash, smaller.corpus_hash}) == 3
    assert smaller.tokenizer_hash != corpus.tokenizer_hash


def test_another_process_prepares_the_same(corpus: Corpus, documents: list[str], tmp_path: Path) -> None:
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    for seed, threads in (("1", "1"), ("2", "2")):
        process = _preparing(name, tmp_path / seed, PYTHONHASHSEED=seed, RAYON_NUM_THREADS=threads)
        assert process.communicate()[0].split() == [corpus.corpus_hash, corpus.tokenizer_hash]


def test_training_documents_are_shuffled(corpus: Corpus, documents: list[str]) -> None:
    places = [documents.index(text) for text in decoded(corpus, "train")]
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.2


def test_only_training_documents_train_the_tokenizer(
    documents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    train = bpe.train
    monkeypatch.setattr(bpe, "train", lambda sample, vocab: train((seen.append(t) or t for t in sample), vocab))
    corpus = prepare(write_jsonl(tmp_path / "a.jsonl", documents), VOCAB, cache_dir=tmp_path, progress=False)
    assert sorted(seen) == sorted(decoded(corpus, "train"))


def _five_grams(paragraph: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", paragraph.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)} or {tuple(words)}


def _paragraphs(texts: list[str]) -> list[str]:
    return [paragraph for text in texts for paragraph in text.split("\n\n") if paragraph.strip()]


def _leaked(splits: dict[build.Split, list[str]]) -> float:
    """Share of held-out paragraphs more than half of whose 5-grams stand in a training paragraph."""
    known = {gram for p in _paragraphs(splits["train"]) for gram in _five_grams(p)}
    held_out = [_five_grams(p) for p in _paragraphs(splits["validation"] + splits["test"])]
    return float(np.mean([len(grams & known) > len(grams) / 2 for grams in held_out]))


def test_held_out_paragraphs_are_new_to_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = texts(20, seed=5)
    documents = [
        text + "\n\n" + shared[i % 20].split("\n\n")[i % 3] + f" ending {i}"
        for i, text in enumerate(texts(400))
    ]
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    corpus = prepare(name, VOCAB, cache_dir=tmp_path / "cache", progress=False)
    assert _leaked({split: decoded(corpus, split) for split in build.SPLITS}) == 0
    monkeypatch.setattr(build, "new_paragraphs", lambda paragraphs: np.ones(len(paragraphs), bool))
    corpus = prepare(name, VOCAB, cache_dir=tmp_path / "without", progress=False)
    assert _leaked({split: decoded(corpus, split) for split in build.SPLITS}) > 0.2


def test_a_group_goes_to_one_split_and_a_large_one_to_train() -> None:
    documents = [
        build.Document([text], group=f"g{i // 5}" if i < 350 else "large") for i, text in enumerate(texts(400))
    ]
    ordered, _ = build.in_hash_order(documents)
    splits = build.split(ordered)
    groups = {split: {document.group for document in part} for split, part in splits.items()}
    assert all(groups.values())
    assert not groups["train"] & groups["validation"] and not groups["validation"] & groups["test"]
    assert not groups["train"] & groups["test"]
    assert "large" in groups["train"]


def test_prepared_once(documents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jsonl"
    name = write_jsonl(file, documents)
    first = prepare(name, VOCAB, cache_dir=tmp_path, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(build, "in_hash_order", lambda _: pytest.fail("the text was read again"))
        started = time.perf_counter()
        again = prepare(name, VOCAB, cache_dir=tmp_path, progress=False)
        assert time.perf_counter() - started < 0.3
    assert again.corpus_hash == first.corpus_hash
    write_jsonl(file, [*documents, "one more document"])
    assert prepare(name, VOCAB, cache_dir=tmp_path, progress=False).corpus_hash != first.corpus_hash


@pytest.mark.parametrize("damage", ["train.bin", "meta.json", "pointer"])
def test_a_damaged_cache_is_made_anew(
    corpus: Corpus, documents: list[str], tmp_path: Path, damage: str
) -> None:
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    folder = prepare(name, VOCAB, cache_dir=tmp_path, progress=False).folder
    path = next((tmp_path / "sources").iterdir()) if damage == "pointer" else folder / damage
    path.write_bytes(path.read_bytes()[:7])
    healed = prepare(name, VOCAB, cache_dir=tmp_path, progress=False)
    assert healed.corpus_hash == corpus.corpus_hash
    assert len(healed.tokens("train")) == corpus.counts["train"]
    assert [p.name for p in (tmp_path / "corpora").iterdir()] == [folder.name]
    assert len(list(folder.iterdir())) == 5


def _preparing(name: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from benchmark.data.corpora import prepare\n"
        f"c = prepare({name!r}, {VOCAB}, progress=False); print(c.corpus_hash, c.tokenizer_hash)"
    )
    environment = {**os.environ, "OPTIMIZER_BENCHMARK_CACHE": str(cache), **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_may_prepare_at_once(corpus: Corpus, documents: list[str], tmp_path: Path) -> None:
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    processes = [_preparing(name, tmp_path) for _ in range(3)]
    assert {process.communicate()[0].split()[0] for process in processes} == {corpus.corpus_hash}
    assert len(list((tmp_path / "corpora").iterdir())) == 1


def test_a_killed_preparation_does_no_harm(tmp_path: Path) -> None:
    documents = texts(6000)
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    process = _preparing(name, tmp_path)
    while not list(tmp_path.glob("corpora/.making-*/train.bin")):
        assert process.poll() is None, "it ended before it could be killed: give it more text"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = next(tmp_path.glob("corpora/.making-*"))
    os.utime(left, (0, 0))
    corpus = prepare(name, VOCAB, cache_dir=tmp_path, progress=False)
    assert sum(corpus.documents.values()) == len(documents)
    assert not left.exists()


def test_check_size(corpus: Corpus) -> None:
    train, held_out = corpus.counts["train"], min(corpus.counts["validation"], corpus.counts["test"])
    assert check_size(corpus, train // 2, held_out) == pytest.approx(0.5, abs=1e-4)
    assert check_size(corpus, 4 * train, held_out) == 4
    with pytest.raises(
        ValueError, match=rf"it has {train:,} training tokens and the task needs {4 * train + 1:,}"
    ):
        check_size(corpus, 4 * train + 1, held_out)
    with pytest.raises(
        ValueError, match=rf"split has {held_out:,} tokens and an evaluation needs {held_out + 1:,}"
    ):
        check_size(corpus, train, held_out + 1)


def test_a_cache_that_cannot_be_written(documents: list[str], tmp_path: Path) -> None:
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot keep corpus .*OPTIMIZER_BENCHMARK_CACHE"):
        prepare(name, VOCAB, cache_dir=tmp_path / "file", progress=False)


def test_command(
    documents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", str(tmp_path))
    name = write_jsonl(tmp_path / "a.jsonl", documents)
    assert corpora.main([name, "--vocab", str(VOCAB)]) == 0
    corpus = prepare(name, VOCAB, progress=False)
    printed = capsys.readouterr().out
    assert corpus.corpus_hash in printed and f"{corpus.counts['train']:,} tokens" in printed
    assert corpora.main(["gcite"]) == 1
    assert "unknown corpus 'gcite' (did you mean 'gcide'?); choose from apidocs" in capsys.readouterr().err


def test_gcide_is_what_the_committed_runs_were_trained_on() -> None:
    corpus = prepare("gcide", progress=False)
    with (REFERENCE / "trials.jsonl").open(encoding="utf-8") as lines:
        trial = json.loads(next(lines))["trial"]
    assert corpus.corpus_hash == trial["corpus_hash"]
    assert corpus.tokenizer_hash == trial["tokenizer_hash"]


def test_gcide_is_large_enough_and_does_not_leak() -> None:
    corpus = prepare("gcide", progress=False)
    assert check_size(corpus, 40_000_000, 2 * 1024 * 129) < 4
    assert corpus.documents["train"] > 90_000
    held_out = [
        p for split in ("validation", "test") for text in decoded(corpus, split) for p in text.splitlines()
    ]
    sample = [_five_grams(p) for p in random.Random(0).sample(held_out, 500)]
    wanted = set.union(*sample)
    known: set[tuple[str, ...]] = set()
    for text in decoded(corpus, "train"):
        for paragraph in text.splitlines():
            known |= wanted & _five_grams(paragraph)
    assert not [grams for grams in sample if len(grams & known) > len(grams) / 2]
