"""Slots: what a trial asks Ray for. Whole sweeps through Ray are in test_end_to_end.py and test_cluster.py."""

import dataclasses

import pytest

from sweeps import execute, sweep
from sweeps.contestants import contestants
from sweeps.drive import Driver


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
    monkeypatch.setattr(execute.ray, "cluster_resources", lambda: resources)
    assert execute._slot(slots_per_gpu) == slot
    assert execute._count(slot) == count


@pytest.mark.parametrize(("stated", "used"), [(None, "local"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_a_cluster_is_joined_only_when_it_is_named(monkeypatch, tmp_path, stated, used):
    """Ray itself, given no address, joins whatever was started last on the machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if stated:
        monkeypatch.setenv("RAY_ADDRESS", stated)
    asked = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        raise RuntimeError("this test starts nothing")

    monkeypatch.setattr(execute.ray, "init", init)
    smoke = dataclasses.replace(sweep.named("smoke"), contestants=contestants(("adamw",)))
    driver = Driver(smoke, tmp_path)
    with pytest.raises(ValueError, match="Ray did not start \\(this test starts nothing"):
        execute.run(driver)
    driver.close()
    assert asked == [used]
