"""Machines that are not ours: folders, limits and clusters as users have them, each with its remedy."""

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark import resources
from benchmark.data import user_cache
from sweeps.run import advice, driver, ray_tune, scratch, worker, writable

TOO_LONG = "l" * 60


@pytest.fixture
def usual(monkeypatch, tmp_path):
    """No variable set; what counts as usual is the system's."""
    for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP", "RAY_ADDRESS", "OPTIMIZER_BENCHMARK_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("unfit", ["too long", "a file", "not there", "full", "not writable"])
def test_ray_s_folder_is_where_it_can_be(usual, monkeypatch, tmp_path, unfit):
    place = tmp_path / (TOO_LONG if unfit == "too long" else "x")
    place.write_text("") if unfit == "a file" else unfit == "not there" or place.mkdir()
    monkeypatch.setattr(scratch, "LONGEST_SOCKET", 107 if unfit == "too long" else 1000)
    if unfit == "full":
        room = shutil.disk_usage("/")
        full = room._replace(free=1000)
        monkeypatch.setattr(scratch.shutil, "disk_usage", lambda path: full if path == place else room)
    if unfit == "not writable":  # root may write everywhere
        monkeypatch.setattr(scratch.os, "access", lambda path, _: path != place)
    monkeypatch.setenv("TMPDIR", str(place))
    assert scratch.fault(place)
    with pytest.raises(ValueError, match="set RAY_TMPDIR to a writable folder of at most") as refused:
        scratch.where([place])
    assert str(place) in str(refused.value) and "\n" not in str(refused.value)
    assert Path("/tmp") in scratch.places()[1:]
    assert scratch.where([place, Path("/")]) == Path("/") or unfit == "not writable"


def test_a_folder_that_was_left_is_removed_but_not_one_in_use_or_new(usual, monkeypatch, tmp_path):
    monkeypatch.setattr(scratch, "LONGEST_SOCKET", 1000)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    old = time.time() - 1000
    for name in ("ob-left", "ob-used", "ob-new", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
        if name != "ob-new":
            os.utime(tmp_path / name / "lock", (old, old))
    with (tmp_path / "ob-used" / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with scratch.folder() as made:
            there = sorted(path.name for path in tmp_path.iterdir() if path != made.parent)
    assert there == ["ob-new", "ob-used", "other"]
    assert not made.parent.exists()


@pytest.mark.parametrize(
    ("raised", "logged", "advised"),
    [
        (OSError("AF_UNIX path length cannot exceed 107 bytes: /a/b"), "", "RAY_TMPDIR"),
        (OSError(errno.ENOSPC, "No space left on device"), "", "free space"),
        (OSError(errno.EMFILE, "Too many open files"), "", "ulimit -n"),
        (RuntimeError("can't start new thread"), "", "ulimit -u"),
        (PermissionError(13, "Permission denied", "/tmp/ray/session"), "", "RAY_TMPDIR"),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.1\n Python: 3.1"),
            "",
            "version",
        ),
        (RuntimeError("Authentication failed: invalid auth token"), "", "RAY_AUTH_TOKEN_PATH"),
        (ConnectionError("Could not find any running Ray instance."), "", "docs/cluster.md"),
        (ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:1"), "", "RAY_AUTH_MODE=token"),
        (ConnectionError("no Ray cluster answers at RAY_ADDRESS=10.0.0.1:1"), "", "unset RAY_ADDRESS"),
        (RuntimeError("The current node timed out during startup"), "", "too busy"),
        (RuntimeError("The current node timed out"), "E x.cc: pthread_create failed", "ulimit -u"),
        (RuntimeError("The current node timed out"), "bind: Address already in use", "run again"),
        (RuntimeError("something new"), "", "not known"),
    ],
)
def test_from_a_cause_to_its_advice(tmp_path, raised, logged, advised):
    logs = tmp_path / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text(f"first\n{logged}\nlast\n")
    line = advice.said(raised, tmp_path)
    assert advised in line and "--executor serial" in line and "\n" not in line
    assert not logged or logged in line


@pytest.mark.parametrize(("files", "left", "match"), [(64, None, "ulimit -n"), (4096, 100, "limit of pids")])
def test_too_few_files_or_processes_are_said_before_ray_starts(monkeypatch, files, left, match):
    monkeypatch.setattr(advice.resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr(advice.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(advice, "processes_left", lambda: left)
    with pytest.raises(ValueError, match=match):
        advice.check_room(2)


def test_open_files_are_raised_to_what_the_hard_limit_allows():
    text = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 1000)); from sweeps.run import advice;"
        "advice.check_room(1); print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    assert subprocess.check_output([sys.executable, "-c", text], text=True) == "(1000, 1000)\n"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "no-such-host.invalid:6379", "nonsense", "host:port", "[::1]:1"]
)
def test_a_cluster_that_is_not_there_is_one_line_at_once(usual, monkeypatch, address):
    monkeypatch.setattr(ray_tune.ray, "init", lambda **_: pytest.fail("Ray would wait for two minutes"))
    with pytest.raises(ValueError, match="RAY_ADDRESS") as refused:
        ray_tune._connect(address)
    assert "\n" not in str(refused.value)


def test_what_answers_and_is_no_cluster_ends_the_command_in_time():
    """Ray itself waits in a library that heeds nothing, here as a sleep."""
    text = (
        "import time\nfrom benchmark import stopping\n"
        "with stopping.unless_done(0.2, lambda: stopping.end(1, 'sweeps: nobody there')):\n  time.sleep(60)"
    )
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr.strip()) == (1, "sweeps: nobody there")


def test_a_taken_results_folder_names_its_owner_and_one_left_by_a_kill_does_not_block(tmp_path):
    path = tmp_path / ".lock"
    text = (
        "import sys, os; from pathlib import Path; from sweeps.run import driver;"
        "driver._lock(Path(sys.argv[1]), f'{os.getpid()} here mark'); print('held', flush=True); input()"
    )
    words = [sys.executable, "-c", text, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and owner.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"process {owner.pid} on here"):
            driver._lock(path, "mark")
        owner.kill()
    os.close(driver._lock(path, "1 here mark"))


@pytest.mark.parametrize(
    ("mark", "taken"),
    [("", False), ("1 {host} a", True), ("999999999 {host} a", False), ("5 elsewhere a", True), ("abc", False)],
)
def test_without_locks_a_mark_says_who_writes(monkeypatch, tmp_path, capsys, mark, taken):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(driver.fcntl, "flock", no_locks)
    path = tmp_path / ".lock"
    path.write_text(mark.format(host=socket.gethostname()))
    if taken:
        with pytest.raises(ValueError, match=f"if it is no more, remove {path}"):
            driver._lock(path, "2 b c")
    else:
        os.close(driver._lock(path, "2 b c"))
        assert path.read_text() == "2 b c" and "without locks" in capsys.readouterr().err


def test_cores_that_others_hold_are_counted_and_where_none_can_be_held_a_worker_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "_cores_folder", lambda: tmp_path / "cores")
    pinned = []
    monkeypatch.setattr(worker.os, "sched_setaffinity", lambda _, cores: pinned.append(cores))
    assert worker.held_cores([0, 1]) == 0
    assert worker.hold_a_core([1, 0]) == 1 and worker.hold_a_core([1]) is None
    assert worker.held_cores([0, 1]) == 1 and pinned == [{1}]
    monkeypatch.setattr(worker, "_cores_folder", lambda: Path("/proc/none"))
    assert worker.hold_a_core([0]) is None and worker.held_cores([0]) == 0


def test_folders_are_tried_before_anything_runs(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    writable.check(tmp_path / "a" / "b", "--results")
    writable.check_later(tmp_path / "c" / "d", "--out")
    assert (tmp_path / "a" / "b").is_dir() and not (tmp_path / "c").exists()
    for check in (writable.check, writable.check_later):
        for bad in (tmp_path / "file", tmp_path / "file" / "x", Path("/proc/none")):
            if check is writable.check or bad.name != "none":
                with pytest.raises(ValueError, match=f"cannot write to {bad} .*another.* with --there"):
                    check(bad, "--there")
    monkeypatch.setattr(writable.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=r"no permission to write to .*--out"):
        writable.check_later(tmp_path / "new", "--out")


def test_a_full_disk_is_named_with_what_sets_another(monkeypatch, tmp_path):
    free = {"results": 5e9, "out": 0.0}
    monkeypatch.setattr(writable, "_free", lambda folder: free[folder.name])
    folders = {"--results": tmp_path / "results", "--out": tmp_path / "out"}
    line = writable.full(OSError(errno.ENOSPC, "No space left on device"), folders)
    assert f"the disk of {tmp_path / 'out'} is full (0.0 MB free)" in line and "with --out" in line
    known = OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / "results" / "smoke" / "x.json"))
    assert f"the disk of {tmp_path / 'results'} is over its quota" in writable.full(known, folders)


@pytest.mark.parametrize(
    "home", ["none", "not writable", "not writable, but a corpus is there", "usual", "chosen"]
)
def test_the_cache_is_where_it_can_be(usual, monkeypatch, tmp_path, capsys, home):
    user_cache._temporary.cache_clear()
    usual_place = tmp_path / "home" / ".cache" / "optimizer-benchmark"
    monkeypatch.setattr(user_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(user_cache.platformdirs, "user_cache_dir", lambda _: str(usual_place))
    if "not writable" in home:
        monkeypatch.setattr(user_cache.os, "access", lambda *_: False)
    if "corpus" in home:
        (usual_place / "corpora").mkdir(parents=True)
    if home == "chosen":
        monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", "/chosen")
    if home == "none":

        def nowhere(_: str) -> str:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(user_cache.platformdirs, "user_cache_dir", nowhere)
    found = user_cache.folder()
    other = tmp_path / f"optimizer-benchmark-cache-{os.getuid()}"
    assert found == {"none": other, "not writable": other, "chosen": Path("/chosen")}.get(home, usual_place)
    told = capsys.readouterr().err
    assert ("OPTIMIZER_BENCHMARK_CACHE" in told, told.count("\n")) == (
        (True, 1) if found == other else (False, 0)
    )
    if found == other:
        assert other.stat().st_mode & 0o777 == 0o700
        user_cache._temporary.cache_clear()
        monkeypatch.setattr(user_cache.os, "getuid", lambda: 1 + other.stat().st_uid)
        (tmp_path / f"optimizer-benchmark-cache-{os.getuid()}").symlink_to(tmp_path)
        with pytest.raises(ValueError, match=r"belongs to somebody else and .* set OPTIMIZER_BENCHMARK_CACHE"):
            user_cache.folder()


def test_a_user_without_home_and_name_is_given_both(tmp_path):
    """Ray Tune asks for a home when it is imported; the processes that are started must find the same cache."""
    text = (
        "import os, pathlib\n"
        "def none(*_): raise KeyError('uid not found')\n"
        "import pwd; pwd.getpwuid = none\n"
        "from benchmark.data import user_cache; user_cache.give_home()\n"
        "print(pathlib.Path.home() == user_cache.folder(), __import__('getpass').getuser() == str(os.getuid()))"
    )
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", text], text=True, env=env, stderr=-3) == "True True\n"


def test_gpus_that_are_ours(monkeypatch, tmp_path):
    for i in range(4):
        (tmp_path / "proc/driver/nvidia/gpus" / str(i)).mkdir(parents=True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert resources.gpus(tmp_path) == 4
    for visible, count in [("0,2", 2), ("", 0), ("-1", 0), ("1,-1,2", 1), ("0,1,2,3,4,5", 4)]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert resources.gpus(tmp_path) == count
