"""Streamed text: shards on disk, resumed after a kill, refused in time; evaluation apart and by domain."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tokenizers import Tokenizer, models

from benchmark.data import bpe, corpora, evaluated, evaluation, streamed, tokenizer
from benchmark.data.corpora import check_size, prepare
from benchmark.data.corpus import Corpus
from benchmark.data.shards import Domains

VOCAB = 320


def texts(count: int, seed: int = 0, letters: str = "abcdefghij") -> list[str]:
    draw = random.Random(seed)
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(300)]
    return [" ".join(draw.choices(words, k=60)) for _ in range(count)]


def hub_folder(path: Path, documents: list[str], parts: int = 3) -> Path:
    """A folder as a hub lays it out: parquet and lines of JSON below a folder of data, and a description."""
    (path / "data").mkdir(parents=True)
    (path / "README.md").write_text("---\nlicense: none\n---\n")
    for k in range(parts):
        own = documents[k::parts]
        if k % 2:
            lines = "".join(json.dumps({"text": text, "url": "x"}) + "\n" for text in own)
            (path / "data" / f"train-{k:05d}.jsonl").write_text(lines)
        else:
            table = pa.table({"id": list(range(len(own))), "text": own})
            parquet.write_table(table, path / "data" / f"train-{k:05d}.parquet")
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "SHARD", 2**13)
    monkeypatch.setattr(streamed, "HELD_OUT", 4_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_folder(tmp_path_factory.mktemp("hub") / "copy", texts(3000))


def made(folder: Path, cache: Path, tokens: int = 50_000, **options: object) -> Corpus:
    options = {"cache_dir": cache, "progress": False, "tokens": tokens, **options}
    return prepare(f"stream:{folder}", VOCAB, **options)  # pyright: ignore[reportArgumentType]


def ends(corpus: Corpus, split: str) -> list[list[int]]:
    ids = corpus.tokens(split)[:]  # pyright: ignore[reportArgumentType]
    return [part.tolist() for part in np.split(ids, np.flatnonzero(ids == 0) + 1) if len(part)]


def test_it_is_read_as_far_as_needed_and_goes_on_from_there(folder: Path, tmp_path: Path) -> None:
    short = made(folder, tmp_path, 20_000)
    assert short.counts["train"] == 3 * 2**13 >= 20_000  # whole shards
    assert min(short.counts["validation"], short.counts["test"]) >= 1_000
    longer = made(folder, tmp_path, 60_000)
    assert longer.counts["train"] == 8 * 2**13
    assert (longer.tokens("train")[: 3 * 2**13] == short.tokens("train")[:]).all()
    again = made(folder, tmp_path, 20_000)
    assert (again.corpus_hash, again.counts) == (short.corpus_hash, short.counts)  # older trials still count
    assert made(folder, tmp_path / "anew", 60_000).corpus_hash == longer.corpus_hash
    own = Tokenizer.from_file(longer.tokenizer)
    held = {tuple(part) for split in ("validation", "test") for part in ends(longer, split)}
    assert held and not held & {tuple(part) for part in ends(longer, "train")}
    assert own.decode(ends(longer, "test")[0][:-1]) in set(texts(3000))


def test_text_that_ends_is_all_there(folder: Path, tmp_path: Path) -> None:
    corpus = made(folder, tmp_path, 900_000)
    assert sum(corpus.documents.values()) == 3000
    found = sum(len(ends(corpus, split)) for split in ("train", "validation", "test"))
    assert found == 3000
    assert corpus.bytes["train"] == sum(corpus.token_bytes[corpus.tokens("train")[:]])


CHILD = """
import sys, time
from pathlib import Path
from benchmark.data import streamed
from benchmark.data.corpora import prepare
streamed.SHARD, streamed.HELD_OUT = 2**13, 4_000
commit = streamed._Build._commit
def slow(self, *args):
    commit(self, *args)
    print(len(self.state.shards), flush=True)
    time.sleep(float(sys.argv[3]))
streamed._Build._commit = slow
made = prepare(f"stream:{sys.argv[1]}", 320, cache_dir=Path(sys.argv[2]), progress=False, tokens=50_000)
print(made.corpus_hash)
"""


def child(folder: Path, cache: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), str(cache), str(pause)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ})


def test_killed_it_goes_on_from_its_last_shard(folder: Path, tmp_path: Path) -> None:
    first = child(folder, tmp_path, 30.0)
    assert first.stdout and first.stdout.readline() == "1\n"
    second = child(folder, tmp_path, 0.0)  # waits for the first, on the same machine
    assert second.stderr and "Waiting for the process" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, _ = second.communicate(timeout=60)
    assert out.split()[0] == "2"  # the shard that was there is not made again
    assert out.split()[-1] == made(folder, tmp_path / "anew").corpus_hash


def test_what_cannot_suffice_is_refused_before_it_starts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoded(*_: object) -> None:
        pytest.fail("a document was encoded for a shard")

    monkeypatch.setattr(streamed._Build, "_assign", encoded)
    with pytest.raises(ValueError, match=r"it has at most [\d,]+ tokens and the task needs 1,000,000,000,"):
        made(folder, tmp_path, 10**9)
    plain = hub_folder(tmp_path / "lines", texts(300), parts=1)
    (plain / "data" / "train-00000.parquet").unlink()
    (plain / "data" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(300)))
    with pytest.raises(ValueError, match=r"it has about [\d,]+ tokens and the task needs 400,000,"):
        made(plain, tmp_path, 400_000)
    monkeypatch.setattr(streamed.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError, match=r"0\.0 GB free; free space there, or set OPTIMIZER_BENCHMARK_CACHE"):
        made(folder, tmp_path)


def test_the_same_rows_come_through_the_package_of_the_hub(folder: Path, tmp_path: Path) -> None:
    """`datasets` reads a folder in a hub's layout as it reads the hub."""
    pytest.importorskip("datasets")
    from benchmark.data.sources import hub

    lines = hub_folder(tmp_path / "lines", texts(300), parts=1)
    rows = hub.Rows(str(lines), None, "train", None, None)
    found = rows.texts()
    some = [next(found) for _ in range(120)]
    rest = list(hub.Rows(str(lines), None, "train", None, json.loads(json.dumps(rows.state()))).texts())
    assert some + rest == texts(300)


def tokenizer_file(path: Path, **changes: object) -> str:
    made = bpe.train(texts(50), VOCAB)
    content = json.loads(made.to_str())
    content.update(changes)
    path.write_text(json.dumps(content))
    return str(path)


def test_a_tokenizer_of_ones_own_is_part_of_the_identity(folder: Path, tmp_path: Path) -> None:
    own = tokenizer_file(
        tmp_path / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
    )
    corpus = made(folder, tmp_path, tokenizer_file=own)
    plain = made(folder, tmp_path)
    assert corpus.tokenizer_hash != plain.tokenizer_hash and corpus.corpus_hash != plain.corpus_hash
    assert max(map(len, ends(corpus, "train"))) > 20  # not cut short
    assert corpus.token_bytes[corpus.tokens("test")[:]].sum() == corpus.bytes["test"]
    same = made(folder, tmp_path, tokenizer_file=tokenizer_file(tmp_path / "indented.json"))
    assert same.tokenizer_hash == corpus.tokenizer_hash  # how the file is written does not count


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no tokenizer.json of the library tokenizers"),
        ("[1]", "no tokenizer.json of the library tokenizers"),
        (b"\xff\xfe", "not UTF-8; it must be a tokenizer.json"),
        (Tokenizer(models.BPE({"a": 0}, [])).to_str(), "it has no token that ends a text"),
        (
            Tokenizer(models.BPE({"a": 0, "</s>": 999}, [])).to_str(),
            "id 999, but the scale's vocabulary is 320",
        ),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_one_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        tokenizer.read(path, VOCAB)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_evaluation_apart_and_by_domain(folder: Path, tmp_path: Path) -> None:
    corpus = made(folder, tmp_path / "cache")
    parts = tmp_path / "domains"
    for name, letters in (("code", "xyz"), ("web", "abc")):
        (parts / name).mkdir(parents=True)
        rows = [json.dumps({"text": text}) + "\n" for text in texts(200, 1, letters)]
        (parts / name / "a.jsonl").write_text("".join(rows))
    cache = tmp_path / "cache"

    def evaluation_of(where: str) -> Corpus:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("OPTIMIZER_BENCHMARK_CACHE", str(cache))
            return evaluation.prepare(where, corpus)

    several, one = evaluation_of(f"local:{parts}"), evaluation_of(f"local:{parts / 'web'}")
    assert several.corpus_hash != one.corpus_hash and several.tokenizer_hash == corpus.tokenizer_hash
    assert sum(one.documents.values()) == 200 and one.documents["train"] == 0  # all of it is held out
    both = corpus.evaluated_on(several)
    assert (both.tokens("train")[:100] == corpus.tokens("train")[:100]).all()
    found = both.tokens("test")
    assert isinstance(found, Domains)
    sequences = evaluated.sequences(found, 16, 9)
    assert sequences.shape == (9, 17)
    alone = corpus.evaluated_on(one).tokens("test")
    assert (sequences[5:] == evaluated.sequences(alone, 16, 4)).all()
    losses = evaluated.by_domain(found, np.array([1.0] * 5 + [3.0] * 4))
    assert losses == {"code": 1.0, "web": 3.0}
    with pytest.raises(ValueError, match=r"corpus local:domains is too small: its validation split"):
        check_size(both, 1000, 10**6)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OPTIMIZER_BENCHMARK_CACHE", str(cache))
        again = corpora.kept("local:x", VOCAB, several.corpus_hash, several.tokenizer_hash)
    assert again and list(again.domains) == ["code", "web"]


def test_text_without_its_tokenizer_is_not_evaluated_on(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    np.arange(1, 300).repeat(100).astype("<u2").tofile(path)
    corpus = prepare(f"tokens:{path}", VOCAB, cache_dir=tmp_path / "cache", progress=False)
    with pytest.raises(
        ValueError, match=r"the tokenizer of tokens:a\.bin is not known; name its tokenizer\.json"
    ):
        evaluation.prepare(f"local:{tmp_path}", corpus)
