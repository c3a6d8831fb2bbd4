"""tokens:PATH: which files are taken and how, what is refused, and what a large split is read as."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import batches, shards, stream, token_files
from benchmark.data.corpora import prepare
from benchmark.data.corpus import Corpus
from benchmark.data.shards import Shard, Tokens
from benchmark.data.stream import Ahead, Stream

IDS = np.random.default_rng(0).integers(1, 400, 20_000).astype(np.uint32)


def header(magic: int, version: int, count: int) -> bytes:
    return np.array([magic, version, count, *[0] * 253], "<i4").tobytes()


def raw(kind: str, ids: np.ndarray = IDS) -> bytes:
    return ids.astype(shards.TYPES[kind]).tobytes()


def corpus_of(path: Path, vocab: int = 512, **options: object) -> Corpus:
    cache = path.parent / "cache"
    return prepare(f"tokens:{path}", vocab, cache_dir=cache, progress=False, **options)  # pyright: ignore[reportArgumentType]


def everything(corpus: Corpus) -> np.ndarray:
    parts = [corpus.tokens(split)[:] for split in ("train", "validation", "test")]
    return np.concatenate(parts)


FORMS: dict[str, Callable[[Path], object]] = {
    "two bytes": lambda p: (p / "a.bin").write_bytes(raw("uint16")),
    "four bytes": lambda p: (p / "a.bin").write_bytes(raw("uint32")),
    "said by the suffix": lambda p: (p / "a.u32").write_bytes(raw("uint32")),
    "llm.c's header, GPT-2": lambda p: (p / "a.bin").write_bytes(header(20240520, 1, len(IDS)) + raw("uint16")),
    "llm.c's header, Llama 3": lambda p: (p / "a.bin").write_bytes(
        header(20240801, 7, len(IDS)) + raw("uint32")
    ),
    "shards": lambda p: (
        [
            (p / f"train_{k:06d}.bin").write_bytes(raw(kind, IDS[k * 5000 : (k + 1) * 5000]))
            for k, kind in enumerate(["uint16", "uint32", "uint16", "uint32"])
        ]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_tokens_is_the_same_corpus(form: str, tmp_path: Path) -> None:
    folder, plain = tmp_path / "tokens", tmp_path / "plain.bin"
    folder.mkdir()
    FORMS[form](folder)
    plain.write_bytes(raw("uint16"))
    corpus = corpus_of(folder)
    assert (everything(corpus) == IDS).all()
    assert corpus.counts == {"train": 16_000, "validation": 2_000, "test": 2_000}
    assert corpus.corpus_hash == corpus_of(plain).corpus_hash
    plain.write_bytes(raw("uint16", IDS[::-1]))
    assert corpus.corpus_hash != corpus_of(plain).corpus_hash  # and the cache has seen that it changed


def test_files_that_are_named_for_it_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "fineweb_train_000001.bin").write_bytes(raw("uint16", IDS[:15_000]))
    (tmp_path / "fineweb_val_000000.bin").write_bytes(raw("uint16", IDS[15_000:]))
    corpus = corpus_of(tmp_path)
    assert corpus.counts == {"train": 15_000, "validation": 2_500, "test": 2_500}
    assert (everything(corpus) == IDS).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", b"", "a.bin is empty"),
        ("a.bin", raw("uint16")[:-1], "odd number of bytes, 39,999: truncated"),
        ("a.u32", raw("uint32")[:-2], "79,998 bytes, which are no whole number of uint32 ids: truncated"),
        (
            "a.bin",
            header(20240520, 1, 20_000) + raw("uint16")[:-200],
            "is truncated: it has 19,900 tokens, and its header says 20,000",
        ),
        ("a.bin", header(20240520, 1, 10) + raw("uint16"), "is not as its header says: it has 20,000 tokens"),
        ("a.bin", header(20240520, 2, 20_000) + raw("uint16"), "header of version 2; only version 1 is known"),
        ("a.bin", header(20240520, 1, 20_000)[:600], "is truncated: it has 0 tokens"),
        ("a.bin", raw("uint16", IDS + 200), "token id 599, but the scale's vocabulary is 512; choose tasks at"),
        ("a.bin", raw("uint32", IDS + 10**6), "token id 1,000,399, but .* choose another tokenizer"),
        ("a.bin", raw("uint16", IDS[:5]), "its 5 tokens leave none for validation"),
        ("a.jsonl", b"{}", r"a.jsonl is text by its name; for text write local:PATH"),
    ],
)
def test_what_is_refused_and_why(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        corpus_of(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_token_files_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match=r"no file there ends in one of \.bin"):
        corpus_of(tmp_path)


def split(count: int, tmp_path: Path) -> Tokens:
    """Tokens whose ids are their own places."""
    path = tmp_path / "ids.bin"
    np.arange(count, dtype="<u4").tofile(path)
    halves = Shard(path, "uint32", 0, count // 3), Shard(path, "uint32", 4 * (count // 3), count - count // 3)
    return Tokens(halves)


@pytest.mark.parametrize("count", [130, 1_000, 300_001])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_streams_epoch_has_every_sequence_once(
    count: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK", 2**10)
    monkeypatch.setattr(stream, "POOL", 4)
    made = Stream(split(count, tmp_path), 16, count, seed=3)
    whole = made.read(0, epochs * made.count)
    assert (np.diff(whole.astype(int), axis=1) == 1).all()  # each is a sequence with the token after it
    for epoch in np.split(whole[:, 0], epochs):
        assert (np.sort(epoch) == 16 * np.arange(batches.sequence_count(count, 16))).all()
    if count > 1000:
        assert abs(np.corrcoef(whole[:, 0], np.arange(len(whole)))[0, 1]) < 0.2
        other = Stream(split(count, tmp_path), 16, count, seed=4)
        assert (other.read(0, made.count) != whole[: made.count]).any()


def test_all_batch_sizes_and_chunks_see_the_same_stream(tmp_path: Path) -> None:
    tokens = split(300_001, tmp_path)
    whole = Stream(tokens, 16, 300_001, 0).read(0, 960)
    for size, steps in ((4, 128), (32, 7), (32, 30)):
        ahead = Ahead([Stream(tokens, 16, 300_001, 0)], size, steps, 960 // size, np.asarray)
        found = [chunk[place] for chunk, place in map(ahead.get, range(960 // size))]
        assert (np.concatenate(found) == whole).all()
        assert ahead.limit(steps - 1) == steps and ahead.limit(steps) == 2 * steps
        chunk, place = ahead.get(20)  # as a run that goes on from a checkpoint
        assert (chunk[place] == whole[20 * size : 21 * size]).all()
    pack = Ahead([Stream(tokens, 16, 300_001, seed) for seed in (0, 1)], 4, 8, 8, np.asarray)
    assert (pack.get(3)[0][0].reshape(-1, 17) == whole[:32]).all() and pack.get(3)[0].shape == (2, 8, 4, 17)


def test_an_id_beyond_the_vocabulary_is_found_where_it_is_read(tmp_path: Path) -> None:
    made = Stream(split(3000, tmp_path), 16, 2000, 0)
    with pytest.raises(
        ValueError, match=r"the corpus has the token id \d+, but the model's vocabulary is 2000"
    ):
        made.read(0, made.count)


def sparse(path: Path, tokens: int) -> Path:
    with path.open("wb") as file:
        file.truncate(2 * tokens)
    return path


def test_the_loader_reads_50_million_tokens_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the processor's time: other tests may run beside it."""
    corpus = corpus_of(sparse(tmp_path / "a.bin", 3_000_000_000))
    assert corpus.counts["train"] == 2_980_000_000
    made, count, best, clock = Stream(corpus.tokens("train"), 128, 512, 0), 2**16, 0.0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(12):
        began, on_the_wall = time.thread_time(), time.perf_counter()
        made.read((k * 991 + 7) * count, count)
        best = max(best, count * 128 / (time.thread_time() - began))
        clock += time.perf_counter() - on_the_wall
    clock /= 12 * count * 128 / 1e6  # seconds a million tokens
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    with capsys.disabled():
        print(
            f"\nloader: at best {best / 1e6:.0f} million tokens a second of processor time,"
            f" {1 / clock:.0f} by the clock, {grown:.0f} MB of memory"
        )
    assert best > 50e6
    assert grown < 150


TRAIN = """
import re, sys
from pathlib import Path
import optimizers
from benchmark.data.corpora import prepare
from benchmark.kit.cases import one_batch_trial
from benchmark.train import runner

def peak_mib():  # of this program: rusage's peak begins at that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) // 1024

path, backend, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
corpus = prepare(f"tokens:{path}", 512, progress=False)
trial = one_batch_trial(optimizers.get("adamw")(), backend, 0, steps)
trainer = runner.trainer_of(backend)
trainer.train([trial], [runner.setting(optimizers.get("adamw"), trial)], corpus, max_steps=steps // 2)
half = peak_mib()
(outcome,) = trainer.train([trial], [runner.setting(optimizers.get("adamw"), trial)], corpus)
print(outcome.status, outcome.train_loss, outcome.data_epochs, half, peak_mib())
"""


@pytest.mark.parametrize(("backend", "steps"), [("jax", "140"), ("torch", "20")])
def test_three_billion_tokens_train_and_memory_stays(backend: str, steps: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / "a.bin", 3_000_000_000)
    with path.open("r+b") as file:  # something to learn where the first shards would begin
        file.write(raw("uint16"))
    command = [sys.executable, "-c", TRAIN, str(path), backend, steps]
    environment = {"OPTIMIZER_BENCHMARK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": ":".join(sys.path)}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert out.returncode == 0, out.stderr[-2000:]
    status, loss, epochs, half, peak = out.stdout.split()
    assert status == "finished" and float(loss) < 6 and 0 < float(epochs) < 1e-4
    assert int(peak) - int(half) < 100 and int(peak) < 1500  # MB


def test_a_sample_is_hashed_where_all_would_take_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RESIDENT", 5_000)
    monkeypatch.setattr(token_files, "SAMPLE", 100)
    monkeypatch.setattr(token_files, "SAMPLES", 10)
    path = tmp_path / "a.bin"
    hashes = []
    for changed in (None, 0, 15_999, 19_000, 300):
        ids = IDS.copy()
        if changed is not None:
            ids[changed] = 0
        path.write_bytes(raw("uint16", ids))
        hashes.append(corpus_of(path).corpus_hash)
    whole, first, last, test, between = hashes
    assert len({whole, first, last, test}) == 4  # the first, the last, and all that is held out are in it
    assert between == whole
