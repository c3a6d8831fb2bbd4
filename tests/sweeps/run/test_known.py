"""Which records count as run: those of the same text wherever it lies, of whatever code; and what is said."""

import dataclasses
from pathlib import Path

import pytest

import sweeps
from benchmark import store
from benchmark.data.corpora import Corpus, kept
from benchmark.spec import Outcome, Record
from benchmark.train import environment, runner
from optimizers.user import identity
from sweeps.run import known, worker
from sweeps.run.driver import Driver
from sweeps.search.contestants import contestants, optimizer_class
from sweeps.search.sweep import Sweep

MINE = {
    "corpus": "local:text",
    "corpus_at": "local:text=/home/me/text",
    "corpus_hash": "c",
    "tokenizer_hash": "t",
}


@pytest.fixture(scope="module")
def smoke() -> Sweep:
    return dataclasses.replace(sweeps.get("smoke"), contestants=contestants(("adamw", "lion")), **MINE)


def first_record(sweep: Sweep, results: Path) -> Record:
    """The record of the first trial that a sweep asks for, which is not written anywhere."""
    driver = Driver(sweep, results)
    job = driver.next_job()
    driver.close()
    assert job is not None and job.corpus == sweep.corpus_at
    return runner.record(
        job.trials[0], optimizer_class(job.trials[0].optimizer, ""), Outcome("finished", val_loss=3.0)
    )


def test_a_path_is_in_no_trial_or_manifest_and_makes_none_another(smoke: Sweep, tmp_path: Path) -> None:
    record = first_record(smoke, tmp_path)
    moved = dataclasses.replace(smoke, corpus="local:new", corpus_at="local:new=/home/you/new")
    assert first_record(moved, tmp_path).trial == record.trial
    assert record.trial.corpus == "local" and "/home" not in record.to_json()
    other = dataclasses.replace(smoke, corpus_hash="d")
    assert first_record(other, tmp_path).trial.trial_id != record.trial.trial_id
    driver = Driver(smoke, tmp_path)
    driver.write_manifest()
    driver.close()
    manifest = store.load(tmp_path).sweeps["smoke"]
    assert manifest["corpus"] == "local:text" and "/home" not in (tmp_path / "smoke" / "sweep.json").read_text()


@pytest.mark.parametrize("where", ["own", "reuse"])
def test_a_record_that_names_a_path_counts_and_is_read_without_it(
    smoke: Sweep, tmp_path: Path, where: str
) -> None:
    record = first_record(smoke, tmp_path / "own")
    old = dataclasses.replace(record, trial=dataclasses.replace(record.trial, corpus="local:/home/me/text"))
    store.save(old, tmp_path / where / "smoke")
    assert old.trial.trial_id != record.trial.trial_id
    reuse = [tmp_path / "reuse"] if where == "reuse" else []
    driver = Driver(smoke, tmp_path / "own", reuse=reuse)
    assert driver.known[record.trial.trial_id].val_loss == 3.0
    job = driver.next_job()
    assert job is not None and record.trial not in job.trials
    driver.write_manifest()
    driver.close()
    loaded = store.load(tmp_path / "own")
    assert record.trial.trial_id in loaded.sweeps["smoke"]["trial_ids"]
    assert loaded.by_id[record.trial.trial_id].trial == record.trial
    assert set(loaded.runs["corpus"]) <= {"local", "local:text"}
    failed = dataclasses.replace(old, status="failed")
    assert not known.by_id([failed], retry_failed=True) and len(known.by_id([failed], retry_failed=False)) == 2


def test_results_of_other_code_of_the_same_version_are_named(smoke: Sweep, tmp_path: Path) -> None:
    record = first_record(smoke, tmp_path)
    assert record.facts["source"] == identity.registered(f"optimizers.{record.trial.optimizer}")

    def told(facts: dict[str, str], **changes: str) -> str:
        trial = dataclasses.replace(record.trial, **changes)
        found = dataclasses.replace(record, facts=facts, trial=trial)
        return known.made_otherwise(smoke, known.by_id([found], retry_failed=False))

    assert not told(dict(record.facts)) and not told({})  # made before it was noted
    line = told({"source": "0" * 12})
    assert f"1 of {record.trial.rule}" in line and "raise `version`" in line and "\n" not in line
    assert not told({"source": "0" * 12}, corpus_hash="d") and not told({"source": "0" * 12}, rule="adamw@0")


def test_a_worker_takes_the_tokens_by_their_hashes(
    smoke: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a text may be moved while a sweep runs, and a node that has them needs no text."""
    monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.jsonl"
    text.write_text("".join(f'"document {i} of {i * i} words that are {i % 7} others"\n' for i in range(300)))
    prepared = worker.prepare(f"local:{text}", 300, progress=False)
    text.unlink()
    found = worker._corpus(f"local:{text}", 300, prepared.corpus_hash, prepared.tokenizer_hash)
    assert isinstance(found, Corpus) and found.folder == prepared.folder and found.name == "local:text.jsonl"
    assert kept("gcide", 300, "other", "hashes") is None
    with pytest.raises(ValueError, match="no such file or folder"):
        worker._corpus(f"local:{text}", 300, "other", "hashes")


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            "No such file or directory: '/home/jane doe/my cache/train.bin'",
            "No such file or directory: 'train.bin'",
        ),
        ("cannot read /home/jane/x/train.bin (gone)", "cannot read train.bin (gone)"),
        ("/a/b/mine.py:12: KeyError", "mine.py:12: KeyError"),
        ("see https://example.org/a/b and 3/4/5 or a/b.py, 1 / 2", None),
    ],
)
def test_a_reason_holds_no_folders(message: str, kept: str | None) -> None:
    assert environment.without_folders(message) == (kept or message)
