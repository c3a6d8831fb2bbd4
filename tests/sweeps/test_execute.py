"""Slots: what a trial asks Ray for. Whole sweeps through Ray are in test_end_to_end.py and test_cluster.py."""

import pytest

from sweeps import execute


@pytest.mark.parametrize(
    ("resources", "slots_per_gpu", "slot"),
    [
        ({"CPU": 8.0}, 1, {"cpu": 1}),
        ({"CPU": 8.0}, 4, {"cpu": 1}),  # no GPU: nothing to share
        ({"CPU": 8.0, "GPU": 2.0}, 1, {"cpu": 1, "gpu": 1.0}),
        ({"CPU": 8.0, "GPU": 2.0}, 4, {"cpu": 1, "gpu": 0.25}),
    ],
)
def test_a_slot_is_a_core_and_its_share_of_a_gpu(monkeypatch, resources, slots_per_gpu, slot):
    monkeypatch.setattr(execute.ray, "cluster_resources", lambda: resources)
    assert execute._slot(slots_per_gpu) == slot
