"""Signals end a command with one line and their status, whatever it is doing; nothing of it is left running."""

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmark import stopping

LINE = "Stopped. The work is kept."
# what a command does; it prints "ready" when the signal may come
WORK = {
    "works": "print('ready', flush=True); time.sleep(60)",
    "puts in order": "\ntry:\n  print('ready', flush=True); time.sleep(60)\n"
    "finally: print('in order', flush=True)",
    "breaks with its processes": "\ntry:\n  print('ready', flush=True); time.sleep(60)\n"
    "except KeyboardInterrupt:\n  return 1",
    "a library exits": "\ntry:\n  print('ready', flush=True); time.sleep(60)\n"
    "except KeyboardInterrupt:\n  sys.exit(15)",
    "is deaf": "\nstopping.ORDER_SECONDS = 0.2\nprint('ready', flush=True)\n"
    "while True:\n  try:\n    time.sleep(60)\n  except KeyboardInterrupt: pass",
    "in a destructor": "\nclass D:\n  def __del__(self):\n    print('ready', flush=True); time.sleep(1)\n"
    "d = D()\ndel d\ntime.sleep(60)",
    "took the signal": "\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\nstopping.again()\n"
    "print('ready', flush=True); time.sleep(60)",
    "shares with a library": "\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(15))\nstopping.share()\n"
    "with stopping.first(lambda: print('first', flush=True)):\n  print('ready', flush=True); time.sleep(60)",
    "has children": "\nimport subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 61 & sleep 61'])\n"
    "stopping.ORDER_SECONDS = 0.2\ntime.sleep(0.5); print('ready', flush=True)\n"
    "while True:\n  try:\n    time.sleep(60)\n  except KeyboardInterrupt: pass",
}


# where these tests run in the background, children would inherit that signals are ignored
HEEDING = (
    "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
)


def command(work: str) -> subprocess.Popen:
    indented = work.replace("\n", "\n  ")
    text = f"{HEEDING}from benchmark import stopping\ndef main():\n  {indented}\n  return 0\n"
    text = f"{text}sys.exit(stopping.run(main, {LINE!r}))"
    piped = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", text], stdout=piped, stderr=piped, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("work", "number"),
    [
        *((name, signal.SIGTERM) for name in WORK),
        ("works", signal.SIGHUP),
        ("works", signal.SIGINT),
        ("shares with a library", signal.SIGINT),
    ],
)
def test_a_signal_ends_a_command_with_its_line_and_status(work, number):
    process = command(WORK[work])
    children = stopping.descendants(process.pid)
    assert bool(children) == (work == "has children")
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, error.strip()) == (128 + number, LINE)
    assert ("first" in out) == (work == "shares with a library")
    assert ("in order" in out) == (work == "puts in order")
    deadline = time.monotonic() + 10
    while any(map(stopping.alive, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(stopping.alive, children))


def test_parents_are_ended_before_their_children_of_which_a_shell_would_say_that_they_were_killed():
    nested = "sh -c 'sh -c \"sleep 60 & sleep 60\" & wait' & wait"
    shell = subprocess.Popen(["sh", "-c", nested], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 10
    while len(below := stopping.descendants(shell.pid)) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    order = [shell.pid, *below]
    assert len(order) == 5
    for at, pid in enumerate(order):
        assert set(stopping.descendants(pid)) <= set(order[at + 1 :])
    stopping.end_all(order)
    assert shell.communicate(timeout=30)[1] == ""


def test_a_second_signal_ends_at_once_but_not_the_one_that_timeout_sends_twice():
    slow = "\ntry:\n  print('ready', flush=True); time.sleep(60)\nfinally:\n  time.sleep({}); print('in order')"
    process = command(slow.format(0.3))
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert "in order" in process.communicate(timeout=30)[0] and process.returncode == 143
    process = command(slow.format(60).replace("finally", "except KeyboardInterrupt"))
    process.send_signal(signal.SIGTERM)
    time.sleep(stopping.TWICE_SECONDS + 0.2)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, error.strip(), out) == (143, LINE, "")


def test_a_signal_that_is_ignored_stays_ignored():
    text = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WORK["works"].replace("60", "0.3")
    process = command(text)  # as under `nohup`
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_command_that_is_still_being_imported_says_so(tmp_path):
    """A package that is slow to import stands in for jax."""
    (tmp_path / "tqdm.py").write_text("import time; print('ready', flush=True); time.sleep(60)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = "import os\nos.execv(sys.executable, [sys.executable, '-m', 'benchmark.data.corpora', 'gcide'])"
    words = [sys.executable, "-c", HEEDING + run]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert (process.returncode, error.count("\n"), "Traceback" in error) == (130, 2, False)


def test_this_process_is_no_command_and_keeps_its_handlers():
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    assert stopping.run(lambda: 3, LINE) == 3 and not stopping.requested()
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
