"""A sweep on two local nodes: both train, and every record comes home, from a node without the disk too.
And on nodes whose GPUs are in name only: trials share one, one trial is on two nodes, a sweep ends in one line.

Run by `make faults`, because two nodes take a minute to start and to stop.
"""

import contextlib
import datetime
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from benchmark import running, store
from benchmark.spec import Record
from benchmark.train import checkpoint

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own sockets and processes
]
RAY = Path(sys.executable).parent / "ray"


@contextlib.contextmanager
def cluster(head_cpus: int, gpus: int = 0) -> Iterator[Cluster]:
    head = {"num_cpus": head_cpus, "num_gpus": gpus, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made
    finally:
        made.shutdown()


def started(folder: Path, address: str, *words: str) -> subprocess.Popen[str]:
    """A sweep on the cluster, or on none."""
    places = ["--results", str(folder), "--out", str(folder / "out")]
    env = {**os.environ, "RAY_ADDRESS": address}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "sweeps", *words, *places]
    return subprocess.Popen(command, text=True, env=env, stdout=pipe, stderr=pipe)


def said(run: subprocess.Popen[str], status: int) -> str:
    """What a sweep says on stderr, which ends with this status."""
    try:
        _, error = run.communicate(timeout=600)
    finally:
        run.kill()
    assert run.returncode == status, error
    return error


def sweep(folder: Path, address: str, *options: str) -> dict[str, Record]:
    """Run `smoke` on the cluster; its records by id."""
    said(started(folder, address, "smoke", *options), 0)
    manifest = json.loads((folder / "smoke" / "sweep.json").read_text())
    records = {r.trial.trial_id: r for _, r in store.records(folder)}
    assert len(records) > 30 and set(manifest["trial_ids"]) == set(records)
    assert {r.status for r in records.values()} == {"finished"}
    return records


def spans(records: dict[str, Record]) -> list[tuple[float, float]]:
    """Begin and end of each trial, in seconds."""
    ends = [datetime.datetime.fromisoformat(r.finished_at).timestamp() for r in records.values()]
    return sorted((end - r.cost.wall_seconds, end) for end, r in zip(ends, records.values(), strict=True))


def overlap(spans: list[tuple[float, float]]) -> float:
    """Seconds during which two trials ran at once."""
    return sum(max(0.0, before[1] - after[0]) for before, after in itertools.pairwise(spans))


def test_both_nodes_train_and_a_shared_disk_has_every_record(tmp_path):
    with cluster(head_cpus=1) as made:
        made.add_node(num_cpus=1)  # one trial at a time each: two at once are on two nodes
        records = sweep(tmp_path, made.address)
    times = spans(records)
    assert overlap(times) > 0.3 * sum(end - begin for begin, end in times) / 2


def at_once(spans: list[tuple[float, float]]) -> int:
    """The largest number of trials that ran at one moment."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return max(itertools.accumulate(change for _, change in moments))


@pytest.fixture
def stand_ins(monkeypatch):
    """Four devices of the CPU stand for each node's GPUs."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")


def test_as_many_trials_share_a_gpu_as_it_has_slots(tmp_path, stand_ins):
    with cluster(head_cpus=4, gpus=1) as made:
        records = sweep(tmp_path, made.address, "--slots-per-gpu", "2")
    assert at_once(spans(records)) == 2  # not four, for which there are cores, nor one


def test_a_gpu_in_name_only_ends_the_sweep_in_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with cluster(head_cpus=1, gpus=1) as made:
        error = said(started(tmp_path, made.address, "smoke"), 1)
    line = error.splitlines()[-1]
    assert line.startswith("sweeps: this worker has a GPU, but jax finds none") and len(line) < 500
    assert "CUDA_VISIBLE_DEVICES= before the command" in line
    assert not list(tmp_path.glob("smoke/trials/*.json"))


SHORT = '''
"""A sweep of few and short trials. A test."""
from benchmark.spec import Evaluation
from sweeps.search.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="short",
    title="a test",
    stages=(stage("13k-SIZEx", "I", 2, tune="essential"),),
    protocol=Protocol(looks=(2,), searches=1),
    optimizers=("adamw",),
    tuning_evaluation=Evaluation(sequences=128),
    report_evaluation=Evaluation("test", sequences=128, curve_points=8, curve_sequences=32),
)
'''


@pytest.fixture
def two_nodes(stand_ins) -> Iterator[str]:
    """The address of two nodes with four GPUs each."""
    with cluster(head_cpus=1, gpus=4) as made:
        made.add_node(num_cpus=1, num_gpus=4)
        yield str(made.address)


def members() -> list[int]:
    """Process ids of those that train a trial together."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [int(path.parent.name)] if path.read_bytes().startswith(b"ray::Member") else []
    return sorted(found)


def short(folder: Path, size: str) -> str:
    (folder / "short.py").write_text(SHORT.replace("SIZE", size))
    return str(folder / "short.py")


def test_two_nodes_train_a_trial_together_as_one_device_does(tmp_path, two_nodes):
    name = short(tmp_path, "0.125")
    said(started(tmp_path / "one", "", name, "--executor", "serial"), 0)
    said(started(tmp_path / "two", two_nodes, name, "--gpus-per-trial", "8", "--own-tuning"), 0)
    one, two = ({r.trial.trial_id: r for _, r in store.records(tmp_path / k)} for k in ("one", "two"))
    assert {(r.status, r.environment["devices"], r.environment["nodes"]) for r in two.values()} == {
        ("finished", 8, 2)
    }
    same = set(one) & set(two)  # a search may go another way after losses that differ in the last bits
    assert len(same) >= 4
    assert max(abs((one[i].val_loss or 0.0) - (two[i].val_loss or 9.0)) for i in same) < 1e-3
    assert not members(), "nobody outlives the sweep"


def furthest(run: subprocess.Popen[str], folder: Path, beyond: int) -> int:
    """The step that a running trial has said, once it is beyond this one."""
    while True:
        assert run.poll() is None, run.communicate()[1]
        if steps := [each[-1].step for each in running.read(folder) if each[-1].step > beyond]:
            return max(steps)
        time.sleep(0.2)


def test_a_trial_on_two_nodes_ends_with_its_state_goes_on_and_survives_a_kill(tmp_path, two_nodes):
    words = (short(tmp_path, "4"), "--gpus-per-trial", "8", "--own-tuning")
    folder = tmp_path / "short"
    run = started(tmp_path, two_nodes, *words)
    said_step = furthest(run, folder, beyond=100)
    run.send_signal(signal.SIGINT)
    assert "long trials keep their state" in said(run, 130) and not members()
    (path,) = folder.glob("checkpoints/*.npz")
    kept = checkpoint.reached(path)
    assert kept >= said_step, "Ctrl-C loses nothing"
    began = time.time()
    run = started(tmp_path, two_nodes, *words)
    furthest(run, folder, beyond=kept)
    assert running.read(folder)[0][0].time < began, "what is said of a run is cut where it begins anew"
    before = members()
    os.kill(before[-1], signal.SIGKILL)
    deadline = time.monotonic() + 120
    while len(now := members()) < 2 or set(now) & set(before):
        assert run.poll() is None and time.monotonic() < deadline, (
            "a death ends the others, and the sweep goes on"
        )
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    said(run, 130)
    assert checkpoint.reached(path) >= kept and not list(folder.glob("trials/*.json")), "and is no failure"


@pytest.fixture
def blind_node(tmp_path) -> Iterator[tuple[Cluster, Path]]:
    """A head that trains nothing, and a node whose own empty folder hides the driver's results folder."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("hiding a folder from a process needs root and mount namespaces")
    results = tmp_path / "results"
    results.mkdir()
    with cluster(head_cpus=0) as made:
        script = 'mount -t tmpfs none "$1" && exec "$2" start --address "$3" --num-cpus 1 --block'
        words = ["unshare", "-m", "bash", "-c", script, "bash", str(results), str(RAY), made.address]
        with (tmp_path / "node.log").open("w") as log:
            node = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while len(made.global_state.node_table()) < 2:
                assert node.poll() is None and time.monotonic() < deadline, (tmp_path / "node.log").read_text()
                time.sleep(0.5)
            yield made, results
        finally:
            node.terminate()
            node.wait(timeout=60)


def test_a_node_that_does_not_see_the_disk_sends_its_records_home(blind_node):
    made, results = blind_node
    assert sweep(results, made.address)
