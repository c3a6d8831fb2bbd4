"""A worker knows whether it sees the driver's disk, and writes nowhere else."""

import dataclasses
import threading

import pytest

import sweeps
from benchmark.spec import Outcome
from benchmark.train import runner
from sweeps.run import worker
from sweeps.run.driver import Driver
from sweeps.run.worker import Job
from sweeps.search.contestants import contestants, optimizer_class


@pytest.fixture
def job(tmp_path, monkeypatch) -> Job:
    made = contestants(("adamw", "lion"))
    smoke = dataclasses.replace(sweeps.get("smoke"), contestants=made, corpus_hash="c", tokenizer_hash="t")
    driver = Driver(smoke, tmp_path / "results")
    handed = driver.next_job()
    driver.close()
    assert handed is not None

    @dataclasses.dataclass
    class Corpus:
        corpus_hash, tokenizer_hash = "c", "t"

    def run(trials, optimizer, corpus, purposes, checkpoints, session, watch, devices, nodes):
        assert devices == nodes == 1
        cls = optimizer_class(trials[0].optimizer, "")
        assert checkpoints.name == "checkpoints"
        assert watch.folder == (checkpoints.parent if tmp_path in checkpoints.parents else None)
        (tmp_path / "asked").write_text(str(checkpoints))
        return [runner.record(trial, cls, Outcome("finished", val_loss=3.0)) for trial in trials]

    monkeypatch.setattr(worker, "_corpus", lambda *_: Corpus())
    monkeypatch.setattr(worker.runner, "run", run)
    return handed


def test_on_the_driver_s_disk_records_are_written_before_they_are_returned(job, tmp_path):
    assert worker.sees(job)
    (record,) = worker.work(job)
    written = tmp_path / "results" / "smoke" / "trials" / f"{record.trial.trial_id}.json"
    assert written.read_text() == record.to_json() + "\n"
    assert (tmp_path / "asked").read_text().startswith(job.folder)


@pytest.mark.parametrize("why", ["no such folder", "the folder of another sweep", "no mark"])
def test_elsewhere_nothing_is_written_but_records_return(job, tmp_path, why):
    elsewhere = tmp_path / "elsewhere" / "smoke"
    changes = {
        "no such folder": {"folder": str(elsewhere)},
        "the folder of another sweep": {"mark": "another driver's"},
        "no mark": {"folder": str(elsewhere), "mark": ""},
    }
    job = dataclasses.replace(job, **changes[why])
    if why == "no mark":
        elsewhere.mkdir(parents=True)
        worker.mark_file(elsewhere).write_text("")
    assert not worker.sees(job)
    assert len(worker.work(job)) == 1
    assert not list(tmp_path.rglob("*.json"))
    assert not (tmp_path / "asked").read_text().startswith(str(tmp_path))  # a long run's state stays there


def test_a_limit_grows_with_the_work(job):
    micro, paper = job.trials[0], dataclasses.replace(job.trials[0], scale="130m", tokens=2_600_000_000)
    assert worker.limit_seconds(dataclasses.replace(job, timeout_seconds=20.0)) == 20
    assert worker.limit_seconds(dataclasses.replace(job, trials=(micro,) * 4, timeout_seconds=20.0)) == 80
    hours = worker.limit_seconds(dataclasses.replace(job, trials=(paper,), timeout_seconds=20.0)) / 3600
    assert hours > 10 * 5.4e18 / 4e14 / 3600  # ten times what 0.4 of an H100's peak takes


def test_a_hang_ends_the_process_with_a_line_where_no_record_can_be_written(job, monkeypatch, capfd):
    ended = threading.Event()
    statuses = []

    def leave(status: int) -> None:
        statuses.append(status)
        ended.set()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(worker.os, "_exit", leave)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(worker.store, "save", full)
    monkeypatch.setattr(
        worker.runner, "run", lambda *_, **__: [] if ended.wait(10) else pytest.fail("not ended")
    )
    worker.work(dataclasses.replace(job, timeout_seconds=0.05))
    assert statuses == [3]
    assert "timeout: not finished after 0.05 seconds" in capfd.readouterr().err
