"""How much of this machine is ours: cores, memory and processes, from affinity and control groups.

A container or a scheduler's job sees all of the machine's cores and memory, but is held to less: by affinity,
or by a quota or limit of its control group or of one above it (cgroups v1 and v2; proc(5), cgroups(7) and the
kernel's Documentation/admin-guide/cgroup-v2.rst). Needs no package; `root` is another "/" in tests.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark import hidden

ROOT = Path("/")
WORKER_BYTES = 6e8  # what a process that trains the smallest scales takes
# where the groups are mounted by convention, should /proc not say
USUAL = {
    "cpu": ("sys/fs/cgroup", "sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"),
    "memory": ("sys/fs/cgroup", "sys/fs/cgroup/memory"),
    "pids": ("sys/fs/cgroup", "sys/fs/cgroup/pids"),
}
IDLE_SECONDS = 0.1  # how long cores are watched, to tell idle ones from busy ones


def affinity() -> list[int]:
    """The cores that this process may run on, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores(root: Path = ROOT) -> int:
    """Cores that this process may keep busy: those of its affinity, or fewer where a quota allows less time. A
    quota of 1.5 cores is 1: two workers would be stopped for a quarter of their time. At least 1."""
    quotas = [quota for group in _groups("cpu", root) if (quota := _quota(group)) is not None]
    return max(1, min([len(affinity()), *(int(quota + 1e-6) for quota in quotas)]))


def memory_bytes(root: Path = ROOT) -> int:
    """Bytes of memory that this process and its children may use: the machine's, or a lower limit."""
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [_number(group / name) for group in _groups("memory", root) for name in names]
    return min([_machine_bytes(root), *(limit for limit in limits if limit)])


def processes_left(root: Path = ROOT) -> int | None:
    """How many more processes and threads its control groups allow; None without such a limit."""
    left = []
    for group in _groups("pids", root):
        most = _number(group / "pids.max")
        if most is not None:
            left.append(most - (_number(group / "pids.current") or 0))
    return max(0, min(left)) if left else None


def workers(root: Path = ROOT) -> int:
    """How many processes can train here at once, one on a core and each with room for itself. At least 1."""
    return max(1, min(cores(root), int(memory_bytes(root) / WORKER_BYTES)))


def gpus(root: Path = ROOT) -> int:
    """GPUs of NVIDIA's that this process may use: those there are, or fewer by CUDA_VISIBLE_DEVICES."""
    there = len(list((root / "proc/driver/nvidia/gpus").glob("*")))
    devices = len(list((root / "dev").glob("nvidia[0-9]*")))  # a container is given some of those in /proc
    there = min(there, devices) if devices else there
    visible = hidden.given("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    named = [name.strip() for name in visible.split(",")]
    return min(there, next((i for i, name in enumerate(named) if not name or name.startswith("-")), len(named)))


def idle_first(numbers: Sequence[int], root: Path = ROOT) -> list[int]:
    """These cores, those that did least in the last moment first: others may have pinned processes here too."""
    before = _busy(root)
    time.sleep(IDLE_SECONDS)
    after = _busy(root)
    return sorted(numbers, key=lambda core: (after.get(core, 0) - before.get(core, 0), core))


def _busy(root: Path) -> dict[int, int]:
    """Core -> clock ticks in which it was at work; see proc(5), /proc/stat."""
    found = {}
    for line in _lines(root / "proc/stat"):
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu" and len(ticks) > 4:
            found[int(name[3:])] = sum(map(int, ticks)) - int(ticks[3]) - int(ticks[4])
    return found


def _quota(group: Path) -> float | None:
    """Cores' worth of time that a group has, or None for no limit."""
    two = _lines(group / "cpu.max")  # v2: "QUOTA PERIOD" or "max PERIOD", in microseconds
    words = two[0].split() if two else []
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
        return int(words[0]) / int(words[1])
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota and period else None  # v1: a quota of -1 is none


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's group and of all above it, of either version; some may not exist."""
    paths = _paths(controller, root)
    seen = set()
    for place, top, names in _mounts(root):
        for path in paths.get("cgroup2" if names is None else "cgroup", ()):
            if names is not None and controller not in names:
                continue
            inside = os.path.relpath(path, top)
            parts = [] if inside == "." or inside.startswith("..") else inside.split("/")
            for depth in range(len(parts), -1, -1):
                seen.add(place.joinpath(*parts[:depth]))
    seen |= {root / usual for usual in USUAL[controller]}
    yield from sorted(seen)


def _paths(controller: str, root: Path) -> dict[str, list[str]]:
    """Kind of file system -> this process's group there, from lines "ID:CONTROLLERS:PATH"."""
    found: dict[str, list[str]] = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, names, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not names:
            found.setdefault("cgroup2", []).append(path or "/")
        elif controller in names.split(","):
            found.setdefault("cgroup", []).append(path or "/")
    return found


def _mounts(root: Path) -> Iterator[tuple[Path, str, list[str] | None]]:
    """(where it is mounted, which group is mounted there, its controllers; None in v2), of each such mount."""
    for line in _lines(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if len(words) >= 5 and kind and kind[0] in ("cgroup", "cgroup2"):
            names = None if kind[0] == "cgroup2" else kind[-1].split(",")
            yield root / words[4].lstrip("/"), words[3], names


def _machine_bytes(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none, as in "max" or "-1"."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
