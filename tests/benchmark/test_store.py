"""Records on disk: written whole or not at all, never replaced once finished, loaded past damage."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import store
from benchmark.spec import Cost, Point, Record, Trial


def record(seed: int = 0, status: str = "finished", **changes) -> Record:
    trial = Trial(
        optimizer="adamw",
        rule="adamw@1",
        scale="27k",
        chinchilla_ratio=1.0,
        tokens=532_480,
        steps=520,
        seq_len=128,
        vocab=512,
        hyperparameters={"peak_lr": 0.032, "batch_size": 8},
        seed=seed,
        use="report",
        corpus="gcide",
        corpus_hash="c",
        tokenizer_hash="t",
    )
    loss = 3.5 if status == "finished" else None
    made = Record(
        trial=trial,
        status=status,
        val_loss=loss,
        curve=(Point(260, 266_240, 1.0, 4.0),),
        cost=Cost(state_bytes=8),
    )  # pyright: ignore
    return dataclasses.replace(made, **changes)


def test_save_and_load(tmp_path):
    for seed in range(3):
        store.save(record(seed), tmp_path / "quick")
    results = store.load(tmp_path)
    assert len(results.runs) == 3 and not results.damaged
    row = results.runs.iloc[0]
    assert (row["sweep"], row["task"], row["num_params"], row["hp.peak_lr"]) == (
        "quick",
        "27k-1x",
        26_624,
        0.032,
    )
    assert row["state_bytes"] == 8
    assert results.curves["fraction"].tolist() == [0.5] * 3


def test_finished_record_is_never_replaced(tmp_path):
    path = store.save(record(), tmp_path / "quick")
    store.save(record(val_loss=1.0), tmp_path / "quick")
    assert store.read(path).val_loss == 3.5


def test_failed_or_damaged_record_is_healed(tmp_path):
    path = store.save(record(status="failed", reason="killed"), tmp_path / "quick")
    store.save(record(), tmp_path / "quick")
    assert store.read(path).status == "finished"
    path.write_text("{half")
    store.save(record(), tmp_path / "quick")
    assert store.read(path).status == "finished"


def test_damage_is_reported_and_hides_nothing_else(tmp_path):
    for seed in range(4):
        store.save(record(seed), tmp_path / "quick")
    paths = sorted((tmp_path / "quick" / "trials").glob("*.json"))
    paths[0].write_text("")
    paths[1].write_text(paths[1].read_text()[:50])
    paths[2].write_bytes(b"\xff\xfe")
    (tmp_path / "quick" / "sweep.json").write_text('{"schema": 99}')
    results = store.load(tmp_path)
    assert len(results.runs) == 1
    assert len(results.damaged) == 4
    assert all(str(tmp_path) in line for line in results.damaged)


def test_finished_wins_over_failed_elsewhere(tmp_path):
    store.save(record(status="failed"), tmp_path / "a")
    store.save(record(), tmp_path / "b")
    assert [r.status for _, r in store.records(tmp_path)] == ["finished"]


def test_compact_keeps_every_record_and_can_be_repeated(tmp_path):
    folder = tmp_path / "reference"
    for seed in range(3):
        store.save(record(seed), folder)
    before = {r.trial.trial_id: r for _, r in store.records(tmp_path)}
    store.compact(folder)
    store.save(record(3), folder)
    target = store.compact(folder)
    after = {r.trial.trial_id: r for _, r in store.records(tmp_path)}
    assert not list((folder / "trials").glob("*.json"))
    assert len(after) == 4 and {k: after[k] for k in before} == before
    assert len(target.read_text().splitlines()) == 4


def test_archives_count_only_when_asked_for(tmp_path):
    store.save(record(), tmp_path / "reference")
    store.compact(tmp_path / "reference")
    assert not list(store.records(tmp_path, archives=False))
    assert len(list(store.records(tmp_path / "reference"))) == 1


def test_one_sweeps_own_folder_is_read_whole(monkeypatch):
    """Its manifest too: without it the pages show neither cells nor badges."""
    reference = Path(__file__).parents[2] / "results" / "micro-27k-1x"
    whole, own = store.load(reference.parent), store.load(str(reference))
    assert list(own.sweeps) == ["micro-27k-1x"] and own.sweeps["micro-27k-1x"]["cells"]
    assert own.sweeps["micro-27k-1x"] == whole.sweeps["micro-27k-1x"]
    assert set(own.runs["sweep"]) == {"micro-27k-1x"}
    monkeypatch.chdir(reference)
    assert list(store.load(".").sweeps) == ["micro-27k-1x"]


def test_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="run a sweep first"):
        store.load(tmp_path / "nowhere")


def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(record(), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_reading_needs_no_framework():
    code = "import sys, benchmark.store; print({'jax', 'torch', 'ray', 'optax'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
