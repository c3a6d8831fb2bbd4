"""The driver without processes: what it hands out, takes in, retries, reuses and refuses."""

import dataclasses

import pytest

import sweeps
from benchmark import store
from benchmark.spec import Outcome
from benchmark.train import checkpoint, runner
from benchmark.train.checkpoint import Progress
from sweeps.run import driver as driver_module
from sweeps.run.driver import Driver
from sweeps.run.worker import checkpoints
from sweeps.search import seeds
from sweeps.search.contestants import contestants, optimizer_class


@pytest.fixture
def smoke():
    made = contestants(("adamw", "lion"))
    return dataclasses.replace(sweeps.get("smoke"), contestants=made, corpus_hash="c", tokenizer_hash="t")


def outcome(trial) -> Outcome:
    """A bowl in log2 of the learning rate around a place of its own for each optimizer."""
    best = {"adamw": 0.03, "lion": 0.004}[trial.optimizer]
    distance = abs(trial.hyperparameters["peak_lr"] / best - 1)
    return Outcome("finished", val_loss=3 + distance - 0.1 * trial.chinchilla_ratio + 0.001 * (trial.seed % 7))


def records(job):
    cls = optimizer_class(job.trials[0].optimizer, job.source)
    return [runner.record(t, cls, outcome(t), purpose=job.purposes[t.trial_id]) for t in job.trials]


def run(driver: Driver, limit: int = 1000) -> int:
    count = 0
    while not driver.done and count < limit:
        job = driver.next_job()
        assert job is not None
        driver.receive(records(job))
        count += len(job.trials)
    return count


def test_a_sweep_runs_to_its_end_and_leaves_a_manifest(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    expected = driver.current.remaining
    assert run(driver) >= expected > 0
    results = store.load(tmp_path)
    manifest = results.sweeps["smoke"]
    assert set(manifest["trial_ids"]) == set(results.runs["trial_id"])
    assert all(cell["complete"] for cell in manifest["cells"].values())
    driver.close()


def test_no_trial_is_handed_out_twice_and_all_slots_can_be_busy(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    first = [driver.next_job() for _ in range(2)]
    ids = [t.trial_id for job in first if job for t in job.trials]
    assert len(set(ids)) == len(ids) == 2
    driver.close()


def test_a_new_driver_goes_on_where_the_old_one_was_killed(smoke, tmp_path):
    whole = Driver(smoke, tmp_path / "at once")
    total = run(whole)
    whole.close()
    driver = Driver(smoke, tmp_path)
    done = run(driver, limit=7)
    driver.next_job()  # in flight when the driver dies
    driver.close()
    again = Driver(smoke, tmp_path)
    assert run(again) == total - done
    again.close()


def test_reused_records_are_not_run_and_are_said(smoke, tmp_path):
    smoke = seeds.settled(smoke, tmp_path)  # or fewer contestants would be a study with seeds of its own
    first = Driver(dataclasses.replace(smoke, contestants=smoke.contestants[:1]), tmp_path / "old")
    baseline = run(first)
    first.close()
    store.compact(tmp_path / "old" / "smoke")
    archive = tmp_path / "old" / "smoke"
    driver = Driver(smoke, tmp_path / "new", reuse=[archive])
    total = len(archive.joinpath("trials.jsonl").read_text().splitlines())
    assert total == baseline
    run(driver)
    manifest = store.load(tmp_path / "new").sweeps["smoke"]
    assert len(manifest["reused"]) == baseline
    assert {store.load(tmp_path / "new").by_id[i].trial.optimizer for i in manifest["reused"]} == {"adamw"}
    driver.close()


def test_a_dead_worker_is_tried_again_and_then_fails(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    job = driver.next_job()
    assert job is not None
    driver.worker_died(job, "killed")
    again = driver.next_job()
    assert again is not None and again.trials == job.trials
    driver.worker_died(again, "killed")
    record = driver.known[job.trials[0].trial_id]
    assert record.status == "failed" and record.reason == "killed (2 attempts)"
    driver.close()
    retry = Driver(smoke, tmp_path, retry_failed=True)
    assert job.trials[0].trial_id not in retry.known
    retry.close()


def test_what_a_dead_worker_wrote_counts(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    job = driver.next_job()
    assert job is not None
    for record in records(job):
        store.save(record, driver.folder)
    driver.worker_died(job, "killed")
    assert driver.known[job.trials[0].trial_id].status == "finished"
    driver.close()


def test_packs_share_what_is_compiled(smoke, tmp_path):
    driver = Driver(smoke, tmp_path, pack=8)
    while not driver.done:
        job = driver.next_job()
        assert job is not None and len(job.trials) <= 8
        assert len({(t.optimizer, t.task, t.use, t.batch_size) for t in job.trials}) == 1
        driver.receive(records(job))
    assert max(driver.attempts.values()) == 1
    driver.close()


def test_no_two_workers_compile_one_program_at_once_unless_they_would_idle(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    jobs = [driver.next_job() for _ in range(3)]
    assert all(job is not None for job in jobs)
    assert [job.trials[0].optimizer for job in jobs[:2]] == ["adamw", "lion"]
    assert jobs[2].trials[0].optimizer == "adamw"  # both are being compiled: the more urgent goes first
    driver.receive(records(jobs[0]))
    following = driver.next_job()
    assert following is not None and following.trials[0].optimizer == "adamw"  # it is in the cache now
    driver.close()


def test_two_sweeps_in_one_folder_are_refused(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    with pytest.raises(ValueError, match="another sweep is writing"):
        Driver(smoke, tmp_path)
    driver.close()
    Driver(smoke, tmp_path).close()


def test_leftovers_of_a_killed_writer_are_removed(smoke, tmp_path):
    folder = tmp_path / "smoke" / "trials"
    folder.mkdir(parents=True)
    (folder / ".abc.json.xyz.tmp").write_text("{half")
    driver = Driver(smoke, tmp_path)
    assert not list(folder.iterdir())
    driver.close()


def test_manifest_interval(monkeypatch, smoke, tmp_path):
    monkeypatch.setattr(driver_module, "MANIFEST_EVERY", 3)
    driver = Driver(smoke, tmp_path)
    run(driver, limit=3)
    assert len(store.load(tmp_path).sweeps["smoke"]["trial_ids"]) == 3  # a running sweep has a page too
    driver.close()


@pytest.mark.parametrize("there", ["a failure of before", "a damaged file"])
def test_what_was_there_before_is_no_outcome_of_a_dead_worker(smoke, tmp_path, there):
    driver = Driver(smoke, tmp_path)
    trial = driver.current.ready[0]
    path = driver.folder / "trials" / f"{trial.trial_id}.json"
    before = runner.record(trial, optimizer_class(trial.optimizer, ""), Outcome("failed", "of before"))
    store.save(before, driver.folder)
    if there == "a damaged file":
        path.write_text(path.read_text()[:100])
    driver.close()
    driver = Driver(smoke, tmp_path, retry_failed=True)
    for _ in range(driver_module.ATTEMPTS):
        job = driver.next_job()
        assert job is not None and job.trials == (trial,)
        driver.worker_died(job, "killed")
    assert driver.known[trial.trial_id].reason == "killed (2 attempts)"
    driver.close()


def test_deaths_with_progress_are_no_failures_and_those_without_are(smoke, tmp_path):
    """Three preemptions, each after a checkpoint that went further; then two deaths at the same step."""
    driver, seen = Driver(smoke, tmp_path, pack=2), []
    for step in (10, 20, 30, 30, 25):
        job = driver.next_job()
        assert job is not None
        seen.append(job.trials)
        assert job.trials == seen[0]
        path = checkpoint.place(checkpoints(driver.folder), job.trials)
        checkpoint.save(path, Progress(step=step), [])
        driver.worker_died(job, "preempted")
        failed = [t for t in job.trials if driver.known.get(t.trial_id)]
        assert failed == ([] if len(seen) < 5 else list(job.trials)), step
    assert driver.known[seen[0][0].trial_id].reason == "preempted (2 attempts)"
    driver.close()


def test_a_new_driver_knows_how_far_the_last_one_s_trials_came(smoke, tmp_path):
    driver = Driver(smoke, tmp_path)
    job = driver.next_job()
    assert job is not None
    for k in range(2):  # of a pack whose runs are trained one after the other, each has a file of its own
        path = checkpoint.place(checkpoints(driver.folder), job.trials)
        checkpoint.save(checkpoint.part(path, k, 2), Progress(step=10), [])
    driver.close()
    again = Driver(smoke, tmp_path)
    for _ in range(2):  # no further than before
        job = again.next_job()
        assert job is not None
        again.worker_died(job, "killed")
    assert again.reached[path] == 20 and again.known[job.trials[0].trial_id].status == "failed"
    again.close()
