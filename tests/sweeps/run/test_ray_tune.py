"""Slots: what a trial asks Ray for. Whole sweeps through Ray are in test_end_to_end.py and test_cluster.py."""

import dataclasses
import sys
from pathlib import Path

import pytest

import sweeps
from benchmark import resources
from benchmark.spec import Cost, Outcome
from benchmark.train import runner
from sweeps import __main__ as command
from sweeps.run import ray_tune
from sweeps.run.driver import Driver
from sweeps.run.options import parser
from sweeps.run.progress import Bar
from sweeps.search.contestants import contestants, optimizer_class


@pytest.mark.parametrize(
    ("resources", "slots_per_gpu", "slot", "count"),
    [
        ({"CPU": 8.0}, 1, {"cpu": 1}, 8),
        ({"CPU": 8.0}, 4, {"cpu": 1}, 8),  # no GPU: nothing to share
        ({"CPU": 8.0, "GPU": 2.0}, 1, {"cpu": 1, "gpu": 1.0}, 2),
        ({"CPU": 8.0, "GPU": 2.0}, 3, {"cpu": 1, "gpu": 1 / 3}, 6),
        ({"CPU": 8.0, "GPU": 2.0}, 8, {"cpu": 1, "gpu": 0.125}, 8),  # more slots than cores
    ],
)
def test_a_slot_is_a_core_and_its_share_of_a_gpu(monkeypatch, resources, slots_per_gpu, slot, count):
    monkeypatch.setattr(ray_tune.ray, "cluster_resources", lambda: resources)
    assert ray_tune._slot(slots_per_gpu) == slot
    assert ray_tune._count(slot) == count


@pytest.mark.parametrize(
    ("stated", "used"),
    [(None, "local"), ("local", "local"), (" ", "local"), ("10.0.0.1:6379", "10.0.0.1:6379")],
)
def test_a_cluster_is_joined_only_when_it_is_named(monkeypatch, tmp_path, stated, used):
    """Ray itself, given no address, joins whatever was started last on the machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if stated:
        monkeypatch.setenv("RAY_ADDRESS", stated)
    asked = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        raise RuntimeError("this test starts nothing")

    monkeypatch.setattr(ray_tune.ray, "init", init)
    monkeypatch.setattr(ray_tune.advice, "check_cluster", lambda *_: None)
    smoke = dataclasses.replace(sweeps.get("smoke"), contestants=contestants(("adamw",)))
    driver = Driver(smoke, tmp_path)
    with pytest.raises(ValueError, match="Ray did not start \\(this test starts nothing"):
        ray_tune.run(driver)
    driver.close()
    assert asked == [used]


@pytest.fixture
def driver(tmp_path):
    made = contestants(("adamw", "lion"))
    smoke = dataclasses.replace(sweeps.get("smoke"), contestants=made, corpus_hash="c", tokenizer_hash="t")
    driver = Driver(smoke, tmp_path)
    yield driver
    driver.close()


@pytest.mark.parametrize(("asked", "count", "spare"), [(None, 8, 1), (8, 8, 1), (3, 3, 0), (9, 8, 1)])
def test_no_more_workers_than_asked_for_and_than_there_is_room_for(
    monkeypatch, capsys, driver, asked, count, spare
):
    monkeypatch.setattr(ray_tune.ray, "cluster_resources", lambda: {"CPU": 8.0})
    slots = ray_tune._slots(driver, {"cpu": 1}, asked)
    assert (slots.count, slots.spare) == (count, spare)
    searcher = ray_tune.PlanSearcher(driver, slots)
    suggested = [searcher.suggest(str(i)) for i in range(12)]
    assert sum(config is not None for config in suggested) == count + spare
    assert ("room for 8 workers, not for 9" in capsys.readouterr().err) == (asked == 9)


def test_the_busy_share_is_of_the_workers_that_there_were(driver, capsys):
    driver.workers = 3  # what the executor found, whatever this machine has
    trial = driver.current.ready[0]
    outcome = Outcome("finished", val_loss=3.0, cost=Cost(wall_seconds=60.0, train_seconds=45.0))
    with Bar(driver):
        driver.receive([runner.record(trial, optimizer_class(trial.optimizer, ""), outcome)])
    assert "3 workers trained or evaluated for 25% of 60 seconds." in capsys.readouterr().err


def test_here_ray_gets_no_more_cores_than_workers(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given = []
    monkeypatch.setattr(ray_tune.ray, "init", lambda **options: given.append(options["num_cpus"]))
    cores = resources.workers()
    for workers in (1, None):
        ray_tune._start(workers, tmp_path)
    assert given == [1, cores]


@pytest.mark.parametrize("alone", [True, False])
def test_workers_import_from_the_folder_of_the_call_where_this_process_does(monkeypatch, tmp_path, alone):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    here, started = Path.cwd(), []
    others = [path for path in sys.path if path not in ("", str(here))]
    monkeypatch.setattr(sys, "path", others if alone else [str(here), *others])
    monkeypatch.setattr(ray_tune.ray, "init", lambda **_: started.append(Path.cwd()))
    ray_tune._start(1, tmp_path)
    assert started == [tmp_path / "empty" if alone else here] and Path.cwd() == here


@pytest.mark.parametrize("raised", [ValueError("the corpus is another"), FileNotFoundError("mine.py")])
def test_a_node_s_own_error_ends_the_sweep_with_its_line_and_no_record(monkeypatch, driver, raised):
    def work(job: object) -> None:
        raise raised

    monkeypatch.setattr(ray_tune.worker, "work", work)
    monkeypatch.setattr(ray_tune.ray_barrier, "wait_for_all", lambda *_: None)
    searcher = ray_tune.PlanSearcher(driver, ray_tune.Slots(1, 1, (), 1.0, "barrier"))
    trainable = object.__new__(ray_tune.Worker)
    trainable.name, trainable.barrier, trainable.on_gpu, trainable.group = "a", "barrier", False, None
    trainable.reset_config(searcher.suggest("t1"))
    result = trainable.step()
    assert searcher.metric in result, "Tune ends the experiment over a result without it"
    searcher.on_trial_complete("t1", result)
    assert str(searcher.error) == str(raised)
    assert searcher.suggest("t2") == ray_tune.Searcher.FINISHED
    assert not driver.known and not list(driver.folder.glob("trials/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "serial", "--workers", "2"], "--executor serial runs one trial at a time"),
        (["--workers", "100000"], "--workers 100000, but this machine runs"),
    ],
)
def test_workers_that_there_cannot_be_are_refused_but_can_be_priced(
    monkeypatch, tmp_path, capsys, options, message
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert command.main(["smoke", "--results", str(tmp_path), *options]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    priced = parser().parse_args(["smoke", "--dry-run", *options])
    assert command._workers(priced) == int(options[-1])


@pytest.mark.parametrize("jinja", [True, False])
def test_the_progress_page_is_named_if_it_can_be_built(monkeypatch, tmp_path, capsys, jinja):
    spec = command.importlib.util.find_spec
    monkeypatch.setattr(
        command.importlib.util, "find_spec", lambda name: spec(name) if jinja or name != "jinja2" else None
    )
    monkeypatch.setattr(command, "_execute", lambda *_: None)
    folders = ["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")]
    assert command.main(["smoke", "--optimizers", "adamw", *folders]) == 130  # nothing has run
    line = f"Progress page: {Path(tmp_path, 'out', 'smoke', 'progress.html')}\n"
    assert (line in capsys.readouterr().err) == jinja
