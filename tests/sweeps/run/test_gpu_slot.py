"""A slot with a GPU trains on it or ends the sweep with a remedy; the process that plans keeps off GPUs."""

import os
import subprocess
import sys
import types

import pytest

from benchmark import hidden, resources
from sweeps.run import gpu_slot, ray_tune, serial


@pytest.mark.parametrize(
    ("backend", "setting", "raised", "words"),
    [
        ("jax", {}, None, "it is the CPU build, install the other: "),
        ("jax", {"JAX_PLATFORMS": "cpu"}, None, "JAX_PLATFORMS=cpu keeps it from it, unset that"),
        ("jax", {}, RuntimeError("no supported devices\nmore"), "finds none (no supported devices): "),
        ("torch", {}, None, "install the build of torch that fits the driver"),
    ],
)
def test_a_worker_whose_gpu_is_not_found_says_the_remedy(monkeypatch, backend, setting, raised, words):
    def device() -> str:
        if raised:
            raise raised
        return "cpu"

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gpu_slot.runner, "trainer_of", lambda _: types.SimpleNamespace(device=device))
    with pytest.raises(ValueError, match="this worker has a GPU") as caught:
        gpu_slot.require(backend)
    said = str(caught.value)
    assert words in said and "\n" not in said and "CUDA_VISIBLE_DEVICES= before the command" in said
    if words.startswith("it is the CPU build"):
        assert gpu_slot.install("cuda") in said
    raised, device_there = None, types.SimpleNamespace(device=lambda: "NVIDIA H100")
    monkeypatch.setattr(gpu_slot.runner, "trainer_of", lambda _: device_there)
    gpu_slot.require(backend)


@pytest.mark.parametrize(
    "flag", ["--xla_force_host_platform_device_count=4", "", "--xla_cpu_enable_fast_math=false"]
)
@pytest.mark.parametrize("platforms", ["cpu", ""])
def test_devices_of_the_cpu_stand_for_gpus_only_where_they_were_made_to(monkeypatch, flag, platforms):
    monkeypatch.setenv("XLA_FLAGS", flag)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(gpu_slot.runner, "trainer_of", lambda _: types.SimpleNamespace(device=lambda: "cpu"))
    if platforms and "device_count" in flag:
        gpu_slot.require("jax")
    else:
        with pytest.raises(ValueError, match="finds none"):
            gpu_slot.require("jax")
    with pytest.raises(ValueError, match="finds none"):
        gpu_slot.require("torch")


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_a_ray_slot_with_a_gpu_that_is_none_ends_before_it_trains(monkeypatch, share):
    for name in gpu_slot._MEMORY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ray_tune.ray_barrier, "wait_for_all", lambda *_: None)
    monkeypatch.setattr(ray_tune.stopping, "listen", lambda leave: None)
    monkeypatch.setattr(ray_tune.worker, "work", lambda job: [])
    worker = object.__new__(ray_tune.Worker)
    job = types.SimpleNamespace(trials=[types.SimpleNamespace(backend="jax")])
    worker.setup({"slots": ray_tune.Slots(1, 1, (), share, "b"), "job": job, "trial": "t", "wait": 0.0})
    assert os.environ.get("XLA_CLIENT_MEM_FRACTION") == (f"{0.9 * share:.3f}" if share else None)
    monkeypatch.delenv("XLA_CLIENT_MEM_FRACTION", raising=False)
    result = worker.step()
    assert ("this worker has a GPU, but jax finds none" in result.get("error", "")) == (share > 0)
    assert result["done"]


def test_a_serial_sweep_beside_a_gpu_that_jax_does_not_find_ends_too(monkeypatch):
    monkeypatch.setattr(resources, "gpus", lambda: 1)
    monkeypatch.setattr(gpu_slot, "take_memory", lambda share: None)
    job = types.SimpleNamespace(trials=[types.SimpleNamespace(backend="jax")])
    driver = types.SimpleNamespace(done=False, next_job=lambda: job)
    with pytest.raises(ValueError, match="jax finds none"):
        serial.run(driver)  # pyright: ignore[reportArgumentType]


def test_the_driver_sees_no_gpu_and_what_it_starts_sees_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    (tmp_path / "proc/driver/nvidia/gpus").mkdir(parents=True)
    for number in range(4):
        (tmp_path / "proc/driver/nvidia/gpus" / str(number)).mkdir()
    code = "import os; print(*map(os.environ.get, ('CUDA_VISIBLE_DEVICES', 'JAX_PLATFORMS')), sep='|')"

    def child() -> str:
        return subprocess.check_output([sys.executable, "-c", code], text=True).strip()

    with hidden.hidden():
        assert child() == "|cpu"
        assert resources.gpus(tmp_path) == 2, "slots are counted by what the user gave"
        with hidden.hidden(), hidden.shown():
            assert child() == "1,2|None"
        assert child() == "|cpu"
    assert child() == "1,2|None" and not hidden._given
