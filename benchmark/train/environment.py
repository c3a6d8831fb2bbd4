"""Where a run took place: versions, commit, device, CPU type and a mark of the machine, as data for its record.

What such data is good for (which records share a machine) is said in `benchmark/machine.py`. It holds no host
name and no path.
"""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from benchmark import machine, resources

PACKAGES = ("jax", "jaxlib", "optax", "numpy", "torch", "ray", "tokenizers")


@functools.cache
def describe(device: str) -> dict[str, Any]:
    """Facts about this process's surroundings. `device` is what the trainer computes on."""
    found = {
        **_cpu(),
        "cores": os.cpu_count() or 1,
        "cores_used": len(resources.affinity()),
        "memory_gib": _memory_gib(),
        "device": device,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "commit": commit(),
    }
    return {"machine": machine.machine(found), **found}


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


def _cpu() -> dict[str, Any]:
    """The CPU's brand and, where there is a /proc/cpuinfo, its type; elsewhere what Python can say of it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    brands = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    brand = next(iter(brands), "") or platform.processor() or platform.machine()
    plain = {"cpu_vendor": "", "cpu_family": platform.machine(), "cpu_model": brand, "cpu_isa": []}
    said = machine.described(text)
    return {"cpu": brand, **(said if {"cpu_family", "cpu_isa"} <= said.keys() else plain), **_xla_cpu_flags()}


def _xla_cpu_flags() -> dict[str, list[str]]:
    """What XLA was told about compiling for the CPU, by default nothing: it may change the last bits of a loss.
    Its other flags may hold paths and are left out."""
    flags = [word for word in os.environ.get("XLA_FLAGS", "").split() if word.startswith("--xla_cpu_")]
    return {"xla_cpu_flags": sorted(flags)} if flags else {}


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
