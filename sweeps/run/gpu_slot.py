"""A slot that holds a GPU trains on it or ends the sweep: never on a CPU without a word."""

import importlib.util
import os
from collections.abc import Iterator

from benchmark.extras import install
from benchmark.train import runner

SHARE = 0.9  # of a GPU's memory that its slots' jax processes take in all; CUDA itself needs the rest
_MEMORY = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
_WITHOUT = "to train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES= before the command"


def take_memory(share: float) -> None:
    """Have jax, before it starts, take this share of a GPU's memory, unless the user has said how much."""
    if not any(os.environ.get(name) for name in _MEMORY):
        os.environ[_MEMORY[0]] = f"{SHARE * share:.3f}"


def require(backend: str) -> None:
    """Raise ValueError, with a remedy, where this process was given a GPU that its framework does not find,
    except where devices of the CPU were made to stand for GPUs."""
    if backend == "jax" and _stand_ins():
        return
    why = ""
    try:
        found = runner.trainer_of(backend).device()
    except RuntimeError as error:  # of a framework that finds the GPU and cannot start on it
        found, why = "cpu", f" ({str(error).strip().splitlines()[0]})"
    if found == "cpu":
        raise ValueError(
            f"this worker has a GPU, but {backend} finds none{why}: {'; '.join(_remedies(backend))}; {_WITHOUT}"
        )


def _stand_ins() -> bool:
    """Whether jax was told to make several devices of the CPU, as one does to rehearse (docs/gpu.md)."""
    made = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    return os.environ.get("JAX_PLATFORMS") == "cpu" and (made or "JAX_NUM_CPU_DEVICES" in os.environ)


def _remedies(backend: str) -> Iterator[str]:
    chosen = os.environ.get("JAX_PLATFORMS", "")
    if backend == "jax" and chosen and not {"cuda", "gpu", "rocm"} & set(chosen.split(",")):
        yield f"JAX_PLATFORMS={chosen} keeps it from it, unset that"
    elif backend == "jax" and not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        yield f"it is the CPU build, install the other: {install('cuda')}"
    elif backend == "torch":
        yield "install the build of torch that fits the driver (docs/gpu.md)"
    else:
        yield "see whether nvidia-smi does, and whether its driver is new enough for this build"
