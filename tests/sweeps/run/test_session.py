"""One tiny session of Ray's as a sweep starts it: what it listens on, who may connect, and what it leaves."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark import stopping

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray's own sockets and processes
# in a process of its own, as every sweep is: a signal handler, a token and constants are a process's
SESSION = """
import sys
from contextlib import ExitStack
from sweeps.run import ray_tune, scratch
with ExitStack() as stack:
    home = stack.enter_context(scratch.folder())
    stack.enter_context(ray_tune._alone())
    ray_tune._start(1, home)
    @ray_tune.ray.remote
    class Actor:
        def pid(self): return 7
    actor = Actor.remote()
    assert ray_tune.ray.get(actor.pid.remote()) == 7
    print(ray_tune.ray.get_runtime_context().gcs_address, home, flush=True)
    sys.stdin.readline()
    ray_tune.ray.shutdown()
"""
STRANGER = """
import sys, ray
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).internal_kv_get(b"session_name", b"session", timeout=5))
"""


@dataclass(frozen=True)
class Session:
    process: subprocess.Popen
    address: str
    home: Path
    pids: frozenset[int]


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Iterator[Session]:
    """TMPDIR too long for a socket, a cluster of somebody else's in /tmp/ray, no HOME."""
    long = tmp_path_factory.mktemp("a") / ("long" * 20)
    long.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "HOME"}
    env |= {"TMPDIR": str(long), "PYTHONPATH": os.pathsep.join(sys.path)}
    piped = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", SESSION], stdin=piped, stdout=piped, text=True, env=env)
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert len(words) == 2, "Ray did not start"
    found = frozenset({process.pid, *stopping.descendants(process.pid)})
    yield Session(process, words[0], Path(words[1]), found)
    stopping.end_all(found)
    process.communicate(timeout=30)


def listening(pids: frozenset[int]) -> dict[int, set[str]]:
    """Process -> local addresses, in hexadecimal as in proc(5), of the TCP sockets that it listens on."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                sockets[f"socket:[{words[9]}]"] = words[1].partition(":")[0]
    found: dict[int, set[str]] = {}
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(handle.readlink())
            except OSError:
                continue
            if target in sockets:
                found.setdefault(pid, set()).add(sockets[target])
    return found


def test_every_process_listens_on_loopback_alone(session):
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    with socket.create_server(("0.0.0.0", 0)):  # that the table would show one which does not
        assert listening(frozenset({os.getpid()}))[os.getpid()] == {"00000000"}
    found = listening(session.pids)
    assert len(found) >= 4, "the control store, the raylet, a worker and this driver listen"
    assert set().union(*found.values()) <= loopback
    assert session.address.startswith("127.0.0.1:")


@pytest.mark.parametrize("token", [None, "f" * 64])
def test_whoever_has_not_the_secret_is_turned_away(session, token):
    """Another user of this machine reaches loopback, too."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, session.address], env=env, capture_output=True, text=True, timeout=60
    )
    assert run.returncode != 0 and "nauthenticated" in run.stderr, run.stdout + run.stderr[-500:]


def test_its_files_are_this_user_s_only_and_in_a_short_folder(session):
    assert (session.home.parent.stat().st_mode & 0o777, session.home.stat().st_uid) == (0o700, os.getuid())
    longest = max(map(str, session.home.glob("session_*/sockets/*")), key=len)
    assert len(longest) <= 107 and "long" not in longest


def test_nothing_is_left_of_it(session):
    session.process.communicate("\n", timeout=60)
    assert session.process.returncode == 0 and not session.home.parent.exists()
    assert not [pid for pid in session.pids if stopping.alive(pid)]
