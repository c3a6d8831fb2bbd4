"""A sweep on two local nodes: both train, and every record comes home, from a node without the disk too.
And one on a node with a GPU, in name only, that trials share.

Run by `make faults`, because two nodes take a minute to start and to stop.
"""

import contextlib
import datetime
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from benchmark import store
from benchmark.spec import Record

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


def sweep(folder: Path, address: str, *options: str) -> dict[str, Record]:
    """Run `smoke` on the cluster; its records by id."""
    places = ["--results", str(folder), "--out", str(folder / "out")]
    command = [sys.executable, "-m", "sweeps", "smoke", *places, *options]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env={**os.environ, "RAY_ADDRESS": address}
    )
    assert run.returncode == 0, run.stderr
    manifest = json.loads((folder / "smoke" / "sweep.json").read_text())
    found = {r.trial.trial_id: r for _, r in store.records(folder)}
    assert found.keys() == set(manifest["trial_ids"])
    return found


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
    assert {r.status for r in records.values()} == {"finished"}
    times = spans(records)
    assert overlap(times) > 0.3 * sum(end - begin for begin, end in times) / 2


def at_once(spans: list[tuple[float, float]]) -> int:
    """The largest number of trials that ran at one moment."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return max(itertools.accumulate(change for _, change in moments))


def test_as_many_trials_share_a_gpu_as_it_has_slots(tmp_path):
    with cluster(head_cpus=4, gpus=1) as made:
        records = sweep(tmp_path, made.address, "--slots-per-gpu", "2")
    assert records
    assert at_once(spans(records)) == 2  # not four, for which there are cores, nor one


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
    records = sweep(results, made.address)
    assert {r.status for r in records.values()} == {"finished"}
