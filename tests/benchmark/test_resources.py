"""How much of a machine is ours, on made-up machines: a few files that stand for /proc and /sys."""

import os

import pytest

from benchmark import resources

GIB = 2**30
V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
)
V1_GROUPS = "3:pids:/a/b\n2:memory:/a/b\n1:cpu,cpuacct:/a/b\n0::/\n"
INSIDE = V1.replace(" / /sys", " /docker/abc /sys")  # a container that shares the machine's names for groups


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write a machine's files; it has 8 cores and 16 GiB."""
    monkeypatch.setattr(resources, "affinity", lambda: list(range(8)))

    def make(groups: str, mounts: str, files: dict[str, str]):
        every = {
            "proc/self/cgroup": groups,
            "proc/self/mountinfo": mounts,
            "proc/meminfo": "MemTotal: 16777216 kB",
        }
        every |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        for name, text in every.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "cores", "memory", "processes"),
    [
        ("0::/\n", V2, {}, 8, 16 * GIB, None),
        ("", "", {}, 8, 16 * GIB, None),  # no control groups, or a /proc that shows none
        ("nonsense\n::\n", "nonsense\n - cgroup2\n", {}, 8, 16 * GIB, None),
        ("0::/\n", V2, {"cpu.max": "max 100000\n", "memory.max": "max", "pids.max": "max"}, 8, 16 * GIB, None),
        ("0::/\n", V2, {"cpu.max": "150000 100000\n"}, 1, 16 * GIB, None),
        ("0::/\n", V2, {"cpu.max": "50000 100000\n"}, 1, 16 * GIB, None),
        ("0::/\n", V2, {"cpu.max": "1200000 100000\n"}, 8, 16 * GIB, None),  # more than there are
        ("0::/\n", V2, {"cpu.max": "200000 0\n", "memory.max": ""}, 8, 16 * GIB, None),
        # nested: the lowest limit on the way up counts, wherever it is
        ("0::/a/b\n", V2, {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3, 16 * GIB, None),
        ("0::/a/b\n", V2, {"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2, 16 * GIB, None),
        ("0::/a/b\n", V2, {"a/b/memory.max": f"{GIB}", "a/memory.max": f"{2 * GIB}"}, 8, GIB, None),
        ("0::/a/b\n", V2, {"a/memory.high": f"{3 * GIB}"}, 8, 3 * GIB, None),
        ("0::/a\n", V2, {"b/cpu.max": "100000 100000"}, 8, 16 * GIB, None),  # another's
        ("0::/../x\n", V2, {"cpu.max": "400000 100000"}, 4, 16 * GIB, None),  # outside of what is mounted
        ("0::/a\n", V2, {"a/pids.max": "100", "a/pids.current": "40", "pids.max": "80"}, 8, 16 * GIB, 60),
        ("0::/a\n", V2, {"a/pids.max": "10", "a/pids.current": "40"}, 8, 16 * GIB, 0),
        (
            V1_GROUPS,
            V1,
            {
                "cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
                "memory/a/b/memory.limit_in_bytes": "9223372036854771712",
                "memory/a/memory.limit_in_bytes": f"{4 * GIB}",
                "pids/a/b/pids.max": "500",
                "pids/a/b/pids.current": "1",
            },
            2,
            4 * GIB,
            499,
        ),
        (
            V1_GROUPS.replace("/a/b", "/docker/abc"),
            INSIDE,
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            1,
            16 * GIB,
            None,
        ),
        # mounted where it always is, and /proc says nothing of it
        ("", "", {"cpu.max": "100000 100000", "memory/memory.limit_in_bytes": f"{GIB}"}, 1, GIB, None),
    ],
)
def test_what_is_ours_is_the_lowest_limit_there_is(machine, groups, mounts, files, cores, memory, processes):
    root = machine(groups, mounts, files)
    assert resources.cores(root) == cores
    assert resources.memory_bytes(root) == memory
    assert resources.processes_left(root) == processes


def test_a_worker_needs_a_core_and_room(machine):
    root = machine("0::/\n", V2, {"memory.max": f"{2 * GIB}"})
    assert resources.workers(root) == 3
    assert resources.workers(machine("0::/\n", V2, {"memory.max": "1000000"})) == 1


def test_idle_cores_come_first(machine, monkeypatch):
    root = machine("", "", {})
    stat = "cpu 9 9 9 9 9\ncpu0 {} 0 0 50 0 0\ncpu1 10 0 0 {} 0 0\ncpu2 5 0 {} 0 7 0\nintr 1\n"
    (root / "proc/stat").write_text(stat.format(10, 50, 5))
    monkeypatch.setattr(
        resources.time, "sleep", lambda _: (root / "proc/stat").write_text(stat.format(20, 60, 8))
    )
    assert resources.idle_first([0, 1, 2, 3], root) == [1, 3, 2, 0]


def test_this_machine_has_something_for_us():
    assert 1 <= resources.cores() <= len(os.sched_getaffinity(0))
    assert GIB / 8 < resources.memory_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
