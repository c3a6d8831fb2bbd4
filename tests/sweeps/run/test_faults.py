"""Kills and other accidents during a real sweep: nothing finished is lost, damaged or run twice.

Run by `make faults`, apart from `make test`, because it takes minutes. FAULTS sets how many kills (10) and
FAULTS_SEED their moments (0). A table of what happened in each case is printed at the end.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark import store

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("FAULTS", "10"))
SEED = int(os.environ.get("FAULTS_SEED", "0"))
SWEEP = [sys.executable, "-m", "sweeps", "smoke"]
# how the command of each begins or ends: a raylet's own arguments name its workers
COMMANDS = {"worker": "ray::ResourceTrainable", "agent": "ray::RuntimeEnvAgent", "raylet": "raylet/raylet"}
KINDS = ("driver", *COMMANDS, "everything")


@pytest.fixture(scope="module")
def table(request) -> Iterator[list[tuple[str, int, str]]]:
    """Rows (case, how often, what happened), printed when the last case is through."""
    rows: list[tuple[str, int, str]] = []
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{'case':<28}{'n':>4}  what happened")
        for case, count, happened in rows:
            print(f"{case:<28}{count:>4}  {happened}")


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
    programs = {pid: command.split(" ", 1)[0] for pid, command in processes.items()}
    name = COMMANDS[kind]
    return [pid for pid, program in programs.items() if program.startswith(name) or program.endswith(name)][:1]


def finished(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "results" / "smoke" / "trials").glob("*.json")}


def trials(folder: Path) -> set[str]:
    """Names of the records that the whole sweep has: how many its verdicts need is known at its end."""
    manifest = json.loads((folder / "results" / "smoke" / "sweep.json").read_text(encoding="utf-8"))
    return {f"{trial}.json" for trial in manifest["trial_ids"]}


def check_nothing_lost(folder: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """Every record is whole, and those that were there are the same bytes: not lost, damaged or run again."""
    now = finished(folder)
    damaged: list[str] = []
    if (folder / "results").exists():
        list(store.records(folder / "results", damaged))
    assert not damaged
    assert {name: now.get(name) for name in before} == before
    return now


def kill_all(processes: Iterable[int]) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Kills:
    """What kills of one kind did. orphans: processes that were still there five seconds after the driver."""

    count: int = 0
    records: int = 0
    orphans: int = 0
    slowest_end: float = 0.0


def hit(run: subprocess.Popen, kind: str, tally: Kills) -> bool:
    """Kill one victim and wait until the driver has ended; False if there was nothing to kill."""
    processes = tree(run.pid)
    found = victims(run.pid, kind) if run.poll() is None else []
    if not found:
        return False
    kill_all(found)
    tally.count += 1
    if kind == "worker":
        return True
    began = time.monotonic()
    assert ends_by_itself(run, 90), f"the driver hangs after a kill of {kind}"
    tally.slowest_end = max(tally.slowest_end, time.monotonic() - began)
    time.sleep(5)
    orphans = [pid for pid in processes if pid != run.pid and Path(f"/proc/{pid}").exists()]
    tally.orphans += len(orphans)
    kill_all(orphans)  # the cores that they hold must not slow the next driver
    return True


def test_kills_at_random_moments(tmp_path, table):
    rng = random.Random(SEED)
    before: dict[str, bytes] = {}
    tallies = {kind: Kills() for kind in KINDS}
    kinds = itertools.cycle(KINDS)
    run, kind = None, next(kinds)
    while sum(tally.count for tally in tallies.values()) < KILLS:
        if run is None or run.poll() is not None:
            if run and run.returncode == 0:  # the sweep is complete: kill the next one from its beginning
                before = {}
                subprocess.run(["rm", "-rf", str(tmp_path / "results")], check=True)
            run = start(tmp_path)
        time.sleep(rng.uniform(1.0, 12.0))
        killed = hit(run, kind, tallies[kind])
        before = check_nothing_lost(tmp_path, before)
        if killed:
            tallies[kind].records += len(before)
            kind = next(kinds)
    if run and run.poll() is None:
        run.wait(timeout=300)
    finish(tmp_path)
    assert check_nothing_lost(tmp_path, before).keys() == trials(tmp_path)
    for name, tally in tallies.items():
        kept = f"{tally.records} finished records whole after it, none lost or replaced; run on to the end"
        gone = f"; driver gone in {tally.slowest_end:.0f} s, {tally.orphans} orphans after 5 s"
        table.append((f"kill -9 {name}", tally.count, kept + (gone if name != "worker" else "")))


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0])
def test_a_raylet_killed_while_ray_starts_ends_the_sweep(tmp_path, table, seconds):
    run = start(tmp_path)
    while not (found := victims(run.pid, "raylet")):
        assert run.poll() is None, "the sweep ended before its raylet was there"
        time.sleep(0.02)
    time.sleep(seconds)
    processes = tree(run.pid)
    kill_all(found)
    assert ends_by_itself(run, 90), "the driver hangs"
    time.sleep(2)
    kill_all(pid for pid in processes if Path(f"/proc/{pid}").exists())
    line = (tmp_path / "log").read_text().strip().splitlines()[-1]
    assert run.returncode == 1 and line.startswith("sweeps: Ray")
    table.append((f"raylet killed at {seconds:g} s", 1, f"status 1 and `{shortened(line)}`"))


def ends_by_itself(run: subprocess.Popen, seconds: float) -> bool:
    try:
        run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


BROKEN = '''"""Broken on purpose, from step 40 on: what goes wrong sooner is refused before the sweep."""
import jax, jax.numpy as jnp, optax, os, signal, time
space = {"peak_lr": (0.01, 0.02, 0.04)}
def jax_optimizer(learning_rate):
    def update(grads, step, params=None):
        BODY
    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
'''
DESCEND = "return jax.tree.map(lambda g: -learning_rate(step) * g, grads), step + 1"
CALL = "jax.debug.callback(lambda n: {} if n > 40 else None, step); " + DESCEND
HANG = CALL.format("time.sleep(1000)")
NAN = "grads = jax.tree.map(lambda g: jnp.where(step > 40, jnp.nan, g), grads); " + DESCEND
RAISE = CALL.format("1 / 0")
KILLED = CALL.format("os.kill(os.getpid(), signal.SIGKILL)")
MEMORY = """x = jnp.sort(jnp.arange(2**40, dtype="float32") * learning_rate(0))
        return jax.tree.map(lambda g: g + x.sum(), grads), step"""


@pytest.mark.parametrize(
    ("body", "status", "reason", "options"),
    [
        (RAISE, "failed", "", ()),
        (NAN, "diverged", "not finite", ()),
        (HANG, "failed", "timeout", ("--timeout", "20")),
        (KILLED, "failed", "its worker died", ()),  # what the kernel does to a process that takes too much
    ],
    ids=["raises", "nan", "hangs", "killed by the system"],
)
def test_a_bad_optimizer_ends_as_records(request, tmp_path, table, body, status, reason, options):
    mine = tmp_path / "broken.py"
    mine.write_text(BROKEN.replace("BODY", body))
    # to the end, with the status that says that nothing is known of it
    assert start(tmp_path, "--optimizers", "adamw", "--optimizer", str(mine), *options).wait(timeout=300) == 1
    assert "has no verdict" in (tmp_path / "log").read_text()
    records = [r for _, r in store.records(tmp_path / "results") if r.trial.optimizer == "broken"]
    assert records and {r.status for r in records} == {status}
    assert all(reason in r.reason for r in records)
    case = f"optimizer: {request.node.callspec.id}"
    table.append((case, len(records), f"every one a record `{status}: {records[0].reason}`; the sweep ended"))


def test_an_optimizer_that_no_memory_holds_is_refused_before_the_sweep(tmp_path, table):
    mine = tmp_path / "broken.py"
    mine.write_text(BROKEN.replace("BODY", MEMORY))
    assert start(tmp_path, "--optimizers", "adamw", "--optimizer", str(mine)).wait(timeout=300) == 1
    line = (tmp_path / "log").read_text().strip().splitlines()[-1]
    assert "RESOURCE_EXHAUSTED" in line
    table.append(("optimizer: out of memory", 0, f"refused with status 1: `{shortened(line)}`"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, table):
    disk = tmp_path / "results"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(disk)]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        run = start(tmp_path)
        assert run.wait(timeout=300) == 1
        kept = finished(tmp_path)
        line = (tmp_path / "log").read_text().strip().splitlines()[-1]
        assert "is full (0.0 MB free); free space there" in line and kept
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        finish(tmp_path)
        check_nothing_lost(tmp_path, kept)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    table.append(("full disk", 1, f"status 1 and `{shortened(line)}`; {len(kept)} records kept, then resumed"))


def test_damaged_records_run_again(tmp_path, table):
    finish(tmp_path)
    paths = sorted((tmp_path / "results" / "smoke" / "trials").glob("*.json"))
    paths[0].write_text("")
    paths[1].write_text(paths[1].read_text()[:100])
    paths[2].write_text(paths[2].read_text().replace('"schema":1', '"schema":99'))
    untouched = {p.name: p.read_bytes() for p in paths[3:]}
    finish(tmp_path)
    assert check_nothing_lost(tmp_path, untouched).keys() == trials(tmp_path)
    (line,) = [x for x in (tmp_path / "log").read_text().splitlines() if "their trials will run again" in x]
    assert "skipped 3 of" in line
    for case in ("empty", "truncated", "of another schema"):
        table.append((f"record {case}", 1, f"run again, {len(untouched)} others kept: `{shortened(line)}`"))


def test_a_second_sweep_in_the_folder_is_refused(tmp_path, table):
    run = start(tmp_path)
    time.sleep(8)
    command = [*SWEEP, "--results", str(tmp_path / "results")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and second.stderr.count("\n") == 1
    assert run.wait(timeout=300) == 0
    table.append(("second sweep in the folder", 1, f"refused with status 1: `{shortened(second.stderr)}`"))


def shortened(line: str) -> str:
    """A line without the long names of temporary folders."""
    return " ".join(Path(w).name if w.startswith("/") else w for w in line.strip().split())
