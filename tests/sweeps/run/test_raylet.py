"""The watch over Ray's own process, on a stand-in: a child by that name."""

import os
import signal
import subprocess
import time

import pytest

from sweeps.run import raylet


@pytest.fixture
def child(tmp_path):
    """A child whose program is named `raylet`."""
    (tmp_path / "raylet").symlink_to("/bin/sleep")
    process = subprocess.Popen([str(tmp_path / "raylet"), "60"])
    while raylet._program(process.pid) != "raylet":
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_a_child_missing_from_one_listing_is_not_dead(child, monkeypatch):
    """A listing that leaves it out every other time, as the kernel may while another child ends."""
    listings = 0

    def children() -> set[int]:
        nonlocal listings
        listings += 1
        return {child.pid} if listings % 2 else set()

    monkeypatch.setattr(raylet, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(raylet, "_children", children)
    ended: list[int] = []
    monkeypatch.setattr(raylet.stopping.os, "_exit", ended.append)
    with raylet.watched():
        deadline = time.monotonic() + 10
        while listings < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert listings >= 5 and not ended


def test_a_killed_or_vanished_child_is_dead(child):
    assert child.pid in raylet._children() and not raylet._dead(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not raylet._dead(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert raylet._dead(child.pid) and raylet._program(child.pid) == "raylet"  # nobody has waited for it
    child.wait()
    assert raylet._dead(child.pid)


def test_after_the_block_nothing_is_watched(monkeypatch):
    """A poll that is under way when the block ends is waited for: the shutdown that follows is no death."""
    polls = []

    def slow() -> set[int]:
        time.sleep(0.3)
        polls.append(time.monotonic())
        return set()

    monkeypatch.setattr(raylet, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(raylet, "_children", slow)
    with raylet.watched():
        time.sleep(0.1)
    left = time.monotonic()
    time.sleep(0.5)
    assert polls and max(polls) <= left
