"""Kills and other accidents during a real sweep: nothing finished is lost, damaged or run twice.

Run by `make faults`, apart from `make test`, because it takes minutes. FAULTS sets how many kills (10);
each case prints one line that says what happened.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark import store

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("FAULTS", "10"))
SWEEP = [sys.executable, "-m", "sweeps", "smoke"]


def start(folder: Path, *options: str) -> subprocess.Popen:
    command = [*SWEEP, "--results", str(folder / "results"), "--out", str(folder / "reports"), *options]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def finish(folder: Path, *options: str) -> None:
    run = start(folder, *options)
    assert run.wait(timeout=300) == 0, (folder / "log").read_text()[-3000:]


def tree(root: int) -> dict[int, str]:
    """Process id -> command line of a process and all its descendants."""
    parents, commands = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
            commands[int(stat.parent.name)] = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(text.rsplit(")", 1)[1].split()[1])
    found, queue = {}, [root]
    while queue:
        pid = queue.pop()
        found[pid] = commands.get(pid, "")
        queue += [child for child, parent in parents.items() if parent == pid]
    return found


def victims(driver: int, kind: str) -> list[int]:
    """The processes that a kill of this kind hits."""
    processes = tree(driver)
    if kind == "driver":
        return [driver]
    if kind == "everything":
        return list(processes)

    # by the start of the command: a raylet's own arguments name its workers
    def is_one(command: str) -> bool:
        program = command.split(" ", 1)[0]
        return program.startswith("ray::") if kind == "worker" else program.endswith("raylet/raylet")

    return [pid for pid, command in processes.items() if is_one(command)][:1]


def finished(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "results" / "smoke" / "trials").glob("*.json")}


def check_nothing_lost(folder: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """Every record is whole, and those that were there are the same bytes: not lost, damaged or run again."""
    now = finished(folder)
    damaged: list[str] = []
    if (folder / "results").exists():
        list(store.records(folder / "results", damaged))
    assert not damaged
    assert {name: now.get(name) for name in before} == before
    return now


def kill_all(processes: dict[int, str]) -> None:
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_kills_at_random_moments(tmp_path, capsys):
    rng = random.Random(0)
    before: dict[str, bytes] = {}
    run, kills = None, 0
    while kills < KILLS:
        if run is None or run.poll() is not None:
            if len(before) >= 36:  # the sweep is complete: kill the next one from its beginning
                before = {}
                subprocess.run(["rm", "-rf", str(tmp_path / "results")], check=True)
            run = start(tmp_path)
        time.sleep(rng.uniform(1.0, 12.0))
        kind = ("driver", "worker", "raylet", "everything")[kills % 4]
        hit = victims(run.pid, kind) if run.poll() is None else []
        processes = tree(run.pid)
        for pid in hit:
            os.kill(pid, signal.SIGKILL)
        if not hit:
            before = check_nothing_lost(tmp_path, before)
            continue  # it had just ended, or Ray was not up yet: no kill, try again
        kills += 1
        ended = ends_by_itself(run, 0 if kind == "worker" else 90)
        if kind != "worker":
            assert ended, f"the driver hangs after a kill of {kind}"
            time.sleep(5)  # orphans end within seconds; they must not outlive the next driver's start
            kill_all(
                {pid: c for pid, c in processes.items() if pid != run.pid and Path(f"/proc/{pid}").exists()}
            )
        before = check_nothing_lost(tmp_path, before)
        with capsys.disabled():
            print(
                f"kill {kills}: {kind}; {len(before)} records, all whole; driver status {run.poll()}",
                flush=True,
            )
    if run and run.poll() is None:
        run.wait(timeout=300)
    finish(tmp_path)
    assert len(check_nothing_lost(tmp_path, before)) == 36


def ends_by_itself(run: subprocess.Popen, seconds: float) -> bool:
    try:
        run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


BROKEN = '''"""Broken on purpose."""
import jax, jax.numpy as jnp, optax, time
space = {"peak_lr": (0.01, 0.02, 0.04)}
def jax_optimizer(learning_rate):
    def update(grads, state, params=None):
        BODY
    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
'''
HANG = "jax.debug.callback(lambda: time.sleep(1000)); return grads, state"
NAN = "return jax.tree.map(lambda g: g * jnp.nan, grads), state"
RAISE = "jax.debug.callback(lambda: 1 / 0); return grads, state"
MEMORY = "x = jnp.ones(2**33) * learning_rate(0); return jax.tree.map(lambda g: g + x.sum(), grads), state"


@pytest.mark.parametrize(
    ("body", "status", "reason", "options"),
    [
        (RAISE, "failed", "", ()),
        (NAN, "diverged", "not finite", ()),
        (HANG, "failed", "timeout", ("--timeout", "20")),
        (MEMORY, "failed", "", ()),
    ],
    ids=["raises", "nan", "hangs", "out-of-memory"],
)
def test_a_bad_optimizer_ends_as_records(tmp_path, capsys, body, status, reason, options):
    mine = tmp_path / "broken.py"
    mine.write_text(BROKEN.replace("BODY", body))
    finish(tmp_path, "--optimizers", "adamw", "--optimizer", str(mine), *options)
    records = [r for _, r in store.records(tmp_path / "results") if r.trial.optimizer == "broken"]
    assert records and {r.status for r in records} == {status}
    assert all(reason in r.reason for r in records)
    with capsys.disabled():
        print(f"{status}: {records[0].reason}")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, capsys):
    disk = tmp_path / "results"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(disk)]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        run = start(tmp_path)
        assert run.wait(timeout=300) == 1
        kept = finished(tmp_path)
        line = (tmp_path / "log").read_text().strip().splitlines()[-1]
        assert "No space left" in line and kept
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        finish(tmp_path)
        check_nothing_lost(tmp_path, kept)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    with capsys.disabled():
        print(f"full disk: {len(kept)} records kept; {line}")


def test_damaged_records_run_again(tmp_path, capsys):
    finish(tmp_path)
    paths = sorted((tmp_path / "results" / "smoke" / "trials").glob("*.json"))
    paths[0].write_text("")
    paths[1].write_text(paths[1].read_text()[:100])
    paths[2].write_text(paths[2].read_text().replace('"schema":1', '"schema":99'))
    untouched = {p.name: p.read_bytes() for p in paths[3:]}
    finish(tmp_path)
    assert len(check_nothing_lost(tmp_path, untouched)) == 36
    with capsys.disabled():
        lines = [x for x in (tmp_path / "log").read_text().splitlines() if "damaged" in x]
        print(f"damaged records: {len(lines)} lines, such as: {lines[0]}")
    assert len(lines) == 3


def test_a_second_sweep_in_the_folder_is_refused(tmp_path, capsys):
    run = start(tmp_path)
    time.sleep(8)
    command = [*SWEEP, "--results", str(tmp_path / "results")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and second.stderr.count("\n") == 1
    assert run.wait(timeout=300) == 0
    with capsys.disabled():
        print(f"second sweep: {second.stderr.strip()}")
