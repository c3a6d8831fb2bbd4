"""Where a run took place: versions, commit, device and a fingerprint of the machine, as data for its record.

Timings compare only within one machine; the fingerprint says which records share one. It holds no host name.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "optax", "numpy", "torch", "ray", "tokenizers")


@functools.cache
def describe(device: str) -> dict[str, object]:
    """Facts about this process's surroundings. `device` is what the trainer computes on."""
    cpu, cores, memory = _cpu_model(), os.cpu_count() or 1, _memory_gib()
    mark = hashlib.sha256(f"{cpu}|{cores}|{memory}|{device}".encode()).hexdigest()[:8]
    return {
        "machine": mark,
        "cpu": cpu,
        "cores": cores,
        "cores_used": len(os.sched_getaffinity(0)),
        "memory_gib": memory,
        "device": device,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "commit": commit(),
    }


@functools.cache
def commit() -> str:
    """The checkout's commit, with "+" where tracked files differ from it; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10
        )
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=here, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("+" if dirty.returncode else "")


def without_folders(text: str) -> str:
    """A message with every absolute path cut to its last component: records are published, folders are not."""
    text = re.sub(r"""(['"])/(?:[^'"/]*/)*([^'"/]*)\1""", r"\1\2\1", text)  # quoted, so blanks belong to it
    return re.sub(r"""(?<![\w:/.'"])/(?:[^/\s'"]+/)+([^/\s'"]*)""", r"\1", text)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
