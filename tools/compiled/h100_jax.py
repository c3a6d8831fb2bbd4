"""XLA's CUDA compiler without a GPU: jax compiles for a device that is only described to it.

Kernels are not tuned by trial, as they would be on the device, and cuDNN's workspace is not counted.
"""

import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from benchmark import extras

PACKAGES = (
    "nvidia-cuda-nvcc-cu12",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-nvrtc-cu12",
    "nvidia-nvjitlink-cu12",
)
CUDNN = 91002  # 9.10.2, as the description below says

# NVIDIA H100 SXM5 80GB: its data sheet and CUDA's device query, in the form of XLA's GpuTargetConfigProto
DESCRIPTION = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 patch: 2 }
gpu_device_info {
  name: "NVIDIA H100 80GB HBM3"
  device_vendor: "NVIDIA Corporation"
  platform_version: "Compute Capability 9.0a"
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  shared_memory_per_core: 233472
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  threads_per_warp: 32
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  device_address_bits: 64
  driver_version: "13.0.0"
  runtime_version: "12.8.0"
  compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.2"
}
"""


def prepare(folder: Path | None) -> None:
    """Find the compiler, in `folder` or among the installed packages; call this before jax is imported.

    Raises ValueError, one line, where there is none.
    """
    if folder:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    plugin = importlib.util.find_spec("jax_plugins")
    found = [Path(place) for place in (plugin.submodule_search_locations or ())] if plugin else []
    nvcc = [toolkit for path in found if (toolkit := path.parent / "nvidia" / "cuda_nvcc").is_dir()]
    if not any(list(path.glob("xla_cuda*")) for path in found) or not nvcc:
        raise ValueError(f"this jax has no CUDA compiler; get one (0.9 GB) with: {_installing()}")
    # tuning runs kernels, for which there is no device
    flags = (f"--xla_gpu_cuda_data_dir={nvcc[0]}", "--xla_gpu_autotune_level=0")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags]).strip()
    os.environ["PATH"] = os.pathsep.join([str(nvcc[0] / "bin"), os.environ.get("PATH", "")])
    os.environ["JAX_PLATFORMS"] = "cpu"


def _installing() -> str:
    from importlib.metadata import version

    jax = version("jax")
    packages = [f"jax-cuda12-pjrt=={jax}", f"jax-cuda12-plugin=={jax}", *PACKAGES]
    return f"{extras.install_into('cuda', packages)}, and --compiler cuda"


@functools.cache
def devices(count: int = 1) -> Any:
    """H100s of one node to compile for. Raises ValueError where this jax does not take the description."""
    from jax.experimental import topologies

    shape = f"1x1x{count}"
    try:
        topology = topologies.get_topology_desc("h100", "cuda", topology=shape, target_config=DESCRIPTION)
    except Exception as error:
        raise ValueError(f"this jax compiles for no H100: {str(error).splitlines()[0]}") from None
    return topology.devices


def allow_cudnn() -> None:
    """Let cuDNN's attention lower for the described device: jax would ask a driver, and there is none."""
    import jax._src.cudnn.fused_attention_stablehlo as attention

    setattr(attention, "check_cudnn_version", lambda: CUDNN)  # noqa: B010
    setattr(attention, "check_compute_capability", lambda least: float(least) <= 9.0)  # noqa: B010
    setattr(attention, "is_cuda_compute_capability_equal", lambda wanted: wanted == "9.0")  # noqa: B010
